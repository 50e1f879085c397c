// Forms alone do it: everything that a customer does, in a browser that runs no script, and what operators do to networks.
import { readFile } from "node:fs/promises";

import { OPERATOR, OPERATOR_PASSWORD, dangerous, expect, notice, press, signIn } from "./browser.mjs";

/** Everything that a customer does, without a script. */
export async function plain(page) {
  await signIn(page);
  await buy(page);
  const subscription = page.url();
  await page.judge("subscription");
  expect(await page.locator("button[data-copy]:visible").count() === 0, "no button that does nothing");
  await keep(page);
  await change(page);
  await links(page);
  await renew(page, subscription);
  await search(page);
  await statement(page);
  await keys(page);
}

async function buy(page) {
  await page.goto("/plans");
  await page.selectOption("[name=country]", "NL");
  await page.selectOption("[name=type]", "private");
  await press(page, "form.filters button");
  expect(await page.locator(".plan").count() === 1, "plans are chosen without a script");
  await page.judge("plans-filtered");
  await press(page, ".plan a.button");
  await page.fill("[name=coupon]", "MYCODE");
  await press(page, "#price button.primary");
  expect(/it is 10.80 now/.test(await page.locator("[role=alert]").textContent()), "nobody pays a price that he has not seen");
  await page.judge("order-price-moved");
  await press(page, "#price button.primary");
  expect(/Bought/.test(await notice(page)), "bought without a script");
}

/** What is kept with a subscription: its note, how often it rotates, whether it renews itself. */
async function keep(page) {
  await page.fill("[name=note]", "Without a script");
  await press(page, "form[action$='/note'] button");
  expect(await page.inputValue("[name=note]") === "Without a script", "the note is kept");
  await page.selectOption("[name=minutes]", "30");
  await press(page, "form[action$='/policy'] button");
  expect(await page.inputValue("[name=minutes]") === "30", "the policy is kept");
  const choice = page.locator("form[action$='/auto-renew'] select");
  const wanted = await choice.locator("option:not([value=''])").first().getAttribute("value");
  await choice.selectOption(wanted);
  await press(page, "form[action$='/auto-renew'] button");
  expect(/It will renew itself/.test(await notice(page)), "it renews itself from now on");
  expect(await choice.inputValue() === wanted, "by the plan that was chosen");
  await page.judge("subscription-auto-renew");
  await choice.selectOption("");
  await press(page, "form[action$='/auto-renew'] button");
  expect(await choice.inputValue() === "" && await page.locator("#auto-renew-heading + .badge").count() === 0, "and no longer does");
}

/** What changes how a subscription is reached: its exit's address, its password, its network. */
async function change(page) {
  await press(page, "form[action$='/rotate'] button");
  expect(/Rotated/.test(await notice(page)), "rotated without a script");
  await press(page, "form[action$='/test'] button");
  expect(/It works/.test(await page.locator("#test [role=status]").textContent()), "the connection is tested without a script");
  const profile = page.locator("#profile-heading ~ .copyable code");
  const url = await profile.textContent();
  await dangerous(page, () => press(page, "form[action$='/url'] button"));
  expect(await profile.textContent() !== url, "the subscription URL is new");
  expect((await page.request.get(url)).status() === 404, "and the old one is void");
  const shown = page.locator("#connect-heading ~ dl code").last();
  const password = await shown.textContent();
  await dangerous(page, () => press(page, "form[action$='/credentials'] button"));
  expect(await shown.textContent() !== password, "the password is new");
  const before = await page.locator("h1").textContent();
  const network = page.locator("form[action$='/network'] select");
  await network.selectOption(await network.locator("option:has-text('DE-BER')").getAttribute("value"));
  await press(page, "form[action$='/network'] button");
  expect(/Switched/.test(await notice(page)), "switched without a script");
  expect(await page.locator("h1").textContent() !== before, "it is elsewhere now");
}

async function links(page) {
  const back = page.url();
  await press(page, "a[href$='/links']");
  const rotating = page.locator("tbody tr:first-child code");
  const old = await rotating.textContent();
  await dangerous(page, () => press(page, "tbody tr:first-child form[action$='/renew'] button"));
  expect(await rotating.textContent() !== old && (await page.request.get(old)).status() === 404, "the rotate link is new, and the old one void");
  await dangerous(page, async () => {
    await page.fill("[name=name]", "Without a script");
    await page.check("[name=kind][value=status]");
    await press(page, "form[action$='/links'] button");
  });
  const url = await page.locator("tbody tr").nth(1).locator("code").textContent();
  expect((await page.request.get(url)).status() === 200, "the link works");
  await page.judge("links");
  await press(page, "form[action$='/revoke'] button");
  expect((await page.request.get(url)).status() === 404, "and is void when it is taken back");
  for (const sources of ["192.0.2.0/24\n2001:db8::/48", ""]) {
    await page.fill("[name=sources]", sources);
    await press(page, "form[action$='/sources'] button");
    expect(await page.inputValue("[name=sources]") === sources, `the addresses are kept: ${sources}`);
  }
  await page.goto(back);
}

async function renew(page, subscription) {
  await page.goto(subscription);
  const before = await page.locator(".lead").first().textContent();
  await press(page, "a[href$='/renew']");
  await page.fill("[name=repeat]", "2");
  await press(page, "#price button[formmethod=get]");
  expect(/24\.00/.test(await page.locator("#price .price").textContent()), "the price of two periods is shown");
  await page.judge("renewal");
  await press(page, "#price button.primary");
  expect(/Renewed/.test(await notice(page)), "renewed without a script");
  expect(await page.locator(".lead").first().textContent() !== before, "and ends later");
}

async function search(page) {
  await page.goto("/subscriptions");
  await page.fill("#q", "without a script");
  await press(page, "form[role=search] button");
  const notes = await page.locator("#found tbody td.note").allTextContents();
  expect(notes.length >= 1 && notes.every((note) => note === "Without a script"), `those with the note are found: ${notes}`);
  await page.judge("subscriptions-found");
  await page.selectOption("[name=state]", "expired");
  await press(page, "form[role=search] button");
  expect(await page.locator("#found .empty").count() === 1, "none of them has ended");
  await press(page, "#found .empty a");
  expect(await page.locator("#found tbody tr").count() > 1, "all are there again");
}

async function statement(page) {
  await page.goto("/statement");
  const lines = await page.locator("tbody tr").count();
  await page.judge("statement");
  const [file] = await Promise.all([page.waitForEvent("download"), page.click("a[href='/statement.csv']")]);
  const text = await readFile(await file.path(), "utf8");
  expect(/\.csv$/.test(file.suggestedFilename()), `it is a file: ${file.suggestedFilename()}`);
  expect(text.trim().split(/\r?\n/).length > lines, `with every line: ${text}`);
}

async function keys(page) {
  await page.goto("/keys");
  const fill = async () => {
    await page.fill("[name=name]", "Without a script");
    await page.check("[name=access][value=full]");
    await page.fill("[name=days]", "30");
    await press(page, "form[action='/keys'] button");
  };
  await dangerous(page, fill);
  expect(/^rk_/.test(await page.locator(".copyable code").textContent()), "the new key is shown");
  await page.judge("keys-made");
  await page.goto("/keys");
  await press(page, "tr:has-text('Without a script') form[action$='/revoke'] button");
  expect(/revoked/.test(await notice(page)), "revoking is told");
}

/** Operators' network as a whole: not sold any more, and sold again. */
export async function plainNetwork(page) {
  await signIn(page, OPERATOR, OPERATOR_PASSWORD);
  await page.goto("/operator/exits");
  await press(page, "#networks a[href='/operator/networks/AT-VIE']");
  const open = page.locator("dt:text-is('Open') + dd");
  const all = await open.textContent();
  for (const [to, told, left] of [["draining", /is sold any more/, "0"], ["open", /sold and served again/, all]]) {
    await press(page, `a[href$='?to=${to}']`);
    await press(page, "main form button");
    expect(told.test(await notice(page)) && await open.textContent() === left, `${to} without a script: ${await notice(page)}`);
  }
}
