// What customers are told, and by which ways: choices, webhooks, their log.
import { createServer } from "node:http";

import { expect, notice, press } from "./browser.mjs";

/** A program that a webhook leads to, not where the shop itself listens; it answers with what `status` says. */
async function receiver() {
  const told = [];
  const listening = { told, status: 200 };
  const server = createServer((asked, answer) => {
    let body = "";
    asked.on("data", (part) => { body += part; });
    asked.on("end", () => {
      told.push({ headers: asked.headers, body: JSON.parse(body) });
      answer.writeHead(listening.status).end("<script>window.hacked=1</script>");
    });
  });
  await new Promise((resolve) => { server.listen(0, "127.0.0.77", resolve); });
  listening.url = `http://127.0.0.77:${server.address().port}/hook?<b>=1`;
  listening.close = () => server.close();
  return listening;
}

/** A page is loaded again until it says what is waited for. */
async function until(page, pattern) {
  for (let tries = 0; tries < 60 && !pattern.test(await page.locator("main").textContent()); tries += 1) {
    await page.waitForTimeout(250);
    await page.reload();
  }
  expect(pattern.test(await page.locator("main").textContent()), `${page.url()} says ${pattern}`);
}

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
  for (const unfit of ["ftp://example.com/", "https://user:secret@example.com/"]) {
    await page.fill("[name=url]", unfit);
    await press(page, "form[action='/notices/webhooks'] button");
    expect(await page.locator("[role=alert]").count() === 1, `${unfit} is refused`);
    expect(await page.inputValue("[name=url]") === unfit, "what was typed stays");
  }
  await page.judge("webhook-refused");
  await inside(page);
  const called = await receiver();
  await page.fill("[name=url]", called.url);
  await press(page, "form[action='/notices/webhooks'] button");
  expect(/^whsec_/.test(await page.locator(".copyable code").textContent()), "the secret is shown");
  await page.judge("webhook-made");
  await press(page, "a[href^='/notices/webhooks/']");
  const hook = page.url();
  await page.judge("webhook-empty");
  await press(page, "form[action$='/test'] button");
  expect(/on its way/.test(await notice(page)), "a test is sent");
  await until(page, /Delivered/);
  expect(called.told[0]?.headers["webhook-signature"]?.startsWith("v1,"), "with a signature");
  called.status = 500;
  await press(page, "form[action$='/test'] button");
  await until(page, /answered 500/);
  await page.locator("summary").first().click();
  await page.judge("webhook");
  called.status = 200;
  const before = called.told.length;
  await press(page, "form[action$='/redeliver'] button");
  expect(/sent again/.test(await notice(page)), "it is sent again");
  for (let tries = 0; tries < 60 && called.told.length === before; tries += 1) await page.waitForTimeout(250);
  expect(called.told.length > before, "and arrives");
  called.status = 410;
  await page.goto(hook);
  await press(page, "form[action$='/test'] button");
  await until(page, /Given up/);
  await page.judge("webhook-given-up");
  await press(page, "form[action$='/enable'] button");
  expect(/Saved/.test(await notice(page)), "it is switched on again");
  await press(page, "form[action$='/delete'] button");
  expect(/deleted/.test(await notice(page)), "and deleted");
  expect(await page.evaluate(() => window.hacked).catch(() => undefined) === undefined, "what a receiver answers runs nowhere");
  called.close();
}

/** Where a name leads is known when it is called, so that is when an address inside is refused; the log says so. */
async function inside(page) {
  await page.fill("[name=url]", "http://192.168.0.1/");
  await press(page, "form[action='/notices/webhooks'] button");
  await press(page, "a[href^='/notices/webhooks/']");
  await press(page, "form[action$='/test'] button");
  await until(page, /192\.168\.0\.1 is a private address, which is not called/);
  await page.judge("webhook-inside");
  await press(page, "form[action$='/delete'] button");
}
