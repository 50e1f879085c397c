// Ten thousand of everything: a customer and an operator find one, sort them and leaf through them.
import { BOTH, OPERATOR, OPERATOR_PASSWORD, ended, expect, launched, press, signIn, visits } from "./browser.mjs";

const MANY = Number(process.env.MANY);

/** What the rows of the page that is open begin with. */
const heads = (page) => page.locator("#found tbody th, main > .card tbody th").allTextContents();

/** The page that is open has a part of them; the next one has others, and from there the first is found again. */
async function leaf(page, name, key = heads) {
  await page.judge(`${name}-many`);
  const first = await key(page);
  expect(first.length > 0 && first.length <= 100, `a page of ${name}: ${first.length}`);
  await press(page, ".pages a:last-child");
  const second = await key(page);
  expect(second.length === first.length && !second.some((one) => first.includes(one)), `the next page of ${name} has others`);
  await page.judge(`${name}-many-next`);
  await press(page, ".pages a:first-child");
  expect((await key(page)).join() === first.join(), `and the first of ${name} is there again`);
}

/** Types what is looked for, and waits until it alone is there. */
async function find(page, text, found) {
  await page.fill("#q", text);
  await page.waitForSelector("#found tbody tr:only-child");
  expect((await page.locator("#found tbody").textContent()).includes(found), `${found} is found`);
}

async function customer(page) {
  await signIn(page);
  await page.judge("overview-many");
  await page.goto("/subscriptions");
  await leaf(page, "subscriptions");
  const first = await heads(page);
  await find(page, "customer 07777", "Customer 07777");
  await page.fill("#q", "");
  await page.waitForFunction((length) => document.querySelectorAll("#found tbody tr").length === length, first.length);
  await page.selectOption("[name=order]", "end");
  await page.waitForFunction(() => /Customer 00001/.test(document.querySelector("#found tbody").textContent));
  await page.judge("subscriptions-many-sorted");
  await page.selectOption("[name=state]", "expired");
  await page.waitForSelector("#found .empty");
  await page.goto("/statement");
  // Each line's running balance is its own.
  await leaf(page, "statement", (open) => open.locator("tbody td:last-child").allTextContents());
  const file = await (await page.request.get("/statement.csv")).text();
  expect(file.trim().split(/\r?\n/).length > MANY, "the file has every line");
}

async function operator(page) {
  await signIn(page, OPERATOR, OPERATOR_PASSWORD);
  await page.goto("/operator");
  await page.judge("operator-shop-many");
  await page.goto("/operator/accounts");
  await leaf(page, "operator-accounts");
  await find(page, "person-07777@", "person-07777@host-77.example");
  await page.goto("/operator/orders");
  await leaf(page, "operator-orders", (open) => open.locator("tbody th a").evaluateAll((links) => links.map((link) => link.href)));
  await page.goto("/operator/exits");
  await leaf(page, "operator-exits", (open) => open.locator("#found tbody th").allTextContents());
  await find(page, "exit-07777", "exit-07777");
  await page.goto("/operator/audit");
  await leaf(page, "operator-audit", (open) => open.locator("tbody td:nth-child(3)").allTextContents());
  await find(page, "subject-07777", "subject-07777");
  await page.goto("/operator/audit?action=exit.");
  await page.judge("operator-audit-many-filtered");
}

const browser = await launched();
try {
  await Promise.all([visits(browser, [[BOTH, customer]]), visits(browser, [[BOTH, operator]])]);
} finally {
  await browser.close();
}
ended();
