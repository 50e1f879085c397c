// What customers are told, and by which ways. That webhooks are called, and how, is tested by the receivers of `tests/notices`.
import { expect, notice, press } from "./browser.mjs";

/** Everything on the pages about notices. The visitor is signed in, and has no webhook. */
export async function notices(page) {
  await page.goto("/notices");
  await page.judge("notices");
  await page.fill("[name=low]", "nothing");
  await press(page, "form[action='/notices'] button");
  expect(await page.locator("[role=alert]").count() === 1, "a wrong amount is told");
  await page.judge("notices-refused");
  await page.fill("[name=low]", "7.50");
  await page.check("[name='account.signed_in webhook']");
  await press(page, "form[action='/notices'] button.primary");
  expect(/Saved/.test(await notice(page)) && await page.inputValue("[name=low]") === "7.50", "choices are kept");
  expect(await page.isChecked("[name='account.signed_in webhook']"), "each of them");
  for (const inside of ["http://192.168.0.1/", "ftp://example.com/", "https://user:secret@example.com/"]) {
    await page.fill("[name=url]", inside);
    await press(page, "form[action='/notices/webhooks'] button");
    expect(await page.locator("[role=alert]").count() === 1, `${inside} is refused`);
    expect(await page.inputValue("[name=url]") === inside, "what was typed stays");
  }
  await page.judge("webhook-refused");
  await page.fill("[name=url]", "https://hooks.example.com/?<b>=1");
  await press(page, "form[action='/notices/webhooks'] button");
  expect(/^whsec_/.test(await page.locator(".copyable code").textContent()), "the secret is shown");
  await page.judge("webhook-made");
  await press(page, "a[href^='/notices/webhooks/']");
  await page.judge("webhook-empty");
  await press(page, "form[action$='/delete'] button");
  expect(/deleted/.test(await notice(page)), "and deleted");
}
