// States that come without anybody's doing: a subscription that renews itself, a shop that is not reached. And what the script adds.
import { expect, notice, press, signIn } from "./browser.mjs";

/** A subscription of an hour renews itself once by a longer plan, for one booking. */
export async function renewsItself(page) {
  await page.goto("/plans?country=FR");
  await press(page, ".plan:has-text('1 hour') a.button");
  await press(page, "#price button.primary");
  expect(/Bought/.test(await notice(page)), "the short one is bought");
  const subscription = page.url();
  const choices = await page.locator("form[action$='/auto-renew'] option").all();
  const long = (await Promise.all(choices.map(async (option) => [await option.textContent(), await option.getAttribute("value")])))
    .find(([label]) => label.includes("30 days"));
  await page.selectOption("form[action$='/auto-renew'] select", long[1]);
  await press(page, "form[action$='/auto-renew'] button");
  expect(/It will renew itself/.test(await notice(page)), "renewing by itself is told");
  await page.goto("/statement");
  const renewals = page.locator("tbody tr:has-text('Renewal'):has-text('3.33')");
  for (let tries = 0; tries < 120 && await renewals.count() === 0; tries += 1) {
    await page.waitForTimeout(250);
    await page.reload();
  }
  await page.goto(subscription);
  expect(await page.locator("#auto-renew-heading + .badge").count() === 1, "it stays switched on");
  expect(!/ min left|hour/.test(await page.locator(".lead").textContent()), "and runs for a month");
  await page.judge("subscription-renews-itself");
  await page.goto("/statement");
  expect(await renewals.count() === 1, `one renewal is booked: ${await renewals.count()}`);
}

/** What is shown beside a button for copying is in the clipboard when that is pressed. */
export async function copies(page) {
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await signIn(page);
  await page.goto("/subscriptions");
  await press(page, "tbody th a");
  const shown = page.locator(".copyable").first();
  const button = shown.locator("button");
  const label = await button.textContent();
  await button.click();
  await page.waitForFunction(() => document.querySelector(".copyable button").textContent === "Copied");
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  expect(copied === await shown.locator("code").textContent(), `what is shown is copied: ${copied}`);
  await page.waitForFunction((before) => document.querySelector(".copyable button").textContent === before, label);
}

/** The page that is open says that the shop is not reached, keeps what was typed, and goes on when it is back. */
export async function offline(page) {
  await signIn(page);
  await page.goto("/subscriptions");
  const said = page.locator("#unreachable");
  expect(await said.isHidden(), "nothing is said while all is well");
  page.isCutOff = true;
  await page.context().setOffline(true);
  await page.fill("#q", "client");
  await said.waitFor({ state: "visible" });
  await page.judge("offline");
  expect(await page.inputValue("#q") === "client", "what was typed stays");
  await page.context().setOffline(false);
  await said.waitFor({ state: "hidden" });
  page.isCutOff = false;
}

/** Very long names and text from right to left. */
export async function longNames(page) {
  await signIn(page);
  await page.goto("/subscriptions");
  const path = await page.locator("tbody th a").first().getAttribute("href");
  for (const [name, text] of [["long", "Wiederverkäuferabteilungsproxyverbindungszugang".repeat(4)], ["right-to-left", "اتصال وكيل للعميل في أمستردام، يُجدَّد كل شهر"]]) {
    await page.goto(path);
    await page.fill("[name=note]", text);
    await press(page, "form[action$='/note'] button");
    expect(await page.inputValue("[name=note]") === text, `the ${name} note is kept`);
    await page.judge(`subscription-${name}`);
    await page.goto("/subscriptions");
    await page.judge(`subscriptions-${name}`);
  }
}
