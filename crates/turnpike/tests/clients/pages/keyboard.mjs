// The keyboard alone does it, and the focus is seen on the way.
import { code } from "./entry.mjs";
import { OPERATOR, OPERATOR_PASSWORD, OTHER, THIRD, THIRD_PASSWORD, expect, failures, notice } from "./browser.mjs";

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

/** Types what is looked for, and opens the one that is found. What a part of it has found is replaced once more, and the focus with it. */
async function find(page, text) {
  await fill(page, "#q", text);
  await page.waitForURL((url) => url.searchParams.get("q") === text);
  await page.waitForSelector("#found tbody tr:only-child");
  await go(page, "#found tbody th a");
}

/** Sends the form whose field has the focus. */
async function enterForm(page) {
  await Promise.all([page.waitForEvent("load"), page.keyboard.press("Enter")]);
}

/** Gives the password where the shop wants it once more; the field has the focus already. Whether it did. */
async function confirm(page, password) {
  if (new URL(page.url()).pathname !== "/confirm") return false;
  await page.keyboard.type(password);
  await enterForm(page);
  return true;
}

const width = (page) => page.viewportSize().width;

/** A customer buys, writes a note, rotates and renews; then all else that a subscription's page is for. */
export async function customerByKeyboard(page) {
  const note = `By keyboard at ${width(page)}`;
  await enter(page, THIRD, THIRD_PASSWORD);
  await go(page, "nav a[href='/plans']");
  await go(page, ".plan a.primary[aria-label*='Private']");
  await go(page, "#price button.primary");
  expect(/Bought/.test(await notice(page)), "bought by keyboard");
  await fill(page, "[name=note]", note);
  await enterForm(page);
  expect(await page.inputValue("[name=note]") === note, "noted by keyboard");
  await go(page, "form[action$='/rotate'] button");
  expect(/Rotated/.test(await notice(page)), "rotated by keyboard");
  await reach(page, "[name=minutes]");
  await page.keyboard.press("ArrowDown");
  const policy = await page.inputValue("[name=minutes]");
  await go(page, "form[action$='/policy'] button");
  expect(policy !== "0" && await page.inputValue("[name=minutes]") === policy, `rotates by itself every ${policy} minutes, by keyboard`);
  await go(page, "form[action$='/test'] button");
  expect(/It works/.test(await page.locator("#test [role=status]").textContent()), "tested by keyboard");
  const before = await page.locator(".lead").first().textContent();
  await go(page, "a[href$='/renew']");
  await go(page, "#price button.primary");
  expect(/Renewed/.test(await notice(page)), "renewed by keyboard");
  expect(await page.locator(".lead").first().textContent() !== before, "and ends later");
  await linksByKeyboard(page);
  await reach(page, "form[action$='/auto-renew'] select");
  await page.keyboard.press("ArrowDown");
  await go(page, "form[action$='/auto-renew'] button");
  expect(/It will renew itself/.test(await notice(page)), "renews itself by keyboard");
  const shown = page.locator("#connect-heading ~ dl code").last();
  const [password, subscription] = [await shown.textContent(), page.url()];
  await go(page, "form[action$='/credentials'] button");
  if (await confirm(page, THIRD_PASSWORD)) {
    await page.goto(subscription);
    await go(page, "form[action$='/credentials'] button");
  }
  expect(await shown.textContent() !== password, "a new password by keyboard");
  await reach(page, "form[action$='/network'] select");
  // A letter chooses what begins with it; the one exit of another network is somebody else's.
  await page.keyboard.type("NL");
  await go(page, "form[action$='/network'] button");
  expect(/Switched/.test(await notice(page)), "switched by keyboard");
  await go(page, "nav a[href='/subscriptions']");
  await find(page, note);
  expect(await page.inputValue("[name=note]") === note, "found by keyboard");
}

async function linksByKeyboard(page) {
  await go(page, "a[href$='/links']");
  await fill(page, "[name=name]", "By keyboard");
  await reach(page, "[name=kind]");
  await page.keyboard.press("ArrowDown");
  await go(page, "form[action$='/links'] button");
  expect(await page.locator("tbody tr").count() === 2, "a link is made by keyboard");
  await go(page, "form[action$='/revoke'] button");
  expect(await page.locator("tbody tr").count() === 1, "and taken back");
  await go(page, ".crumb a");
}

/** Somebody signs up, makes an API key and sets up the second factor. */
export async function newcomerByKeyboard(page) {
  const [email, password] = [`keyboard-${width(page)}@example.com`, "correct horse battery"];
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
  if (await confirm(page, password)) await go(page, "form[action='/keys'] button");
  expect(/^rk_/.test(await page.locator(".copyable code").textContent()), "a key is made by keyboard");
  await noticesByKeyboard(page);
  await go(page, "nav a[href='/account']");
  await go(page, "a[href='/account/second-factor']");
  const secret = await page.locator(".key").textContent();
  await fill(page, "[name=code]", code(secret));
  await enterForm(page);
  expect(await page.locator(".codes code").count() > 4, "the second factor is set up by keyboard");
}

async function noticesByKeyboard(page) {
  await go(page, "nav a[href='/notices']");
  const choice = "[name='account.signed_in webhook']";
  const before = await page.isChecked(choice);
  await reach(page, choice);
  await page.keyboard.press("Space");
  await fill(page, "[name=low]", "7.50");
  await enterForm(page);
  expect(/Saved/.test(await notice(page)) && await page.isChecked(choice) !== before, "what is told is chosen by keyboard");
  expect(await page.inputValue("[name=low]") === "7.50", "and from which balance on");
}

/** An operator finds an account, credits and suspends it, looks at its pages, refunds an order, drains and disables an exit, drains a network, retires a plan, changes a coupon, and imports a catalogue. */
export async function operatorByKeyboard(page) {
  const code = `by-keyboard-${width(page)}`;
  await enter(page, OPERATOR, OPERATOR_PASSWORD);
  await go(page, "nav a[href='/operator/accounts']");
  await find(page, OTHER);
  const account = page.url();
  await go(page, "a[href$='/money']");
  await fill(page, "[name=amount]", "2.00");
  await fill(page, "[name=reason]", "by keyboard");
  await enterForm(page);
  expect(/Booked/.test(await notice(page)), "credited by keyboard");
  await page.goto(account);
  for (const [to, told] of [["suspended", /suspended/], ["active", /works again/]]) {
    await go(page, "a[href$='/status']");
    await go(page, "main form button");
    expect(told.test(await notice(page)), `${to} by keyboard`);
  }
  await go(page, "form[action$='/view'] button");
  expect(await page.locator("form.viewing").count() === 1, "a customer's pages are looked at by keyboard");
  await go(page, "form.viewing button");
  expect(/your own pages again/.test(await notice(page)), "and left again");
  await go(page, "a[href*='/operator/orders?account=']");
  await page.goto(await page.locator("tbody tr:not(:has(.badge)) th a").first().getAttribute("href"));
  await go(page, "a[href$='/refund']");
  await fill(page, "[name=reason]", "by keyboard");
  await go(page, "main form button");
  expect(/Refunded/.test(await notice(page)), "refunded by keyboard");
  await exitsByKeyboard(page);
  await go(page, "nav a[href='/operator/catalogue']");
  await go(page, "a[href='/operator/catalogue/plan']");
  for (const [field, text] of [["code", code], ["duration", "7d"], ["price", "9.99"]]) {
    await fill(page, `[name=${field}]`, text);
  }
  await enterForm(page);
  expect(/plan is saved/.test(await notice(page)), "a plan is made by keyboard");
  await go(page, `a[href='/operator/catalogue/plan?code=${code}']`);
  await go(page, "form[action$='/plan/retire'] button");
  expect(/not sold any more/.test(await notice(page)), "and retired");
  const file = await (await page.request.get("/operator/catalogue/file")).text();
  await couponByKeyboard(page, code.toUpperCase());
  await importByKeyboard(page, file, code.toUpperCase());
}

/** An exit, and then all of a network. */
async function exitsByKeyboard(page) {
  await go(page, "nav a[href='/operator/exits']");
  await go(page, "#found tbody th a");
  for (const [to, told] of [["draining", /not sold any more/], ["disabled", /serves nobody/], ["open", /sold and served again/]]) {
    await go(page, `a[href$='to=${to}']`);
    await go(page, "main form button");
    expect(told.test(await notice(page)), `an exit is ${to} by keyboard`);
  }
  await go(page, "nav a[href='/operator/exits']");
  await go(page, "a[href='/operator/networks/AT-VIE']");
  for (const [to, told] of [["draining", /is sold any more/], ["open", /sold and served again/]]) {
    await go(page, `a[href$='to=${to}']`);
    await go(page, "main form button");
    expect(told.test(await notice(page)), `a network is ${to} by keyboard`);
  }
}

async function couponByKeyboard(page, code) {
  await go(page, "a[href='/operator/catalogue/coupon']");
  await fill(page, "[name=code]", code);
  await fill(page, "[name=percent_off]", "15");
  await enterForm(page);
  expect(/coupon is saved/.test(await notice(page)), "a coupon is made by keyboard");
  const edit = `a[href='/operator/catalogue/coupon?code=${code}']`;
  await go(page, edit);
  // What is in a field is chosen when it is reached, so that typing replaces it.
  await fill(page, "[name=percent_off]", "25");
  await enterForm(page);
  await go(page, edit);
  expect(await page.inputValue("[name=percent_off]") === "25", "and changed");
  await go(page, ".crumb a");
}

/** The catalogue as it was before there was that coupon. */
async function importByKeyboard(page, file, coupon) {
  await go(page, "a[href='/operator/catalogue/import']");
  await reach(page, "textarea.mono");
  // As whoever pastes it.
  await page.keyboard.insertText(file);
  await go(page, "form.stack button");
  expect((await page.locator("section[aria-labelledby='difference-heading']").textContent()).includes(coupon), "the difference is shown by keyboard");
  await go(page, "section[aria-labelledby='difference-heading'] button");
  expect(/applied/.test(await notice(page)), "a catalogue is imported by keyboard");
  expect(await page.locator(`a[href$='code=${coupon}']`).count() === 0, "and the coupon is gone");
}
