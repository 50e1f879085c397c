// What few shops and few customers have.
import { BOTH, OPERATOR, OPERATOR_PASSWORD, OTHER, PASSWORD, ended, expect, launched, notice, press, signIn, visits } from "./browser.mjs";

const IDS = Object.fromEntries(Object.entries(JSON.parse(process.env.IDS)).map(([what, id]) => [what, `/subscriptions/${id}`]));
/** What the books have of the shared subscription's traffic: the start of each hour, bytes sent, bytes received. */
const BOOKED = JSON.parse(process.env.BOOKED);

async function stranger(page) {
  await page.goto("/sign-in");
  expect(await page.locator("a[href='/sign-up']").count() === 0, "nobody is sent to where he cannot sign up");
  await page.judge("sign-in-without-sign-up");
  const answer = await page.goto("/sign-up");
  expect(answer.status() === 404, `there is no signing up: ${answer.status()}`);
  await page.judge("sign-up-off");
}

async function customer(page) {
  await signIn(page);
  await page.goto("/plans");
  expect(/20 connections/.test(await page.locator("#plans").textContent()), "what a plan limits is told before it is bought");
  await page.judge("plans-limited");
  await press(page, ".plan:has-text('NL-AMS') a.button");
  expect(/^Sold out/.test(await page.locator("#price .wrong").textContent()), "both of its slots are taken");
  await page.judge("order-limited");
  await page.goto(IDS.shared);
  const told = await page.locator("main").textContent();
  expect(/Shared/.test(told) && await page.locator("form[action$='/rotate']").count() === 0, "nobody rotates what another one uses too");
  expect(/Traffic left\s*[\d.]+ GB \/ 5/.test(told), `what is left of its traffic is told: ${told}`);
  expect(await page.locator("section[aria-labelledby=switch-heading] form").count() === 0 && /No other network has room/.test(told), "there is nowhere to go");
  await page.judge("subscription-shared");
  await traffic(page);
  await page.goto(IDS.usedUp);
  expect(/Traffic left\s*0 B \/ 100/.test(await page.locator("main").textContent()), "nothing is left of a trial's traffic");
  await page.judge("subscription-used-up");
  await page.goto(IDS.unrenewable);
  await page.judge("subscription-plan-retired");
  await press(page, "a[href$='/renew']");
  expect(/No plan can renew/.test(await page.locator("main .caution").textContent()), "what cannot be renewed is told");
  await page.judge("renewal-none");
  await page.goto("/keys");
  expect(await page.locator("tr:has-text('Last year') .badge.bad").count() === 1, "a key that is over is marked");
  await page.judge("keys-expired");
  await page.goto("/notices");
  expect(/sends no notices/.test(await page.locator("main").textContent()), "a shop that tells nothing says so");
  await page.judge("notices-off");
  await chosen(page);
  await searching(page);
  await confirming(page);
}

/** A size as it is read. */
function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const unit = units.findLast((_, power) => power === 0 || bytes >= 1000 ** power);
  return unit === "B" ? `${bytes} B` : `${(Math.floor(bytes * 10 / 1000 ** units.indexOf(unit)) / 10).toFixed(1)} ${unit}`;
}

/** The table beside a subscription's chart has for each day what the books have of its hours, and nothing of the days before. */
async function traffic(page) {
  await page.click("section[aria-labelledby=traffic-heading] summary");
  const told = await page.locator("section[aria-labelledby=traffic-heading] tbody tr").evaluateAll((rows) => rows.map((row) => [...row.children].map((cell) => cell.textContent)));
  const days = new Map(told.map(([day]) => [day, [0, 0]]));
  for (const [hour, up, down] of BOOKED) {
    const sum = days.get(new Date(hour).toLocaleDateString("en-US", { day: "numeric", month: "short", timeZone: "UTC" }).replace(/^(\w+) (\d+)$/, "$2 $1"));
    if (sum) [sum[0], sum[1]] = [sum[0] + up, sum[1] + down];
  }
  const booked = [...days].map(([day, [up, down]]) => [day, size(down), size(up)]);
  expect(booked.length === 14 && booked.filter(([, down]) => down !== "0 B").length === 2, `two weeks, and two days with traffic: ${booked.join("; ")}`);
  expect(told.join("; ") === booked.join("; "), `${told.join("; ")} is told, and ${booked.join("; ")} is booked`);
  const total = [...days.values()].reduce((sum, [up, down]) => sum + up + down, 0);
  const shown = await page.locator("section[aria-labelledby=traffic-heading] strong").textContent();
  expect(shown === size(total), `${shown} is told, and ${size(total)} is booked`);
}

/** The selects above what a customer has: each shows what fits, in the order that is wanted. */
async function chosen(page) {
  await page.goto("/subscriptions");
  const shows = async (wanted, what) => {
    const isThere = page.waitForFunction((paths) => [...document.querySelectorAll("#found tbody th a")].map((link) => link.getAttribute("href")).join() === paths,
      wanted.map((name) => IDS[name]).join(), { timeout: 10_000 });
    expect(await isThere.then(() => true, () => false), `${what}: ${await page.locator("#found tbody").textContent()}`);
  };
  await shows(["unrenewable", "usedUp", "shared"], "what was bought last stands first");
  for (const [name, value, wanted] of [
    ["type", "shared", ["usedUp", "shared"]], ["type", "", ["unrenewable", "usedUp", "shared"]],
    ["country", "FR", ["unrenewable"]], ["country", "", ["unrenewable", "usedUp", "shared"]], ["line", "mobile", ["usedUp", "shared"]],
    ["order", "oldest", ["shared", "usedUp"]], ["line", "", ["shared", "usedUp", "unrenewable"]],
    ["order", "end", ["usedUp", "shared", "unrenewable"]], ["country", "NL", ["shared"]],
  ]) {
    await page.selectOption(`[name=${name}]`, value);
    await shows(wanted, `${name} ${value}`);
  }
  await page.judge("subscriptions-chosen");
  await page.reload();
  await shows(["shared"], "the address names what was chosen");
  expect(await page.inputValue("[name=country]") === "NL" && await page.inputValue("[name=order]") === "end", "and so do the selects");
}

/** While a search takes its time, its button says so. */
async function searching(page) {
  await page.goto("/subscriptions");
  let answer;
  const waits = new Promise((resolve) => { answer = resolve; });
  await page.route("**/subscriptions?*", async (route) => {
    await waits;
    await route.continue();
  });
  await page.fill("#q", "nothing like it");
  await page.waitForSelector("form.htmx-request");
  await page.judge("subscriptions-searching");
  answer();
  await page.waitForSelector("#found .empty");
  await page.waitForSelector("form[role=search]:not(.htmx-request)");
  await page.unroute("**/subscriptions?*");
}

/** Whoever gives a wrong password once more goes nowhere; with the right one he is where he wanted to go. */
async function confirming(page) {
  await page.goto("/confirm?next=/keys");
  await page.fill("[name=password]", "not the password");
  await press(page, "main button");
  expect(/password is wrong/.test(await page.locator("[role=alert]").textContent()), "the wrong password is told");
  await page.judge("confirm-refused");
  await page.fill("[name=password]", PASSWORD);
  await press(page, "main button");
  expect(new URL(page.url()).pathname === "/keys", `the right one leads on: ${page.url()}`);
}

async function operator(page) {
  await signIn(page, OPERATOR, OPERATOR_PASSWORD);
  await page.goto("/keys");
  await page.fill("[name=name]", "Shop panel");
  await page.check("[name=operator]");
  await page.judge("keys-operator-form");
  await press(page, "form[action='/keys'] button");
  expect(/^rk_/.test(await page.locator(".copyable code").textContent()), "an operator's key is made");
  expect(await page.locator("tr:has-text('Shop panel') .badge.warn").count() === 1, "and marked");
  await page.judge("keys-operator");
  await page.goto("/operator");
  const needs = page.locator("section[aria-labelledby=needs-heading]");
  expect(/groningen: .*3/.test(await needs.textContent()), `who does not keep up is told: ${await needs.textContent()}`);
  await page.judge("operator-shop-behind");
  await page.goto("/operator/gateways");
  expect(await page.locator(".card:has-text('groningen') .badge.good").count() === 1, "it lives");
  expect(await page.locator(".card:has-text('groningen') .badge.warn").count() === 1, "and is behind");
  await page.judge("operator-gateways-behind");
  await page.goto("/operator/exits");
  await press(page, "#found tbody tr:has-text('nl-shared') th a");
  expect(await page.locator("section[aria-labelledby=holders-heading] tbody tr").count() === 2, "an exit has two holders");
  await page.judge("operator-exit-shared");
  await page.goto(`/operator/accounts?q=${encodeURIComponent(OTHER)}`);
  await press(page, "#found tbody th a");
  await page.judge("operator-account-shared");
  await himself(page);
  await coupon(page);
}

/** Who would shut himself out is told so, and stays in. */
async function himself(page) {
  await page.goto(`/operator/accounts?q=${encodeURIComponent(OPERATOR)}`);
  await press(page, "#found tbody th a");
  const account = page.url();
  await press(page, "a[href$='/status']");
  await press(page, "main form button");
  expect(/own account/.test(await page.locator("[role=alert]").textContent()), `he cannot suspend himself: ${await page.locator("main").textContent()}`);
  await page.judge("operator-suspend-himself");
  await page.goto(account);
  expect(await page.locator("dd .badge.good").count() === 1, "he is as he was");
}

/** A coupon is changed; what does not fit is told, and what was typed stays. */
async function coupon(page) {
  const edit = "a[href='/operator/catalogue/coupon?code=SUMMER']";
  await page.goto("/operator/catalogue/coupon");
  await page.fill("[name=code]", "SUMMER");
  await page.fill("[name=percent_off]", "10");
  await press(page, "main form button.primary");
  await press(page, edit);
  await page.fill("[name=percent_off]", "101");
  await page.fill("[name=per_account]", "2");
  await press(page, "main form button.primary");
  expect(/^"Per cent off" /.test(await page.locator("[role=alert]").textContent()), "more than all of a price is told, by its label");
  expect(await page.inputValue("[name=percent_off]") === "101" && await page.inputValue("[name=per_account]") === "2", "what was typed stays");
  await page.judge("operator-coupon-edit-refused");
  await page.fill("[name=percent_off]", "20");
  await press(page, "main form button.primary");
  expect(/coupon is saved/.test(await notice(page)), "the change is saved");
  await press(page, edit);
  expect(await page.inputValue("[name=percent_off]") === "20" && await page.inputValue("[name=per_account]") === "2", "and is shown");
}

const browser = await launched();
try {
  await Promise.all([visits(browser, [[BOTH, stranger], [BOTH, customer]]), visits(browser, [[BOTH, operator]])]);
} finally {
  await browser.close();
}
ended();
