// The keyboard alone does it, and the focus is seen on the way.
import { code } from "./entry.mjs";
import { EMAIL, OPERATOR, OPERATOR_PASSWORD, OTHER, PASSWORD, confirmed, expect, failures, notice } from "./browser.mjs";

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

/** Fills a field in, wherever the focus is before it. */
async function fill(page, selector, text) {
  await reach(page, selector);
  await page.keyboard.type(text);
}

/** Sends the form whose field has the focus. */
async function enterForm(page) {
  await Promise.all([page.waitForEvent("load"), page.keyboard.press("Enter")]);
}

/** A customer buys, writes a note, rotates and renews. */
export async function customerByKeyboard(page) {
  await enter(page, EMAIL, PASSWORD);
  await go(page, "nav a[href='/plans']");
  await go(page, ".plan a.primary[aria-label*='Private']");
  await go(page, "#price button.primary");
  expect(/Bought/.test(await notice(page)), "bought by keyboard");
  await fill(page, "[name=note]", "By keyboard");
  await enterForm(page);
  expect(await page.inputValue("[name=note]") === "By keyboard", "noted by keyboard");
  await go(page, "form[action$='/rotate'] button");
  expect(/Rotated/.test(await notice(page)), "rotated by keyboard");
  const before = await page.locator(".lead").first().textContent();
  await go(page, "a[href$='/renew']");
  await go(page, "#price button.primary");
  expect(/Renewed/.test(await notice(page)), "renewed by keyboard");
  expect(await page.locator(".lead").first().textContent() !== before, "and ends later");
}

/** Somebody signs up, makes an API key and sets up the second factor. */
export async function newcomerByKeyboard(page) {
  const [email, password] = ["keyboard@example.com", "correct horse battery"];
  await page.goto("/sign-in");
  await go(page, "a[href='/sign-up']");
  // The first field has the focus already.
  await page.keyboard.type(email);
  await fill(page, "[name=password]", password);
  await enterForm(page);
  expect(page.url().endsWith("/overview"), "signed up by keyboard");
  await go(page, "nav a[href='/keys']");
  await fill(page, "[name=name]", "By keyboard");
  await reach(page, "[name=access]");
  await page.keyboard.press("ArrowDown");
  expect(await page.isChecked("[name=access][value=full]"), "another kind is chosen by keyboard");
  await go(page, "form[action='/keys'] button");
  if (await confirmed(page, password)) await go(page, "form[action='/keys'] button");
  expect(/^rk_/.test(await page.locator(".copyable code").textContent()), "a key is made by keyboard");
  await go(page, "nav a[href='/account']");
  await go(page, "a[href='/account/second-factor']");
  const secret = await page.locator(".key").textContent();
  await fill(page, "[name=code]", code(secret));
  await enterForm(page);
  expect(await page.locator(".codes code").count() > 4, "the second factor is set up by keyboard");
}

/** An operator finds an account, credits it, refunds an order, drains an exit and retires a plan. */
export async function operatorByKeyboard(page) {
  await enter(page, OPERATOR, OPERATOR_PASSWORD);
  await go(page, "nav a[href='/operator/accounts']");
  await fill(page, "#q", OTHER);
  await page.waitForSelector("#found tbody tr:only-child");
  await go(page, "#found tbody th a");
  const account = page.url();
  await go(page, "a[href$='/money']");
  await fill(page, "[name=amount]", "2.00");
  await fill(page, "[name=reason]", "by keyboard");
  await enterForm(page);
  expect(/Booked/.test(await notice(page)), "credited by keyboard");
  await page.goto(account);
  await go(page, "a[href*='/operator/orders?account=']");
  await page.goto(await page.locator("tbody tr:not(:has(.badge)) th a").first().getAttribute("href"));
  await go(page, "a[href$='/refund']");
  await fill(page, "[name=reason]", "by keyboard");
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
    await fill(page, `[name=${field}]`, text);
  }
  await enterForm(page);
  expect(/plan is saved/.test(await notice(page)), "a plan is made by keyboard");
  await go(page, "a[href='/operator/catalogue/plan?code=by-keyboard']");
  await go(page, "form[action$='/plan/retire'] button");
  expect(/not sold any more/.test(await notice(page)), "and retired");
}
