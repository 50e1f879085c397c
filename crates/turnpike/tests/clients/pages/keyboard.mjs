// The keyboard alone does it, and the focus is seen on the way.
import { EMAIL, OPERATOR, OPERATOR_PASSWORD, OTHER, PASSWORD, expect, failures, notice } from "./browser.mjs";

async function enter(page, email, password) {
  await page.goto("/sign-in");
  await page.keyboard.type(email);
  await page.keyboard.press("Tab");
  await page.keyboard.type(password);
  await page.keyboard.press("Enter");
  await page.waitForURL("**/overview");
}

/** Goes on from one thing to the next, until it is at what is wanted. */
async function reach(page, selector) {
  for (let steps = 0; steps < 120; steps += 1) {
    await page.keyboard.press("Tab");
    const { there, seen } = await page.evaluate((wanted) => ({
      there: document.activeElement.matches(wanted),
      seen: document.activeElement === document.body || getComputedStyle(document.activeElement).outlineStyle !== "none",
    }), selector);
    expect(seen, `the focus is seen on the way to ${selector} at ${page.url()}`);
    if (there) return;
  }
  failures.push(`no way by keyboard to ${selector} at ${page.url()}`);
}

/** Presses Enter on what is wanted, and waits for the next page. */
async function go(page, selector) {
  await reach(page, selector);
  await Promise.all([page.waitForEvent("load"), page.keyboard.press("Enter")]);
}

/** A customer buys, rotates and writes a note. */
export async function customerByKeyboard(page) {
  await enter(page, EMAIL, PASSWORD);
  await go(page, "nav a[href='/plans']");
  await go(page, ".plan a.primary");
  await go(page, "#price button.primary");
  expect(/Bought/.test(await notice(page)), "bought by keyboard");
  await reach(page, "[name=note]");
  await page.keyboard.type("By keyboard");
  await Promise.all([page.waitForEvent("load"), page.keyboard.press("Enter")]);
  expect(await page.inputValue("[name=note]") === "By keyboard", "noted by keyboard");
}

/** An operator finds an account, credits it, refunds an order, drains an exit and retires a plan. */
export async function operatorByKeyboard(page) {
  await enter(page, OPERATOR, OPERATOR_PASSWORD);
  await go(page, "nav a[href='/operator/accounts']");
  await reach(page, "#q");
  await page.keyboard.type(OTHER);
  await page.waitForSelector("#found tbody tr:only-child");
  await go(page, "#found tbody th a");
  const account = page.url();
  await go(page, "a[href$='/money']");
  await reach(page, "[name=amount]");
  await page.keyboard.type("2.00");
  await reach(page, "[name=reason]");
  await page.keyboard.type("by keyboard");
  await Promise.all([page.waitForEvent("load"), page.keyboard.press("Enter")]);
  expect(/Booked/.test(await notice(page)), "credited by keyboard");
  await page.goto(account);
  await go(page, "a[href*='/operator/orders?account=']");
  await page.goto(await page.locator("tbody tr:not(:has(.badge)) th a").first().getAttribute("href"));
  await go(page, "a[href$='/refund']");
  await reach(page, "[name=reason]");
  await page.keyboard.type("by keyboard");
  await go(page, "main form button");
  expect(/Refunded/.test(await notice(page)), "refunded by keyboard");
  await go(page, "nav a[href='/operator/exits']");
  await go(page, "#found tbody th a");
  await go(page, "a[href$='to=draining']");
  await go(page, "main form button");
  expect(/not sold any more/.test(await notice(page)), "drained by keyboard");
  await go(page, "a[href$='to=open']");
  await go(page, "main form button");
  expect(/sold and served again/.test(await notice(page)), "opened by keyboard");
  await go(page, "nav a[href='/operator/catalogue']");
  await go(page, "a[href='/operator/catalogue/plan']");
  for (const [field, text] of [["code", "by-keyboard"], ["duration", "7d"], ["price", "9.99"]]) {
    await reach(page, `[name=${field}]`);
    await page.keyboard.type(text);
  }
  await Promise.all([page.waitForEvent("load"), page.keyboard.press("Enter")]);
  expect(/plan is saved/.test(await notice(page)), "a plan is made by keyboard");
  await go(page, "a[href='/operator/catalogue/plan?code=by-keyboard']");
  await go(page, "form[action$='/plan/retire'] button");
  expect(/not sold any more/.test(await notice(page)), "and retired");
}
