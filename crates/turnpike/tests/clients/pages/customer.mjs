// Everything that a customer does on the pages, with all that is refused on the way.
import { request } from "node:http";

import { EMAIL, SHOP, dangerous, expect, notice, press, pressAgain, signIn, size } from "./browser.mjs";

/** What our own /ip says through a proxy. */
function fetched(proxy) {
  const { hostname, port, username, password } = new URL(proxy);
  const headers = { "proxy-authorization": "Basic " + Buffer.from(`${username}:${password}`).toString("base64") };
  return new Promise((resolve, reject) => {
    const asked = request({ host: hostname, port, path: SHOP + "/ip", headers: { ...headers, host: new URL(SHOP).host } }, (answer) => {
      let text = "";
      answer.on("data", (part) => { text += part; });
      answer.on("end", () => resolve(text));
    });
    asked.on("error", reject);
    asked.end();
  });
}

/** Everything that a customer does, with all that is refused on the way. */
export async function walk(page) {
  await page.goto("/");
  await page.judge("sign-in");
  await page.fill("[name=email]", EMAIL);
  await page.fill("[name=password]", "not the password");
  await press(page, "main button");
  expect(await page.locator("[role=alert]").textContent() === "The e-mail address or the password is wrong", "the wrong password is told");
  await page.judge("sign-in-refused");
  await signIn(page);
  await page.judge("overview");
  await page.goto("/plans");
  await page.judge("plans");
  await Promise.all([page.waitForResponse((answer) => answer.url().includes("country=DE")), page.selectOption("[name=country]", "DE")]);
  await page.waitForFunction(() => document.querySelectorAll(".plan").length === 2);
  await page.goto("/plans?country=XX");
  await page.judge("plans-none");
  await page.goto("/plans?country=NL&type=private");
  await press(page, ".plan a.button");
  await page.judge("order");
  const before = await size(page);
  await page.fill("[name=coupon]", "NO-SUCH-CODE");
  await page.locator("[name=coupon]").blur();
  await page.waitForSelector("#price .wrong");
  expect(/coupon does not apply/.test(await page.locator("#price .wrong").textContent()), "a wrong coupon is told");
  await page.judge("order-wrong-coupon");
  await page.fill("[name=coupon]", "");
  await page.fill("[name=quantity]", "100");
  await page.locator("[name=quantity]").blur();
  await page.waitForFunction(() => /does not cover the price of 1200\.00/.test(document.querySelector("#price .wrong")?.textContent ?? ""));
  expect(await page.locator("#price button.primary").isDisabled(), "what cannot be paid has no button");
  await page.judge("order-small-balance");
  await page.fill("[name=quantity]", "1");
  await page.fill("[name=coupon]", "MYCODE");
  await page.locator("[name=coupon]").blur();
  await page.waitForFunction(() => document.querySelector("#price .price")?.textContent.startsWith("10.80"));
  await press(page, "#price button.primary");
  expect(/Bought/.test(await notice(page)), "the purchase is told");
  expect(Math.round((before - await size(page)) * 100) === 1080, "what was shown is what was paid");
  await page.judge("subscription");
  expect(/^[0-9a-f.:]+$/.test(await fetched(await page.locator(".copyable code").first().textContent())), "the URL that is shown works");
  const wrong = new URL(await page.locator(".copyable code").first().textContent());
  wrong.password = "wrong";
  await fetched(wrong.href);
  await page.fill("[name=note]", "Client A");
  await press(page, "form[action$='/note'] button");
  expect(await page.inputValue("[name=note]") === "Client A", "the note is kept");
  await page.selectOption("[name=minutes]", "10");
  await press(page, "form[action$='/policy'] button");
  expect(await page.inputValue("[name=minutes]") === "10", "the policy is kept");
  await press(page, "form[action$='/rotate'] button");
  expect(/Rotated/.test(await notice(page)), `rotating: ${await page.locator("main").textContent()}`);
  await press(page, "form[action$='/test'] button");
  const tested = await page.locator("#test [role=status]").textContent();
  expect(/It works: your connections are seen from 127\./.test(tested), `the connection is tested: ${tested}`);
  await page.judge("subscription-tested");
  const shown = page.locator("#connect-heading ~ dl code").last();
  const password = await shown.textContent();
  await dangerous(page, () => press(page, "form[action$='/credentials'] button"));
  expect(await shown.textContent() !== password, "the password is new");
  await press(page, "form[action$='/network'] button");
  expect(/Switched/.test(await notice(page)), "switching is told");
  // Gateways tell the shop every few seconds.
  for (let tries = 0; tries < 60 && await page.locator("#refusals").count() === 0; tries += 1) {
    await page.waitForTimeout(500);
    await page.reload();
  }
  expect(/password/.test(await page.locator("#refusals").textContent()), "what the port refused is told");
  for (const closed of await page.locator("details").all()) await closed.locator("summary").click();
  await page.judge("subscription-open");
  await page.waitForFunction(() => [...document.querySelectorAll("img.qr")].every((picture) => picture.complete && picture.naturalWidth > 0));
  const profile = await page.locator("#profile-heading ~ .copyable code").textContent();
  await dangerous(page, () => press(page, "form[action$='/url'] button"));
  expect(await page.locator("#profile-heading ~ .copyable code").textContent() !== profile, "the subscription URL is new");
  await links(page);
  await press(page, "a[href$='/renew']");
  await page.judge("renewal");
  await press(page, "#price button.primary");
  expect(/Renewed/.test(await notice(page)), "renewing is told");
  await page.goto("/subscriptions");
  await page.judge("subscriptions");
  await page.fill("#q", "client a");
  await page.waitForURL("**q=client%20a**");
  await page.locator("#found tbody tr").first().waitFor();
  if (await page.locator("[name=network]").count() > 0) {
    const [network] = await page.locator("[name=network] option:not([value=''])").all();
    await page.selectOption("[name=network]", await network.getAttribute("value"));
    await page.waitForURL("**network=**");
    await page.selectOption("[name=network]", "");
    await page.waitForURL((url) => url.searchParams.get("network") === "");
  }
  expect(await page.locator("tbody tr").count() >= 1, "the note is found");
  await page.fill("#q", "no such thing");
  await page.waitForSelector("#found .empty");
  await page.judge("subscriptions-no-match");
  await page.goto("/overview");
  await page.judge("overview-in-use");
  await page.goto("/statement");
  await page.judge("statement");
  await page.goto("/keys");
  await page.judge("keys");
  await page.fill("[name=name]", "Scraper");
  await page.fill("[name=sources]", "not an address");
  await press(page, "form[action='/keys'] button");
  await page.judge("keys-refused");
  await page.fill("[name=sources]", "192.0.2.7, 198.51.100.0/24");
  await press(page, "form[action='/keys'] button");
  expect(/^rk_/.test(await page.locator(".copyable code").textContent()), "the new key is shown");
  await page.judge("keys-made");
  await page.goto("/keys");
  expect(await page.locator(".copyable").count() === 0, "and never again");
  await press(page, "form[action$='/revoke'] button");
  expect(/revoked/.test(await notice(page)), "revoking is told");
  await page.goto("/account");
  await page.judge("account");
  await page.goto("/account/second-factor");
  await page.judge("second-factor");
  await page.goto("/confirm");
  await page.judge("confirm");
  await page.goto("/no-such-page");
  await page.judge("not-found");
  await page.goto("/account");
  await press(page, ".bar form button");
  await page.judge("signed-out");
}

/** Links for others, and addresses that need no password. */
async function links(page) {
  const back = page.url();
  await press(page, "a[href$='/links']");
  await page.fill("[name=name]", "Scraper on Monday");
  await page.fill("[name=allowed]", "nowhere");
  await press(page, "form[action$='/links'] button");
  expect(/neither an address nor a network/.test(await page.locator("[role=alert]").textContent()), "a wrong address is told");
  expect(await page.inputValue("[name=name]") === "Scraper on Monday", "what was typed is kept");
  await page.judge("links-refused");
  await page.fill("[name=allowed]", "127.0.0.0/8, 2001:db8::/48");
  await page.check("[name=kind][value=status]");
  await pressAgain(page, "form[action$='/links'] button");
  expect(await page.locator("tbody tr").count() === 2, "the link is there");
  const url = page.locator("tbody tr").nth(1).locator("code");
  const first = await url.textContent();
  expect((await page.request.get(first)).status() === 200, "the link works");
  await page.judge("links");
  await pressAgain(page, "tbody tr:nth-child(2) form[action$='/renew'] button");
  expect(await url.textContent() !== first, "the link is new");
  expect((await page.request.get(first)).status() === 404, "and the old one is void");
  await press(page, "form[action$='/revoke'] button");
  expect(await page.locator("tbody tr").count() === 1, "the link is gone");
  await page.fill("[name=sources]", "192.0.2.0/24\n2001:db8::/48");
  await press(page, "form[action$='/sources'] button");
  expect(await page.inputValue("[name=sources]") === "192.0.2.0/24\n2001:db8::/48", "the addresses are kept");
  await page.fill("[name=sources]", "");
  await press(page, "form[action$='/sources'] button");
  await page.goto(back);
}
