// What pages say to those who do not see them: how much a search has found, tables that stay tables on a phone, and that the shop is not reached.
// And a whole network taken out of sale and put back.
import { BOTH, NARROW, OPERATOR, OPERATOR_PASSWORD, ended, expect, launched, notice, open, press, signIn, visits } from "./browser.mjs";

/** Types a search that fits nothing, and takes it back; what is said of it is said where it was said before. */
async function isTold(page, path, nothing, all) {
  await page.goto(path);
  const told = page.locator("#told");
  expect(all.test(await told.textContent()) && await told.isVisible(), `${path} is counted: ${await told.textContent()}`);
  await told.evaluate((element) => { element.dataset.kept = "yes"; });
  await nothing();
  await page.waitForFunction(() => document.getElementById("told").textContent === "Nothing fits");
  expect(await told.getAttribute("data-kept") === "yes" && await told.getAttribute("role") === "status", `${path}: the same element speaks`);
}

/** A table is one to a screen reader, whatever it looks like. */
async function isTable(page, path, columns) {
  await page.goto(path);
  const table = page.getByRole("table").first();
  const [headers, rows] = [await table.getByRole("columnheader").count(), await table.getByRole("row").count()];
  expect(headers >= columns && rows >= 2, `${path}: ${headers} columns, ${rows} rows`);
  const row = table.getByRole("row").last();
  expect(await row.getByRole("rowheader").count() === 1 && await row.getByRole("cell").count() >= 1, `${path}: a row has a heading and cells`);
}

async function customer(page) {
  await signIn(page);
  await isTold(page, "/subscriptions", () => page.fill("#q", "no such subscription"), /^2 found\.$/);
  await page.judge("subscriptions-none-fits");
  await page.goto("/subscriptions");
  await page.judge("subscriptions-counted");
  await isTold(page, "/plans", async () => {
    await page.selectOption("[name=country]", "DE");
    await page.waitForFunction(() => document.getElementById("told").textContent === "1 found.");
    await page.selectOption("[name=type]", "shared");
  }, /^2 found\.$/);
  await isTable(page, "/subscriptions", 6);
  await isTable(page, "/statement", 6);
  await page.judge("statement-orders");
  const link = page.locator("tbody a[href^='/subscriptions/']").first();
  const [, name, port] = (await link.textContent()).match(/^(\w+) (\d+)$/);
  await press(page, "tbody a[href^='/subscriptions/']");
  expect(name === "Port" && (await page.locator("h1").textContent()).includes(port), "a line leads to its subscription");
  const plan = await page.locator("form[action$='/auto-renew'] option").nth(1).getAttribute("value");
  await page.selectOption("form[action$='/auto-renew'] select", plan);
  await press(page, "form[action$='/auto-renew'] button");
  await page.judge("subscription-untold");
  await press(page, "section[aria-labelledby='auto-renew-heading'] a[href='/notices']");
  expect(new URL(page.url()).pathname === "/notices", "who is not told is led to the notices");
}

async function networks(page) {
  await signIn(page, OPERATOR, OPERATOR_PASSWORD);
  for (const [path, field] of [["/operator/exits", "no such exit"], ["/operator/accounts", "no such account"], ["/operator/audit", "no such entry"]]) {
    await isTold(page, path, () => page.fill("#q", field), /^\d+ (found|on this page)\.$/);
  }
  await isTable(page, "/operator/exits", 7);
  await page.judge("operator-exits-networks");
  const standing = (name) => page.locator(`dt:text-is("${name}") + dd`).textContent();
  await press(page, "#networks a[href='/operator/networks/NL-AMS']");
  await page.judge("operator-network");
  for (const [to, word, said] of [["draining", "Draining", /is sold any more/], ["disabled", "Disabled", /serve nobody/], ["open", "Open", /sold and served again/]]) {
    await press(page, `a[href$='?to=${to}']`);
    await page.judge(`operator-network-${to}`);
    await press(page, "main form button");
    expect(said.test(await notice(page)) && await standing(word) === "3", `all are ${word}: ${await standing(word)}`);
  }
  await page.judge("operator-network-opened");
}

async function stranger(page) {
  await page.goto("/sign-in");
  expect(await page.locator("#unreachable").isHidden(), "nothing is said while the shop is there");
  await page.context().setOffline(true);
  await page.waitForSelector("#unreachable:not([hidden])");
  await page.judge("sign-in-offline");
  await page.context().setOffline(false);
  await page.waitForSelector("#unreachable", { state: "hidden" });
}

const browser = await launched();
try {
  await visits(browser, [[BOTH, customer], [BOTH, networks], [BOTH, stranger]]);
  const phone = await open(browser, NARROW);
  await signIn(phone);
  await isTable(phone, "/subscriptions", 6);
  await isTable(phone, "/statement", 6);
  await phone.context().close();
  const desk = await open(browser, NARROW);
  await signIn(desk, OPERATOR, OPERATOR_PASSWORD);
  await isTable(desk, "/operator/exits", 7);
  await desk.context().close();
} finally {
  await browser.close();
}
ended();
