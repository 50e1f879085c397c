// What few shops and few customers have.
import { BOTH, OPERATOR, OPERATOR_PASSWORD, OTHER, ended, expect, launched, press, signIn, visits } from "./browser.mjs";

const IDS = Object.fromEntries(Object.entries(JSON.parse(process.env.IDS)).map(([what, id]) => [what, `/subscriptions/${id}`]));

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
}

const browser = await launched();
try {
  await Promise.all([visits(browser, [[BOTH, stranger], [BOTH, customer]]), visits(browser, [[BOTH, operator]])]);
} finally {
  await browser.close();
}
ended();
