// A customer with 10,000 subscriptions finds one, sorts them and leafs through them.
import { BOTH, ended, expect, launched, press, signIn, visits } from "./browser.mjs";

/** The ports of the page that is open. */
const ports = (page) => page.locator("#found tbody th a").allTextContents();

async function many(page) {
  await signIn(page);
  await page.judge("overview-many");
  await page.goto("/subscriptions");
  await page.judge("subscriptions-many");
  const first = await ports(page);
  expect(first.length > 0 && first.length <= 100, `a page of them: ${first.length}`);
  await press(page, ".pages a:last-child");
  const second = await ports(page);
  expect(second.length === first.length && !second.some((port) => first.includes(port)), "the next page has others");
  await press(page, ".pages a[href='/subscriptions']");
  expect((await ports(page)).join() === first.join(), "and the first is there again");
  await page.fill("#q", "customer 07777");
  await page.waitForSelector("#found tbody tr:only-child");
  expect(/Customer 07777/.test(await page.locator("#found tbody").textContent()), "one is found by its note");
  await page.fill("#q", "");
  await page.waitForFunction((length) => document.querySelectorAll("#found tbody tr").length === length, first.length);
  await page.selectOption("[name=order]", "end");
  await page.waitForFunction(() => /Customer 00001/.test(document.querySelector("#found tbody").textContent));
  await page.judge("subscriptions-many-sorted");
  await page.selectOption("[name=state]", "expired");
  await page.waitForSelector("#found .empty");
}

const browser = await launched();
try {
  await visits(browser, [[BOTH, many]]);
} finally {
  await browser.close();
}
ended();
