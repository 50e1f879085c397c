// Everything that an operator does on the pages, with all that is refused on the way.
import { OPERATOR, OPERATOR_PASSWORD, OTHER, expect, notice, press, signIn } from "./browser.mjs";

/** Everything that an operator does. With `page` without a script, the forms alone do it. */
export async function operate(page, script = true) {
  await signIn(page, OPERATOR, OPERATOR_PASSWORD);
  await press(page, "nav a[href='/operator']");
  await page.judge("operator-shop");
  await press(page, "nav a[href='/operator/gateways']");
  // The gateway has applied all that the customers did, and has said which program it is.
  for (let tries = 0; tries < 60 && await page.locator("dd .badge.good").count() === 0; tries += 1) {
    await page.waitForTimeout(250);
    await page.reload();
  }
  const gateways = await page.locator("main").textContent();
  expect(/Alive/.test(gateways) && /Up to date/.test(gateways) && /\d+\.\d+\.\d+/.test(gateways), `the gateway's version and revision: ${gateways}`);
  await page.judge("operator-gateways");
  await press(page, "nav a[href='/operator/trials']");
  await page.judge("operator-trials");
  await press(page, "nav a[href='/operator/accounts']");
  await page.judge("operator-accounts");
  await page.fill("#q", "no such account");
  if (script) await page.waitForSelector("#found .empty");
  else await press(page, "form[role=search] button");
  await page.judge("operator-accounts-none");
  await page.fill("#q", OTHER.toUpperCase());
  if (script) await page.waitForSelector("#found tbody tr:only-child");
  else await press(page, "form[role=search] button");
  // Pressed as slowly as people do: what was found stays under the finger, although the field above is left by it.
  await press(page, "#found tbody th a", { delay: 300 });
  const account = page.url();
  await page.judge("operator-account");
  await press(page, "a[href$='/money']");
  await page.judge("operator-money");
  await page.fill("[name=amount]", "1,50");
  await page.fill("[name=reason]", "<b>bank</b> transfer");
  await press(page, "main form button");
  expect(/above zero/.test(await page.locator("[role=alert]").textContent()), "a wrong amount is told");
  expect(await page.inputValue("[name=reason]") === "<b>bank</b> transfer", "what was typed stays");
  await page.judge("operator-money-refused");
  await page.fill("[name=amount]", "1.50");
  await press(page, "main form button");
  expect(/Booked/.test(await notice(page)) && page.url() === account, "the booking is told");
  expect(/\+1\.50/.test(await page.locator("section[aria-labelledby='statement-heading'] tbody tr").first().textContent()), "and stands first");
  await press(page, "a[href$='/money']");
  await page.check("[value=debit]");
  await page.fill("[name=amount]", "1.50");
  await page.fill("[name=reason]", "a mistake");
  await press(page, "main form button");
  expect(/Booked/.test(await notice(page)), "the debit is told");
  await press(page, "a[href$='/status']");
  await page.judge("operator-suspend");
  await press(page, "main form button");
  expect(/suspended/.test(await notice(page)), "the suspension is told");
  await page.judge("operator-account-suspended");
  await press(page, "a[href$='/status']");
  await page.judge("operator-resume");
  await press(page, "main form button");
  expect(/works again/.test(await notice(page)), "resuming is told");
  const keys = "section[aria-labelledby='keys-heading'] form button";
  const before = await page.locator(keys).first().textContent();
  await press(page, keys);
  expect(await page.locator(keys).first().textContent() !== before, "the permission has changed");
  await press(page, keys);
  await press(page, "a[href*='/operator/orders?account=']");
  await page.judge("operator-orders-of");
  const orders = page.url();
  await press(page, "nav a[href='/operator/orders']");
  await page.judge("operator-orders");
  await page.goto(orders);
  await press(page, "tbody tr:not(:has(.badge)) th a");
  await page.judge("operator-order");
  await press(page, "a[href$='/refund']");
  await page.judge("operator-refund");
  await page.fill("[name=reason]", "a change of mind");
  await press(page, "main form button");
  expect(/Refunded/.test(await notice(page)), "the refund is told");
  expect(await page.locator("a[href$='/refund']").count() === 0, "and is done once");
  expect(await page.locator("section[aria-labelledby='moved-heading'] tbody tr").count() === 4, "with every line of the ledger");
  await page.judge("operator-order-refunded");
  await exits(page, script);
  await catalogue(page);
  await lookAs(page, account);
  await press(page, "nav a[href='/operator/audit']");
  await page.judge("operator-audit");
  await page.fill("#q", "no such thing");
  if (script) await page.waitForSelector("#found .empty");
  else await press(page, "form[role=search] button");
  await page.judge("operator-audit-none");
}

/** An exit is found, rotated, tested by its gateway, drained, disabled and opened. */
async function exits(page, script) {
  await press(page, "nav a[href='/operator/exits']");
  await page.judge("operator-exits");
  await page.fill("#q", "no such exit");
  if (script) await page.waitForSelector("#found .empty");
  else await press(page, "form[role=search] button");
  await page.judge("operator-exits-none");
  await page.goto("/operator/exits");
  await press(page, "#found tbody th a");
  const exit = page.url();
  await press(page, "form[action$='/test'] button");
  const seen = await page.locator("section[aria-labelledby='test-heading']").textContent();
  expect(/It works/.test(seen) && /Seen from outside\s*127\./.test(seen), `a test through the exit: ${seen}`);
  if (await page.locator("form[action$='/rotate']").count() > 0) {
    await press(page, "form[action$='/rotate'] button");
    const told = await page.locator("main").textContent();
    expect(/Rotated\./.test(told), `rotating by hand: ${told}`);
  }
  await page.judge("operator-exit");
  for (const [to, told] of [["draining", /not sold any more/], ["disabled", /serves nobody/], ["open", /sold and served again/]]) {
    await page.goto(`${exit.split("#")[0]}/standing?to=${to}`);
    await page.judge(`operator-exit-${to}`);
    await press(page, "main form button");
    expect(told.test(await notice(page)), `${to} is told: ${await notice(page)}`);
  }
}

/** A plan and a coupon are made, changed and retired; the catalogue is exported, looked at and applied. */
async function catalogue(page) {
  await press(page, "nav a[href='/operator/catalogue']");
  await page.judge("operator-catalogue");
  const file = await page.request.get("/operator/catalogue/file");
  const text = await file.text();
  expect(file.ok() && text.includes("[[plan]]"), `the exported catalogue: ${text}`);
  await press(page, "a[href='/operator/catalogue/plan']");
  await page.fill("[name=code]", "new-plan");
  await page.fill("[name=duration]", "a while");
  await page.fill("[name=price]", "9.99");
  await press(page, "main form button.primary");
  expect(/^"Runs for" /.test(await page.locator("[role=alert]").textContent()), "a wrong duration is told by its label");
  await page.judge("operator-plan-refused");
  await page.fill("[name=duration]", "7d");
  await page.fill("[name=traffic_gb]", "50");
  await press(page, "main form button.primary");
  expect(/plan is saved/.test(await notice(page)), "the plan is saved");
  await press(page, "a[href='/operator/catalogue/plan?code=new-plan']");
  expect(await page.inputValue("[name=price]") === "9.99" && await page.inputValue("[name=traffic_gb]") === "50", "what was saved is shown");
  await page.judge("operator-plan");
  await press(page, "form[action$='/plan/retire'] button");
  expect(/not sold any more/.test(await notice(page)), "the plan is retired");
  await press(page, "a[href='/operator/catalogue/coupon']");
  await page.fill("[name=code]", "SPRING");
  await page.fill("[name=percent_off]", "15");
  await page.fill("[name=valid_until]", "2099-01-01T12:30");
  await press(page, "main form button.primary");
  expect(/coupon is saved/.test(await notice(page)), "the coupon is saved");
  await press(page, "a[href='/operator/catalogue/coupon?code=SPRING']");
  expect(await page.inputValue("[name=valid_until]") === "2099-01-01T12:30", "its end is shown");
  await page.judge("operator-coupon");
  await page.goto("/operator/catalogue/import");
  await page.judge("operator-import");
  await page.fill("textarea[name=text]:visible", text.replace("[[plan]]", "[[plan]]\nprize = 1"));
  await press(page, "main form button:not(.danger)");
  expect(/line \d+/.test(await page.locator("[role=alert]").textContent()), "a mistake is told with its line");
  await page.fill("textarea[name=text]:visible", text);
  await press(page, "main form button:not(.danger)");
  const difference = await page.locator("section[aria-labelledby='difference-heading']").textContent();
  expect(/coupon SPRING/.test(difference) && !/plan /.test(difference), `the difference alone: ${difference}`);
  await page.judge("operator-import-difference");
  await press(page, "section[aria-labelledby='difference-heading'] button");
  expect(/applied/.test(await notice(page)), "the catalogue is applied");
  expect(await page.locator("a[href$='code=SPRING']").count() === 0, "and the coupon is gone");
}

/** A customer's pages are looked at, and nothing is changed there. */
async function lookAs(page, account) {
  await page.goto(account);
  await press(page, "form[action$='/view'] button");
  await page.judge("operator-view-overview");
  await page.goto("/subscriptions");
  await page.judge("operator-view-subscriptions");
  await page.goto("/keys");
  await page.fill("[name=name]", "Mine");
  await press(page, "form[action='/keys'] button");
  expect(/nothing can be changed/.test(await page.locator("main").textContent()), "nothing is changed in a customer's name");
  await page.judge("operator-view-refused");
  await press(page, "form.viewing button");
  expect(page.url() === account && /your own pages again/.test(await notice(page)), "the operator is back at his desk");
}
