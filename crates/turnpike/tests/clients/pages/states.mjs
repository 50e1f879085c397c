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

/** The page that is open says that the shop is not reached, keeps what was typed, and goes on when it is back; so does a form that is sent. */
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
  await page.goto("/subscriptions");
  await press(page, "#found tbody th a");
  await page.fill("[name=note]", "Sent without a network");
  page.isCutOff = true;
  await page.context().setOffline(true);
  const [open, button] = [page.url(), "form[action$='/note'] button"];
  const asked = page.waitForEvent("requestfailed");
  await page.locator(button).evaluate((pressed) => pressed.scrollIntoView({ block: "start" }));
  await page.click(button);
  await asked;
  const isSeen = page.waitForFunction(() => document.getElementById("unreachable").getBoundingClientRect().bottom > 0, null, { timeout: 10_000 });
  expect(await isSeen.then(() => true, () => false), "who sends a form sees why it was not sent");
  expect(page.url() === open && await page.inputValue("[name=note]") === "Sent without a network", `what was typed into a form stays: ${page.url()}`);
  expect(await page.locator(button).getAttribute("aria-busy") === null, "and nothing is under way");
  await page.judge("offline-form");
  // The network is not the shop: where that answers, the form is sent.
  await page.evaluate(() => Object.defineProperty(navigator, "onLine", { get: () => false }));
  await page.context().setOffline(false);
  await said.waitFor({ state: "hidden" });
  page.isCutOff = false;
  await press(page, button);
  expect(await page.inputValue("[name=note]") === "Sent without a network", "it is kept when the shop is back");
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
