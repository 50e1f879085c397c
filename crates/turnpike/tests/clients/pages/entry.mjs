// Coming in and keeping others out: signing up, the password, the second factor, browsers that are signed in.
import { createHmac } from "node:crypto";

import { expect, notice, open, press, signIn } from "./browser.mjs";

const FIRST = "correct horse battery";
const SECOND = "staple battery horse";

/** The code that an authenticator app shows for a secret (RFC 6238). */
export function code(secret, ahead = 0) {
  let bits = "";
  for (const letter of secret.replace(/[\s=]/g, "")) bits += "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(letter).toString(2).padStart(5, "0");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30000) + ahead));
  const digest = createHmac("sha1", key).update(step).digest();
  const at = digest[19] & 15;
  return String((digest.readUInt32BE(at) & 0x7fffffff) % 1000000).padStart(6, "0");
}

/** With `page` without a script, the forms alone do it. */
export async function entry(browser, page, email) {
  await page.goto("/sign-in");
  await press(page, "a[href='/sign-up']");
  await page.judge("sign-up");
  await page.fill("[name=email]", email);
  await page.fill("[name=password]", FIRST);
  await press(page, "main button");
  expect(page.url().endsWith("/overview"), `signed up: ${page.url()}`);
  await page.judge("overview-empty");
  for (const [path, name] of [["/subscriptions", "subscriptions-empty"], ["/statement", "statement-empty"], ["/keys", "keys-empty"]]) {
    await page.goto(path);
    await page.judge(name);
  }
  await page.context().clearCookies();
  await page.goto("/sign-up");
  await page.fill("[name=email]", email);
  await page.fill("[name=password]", FIRST);
  await press(page, "main button");
  expect(await page.locator("[role=alert]").count() === 1, "an address is taken once");
  await page.judge("sign-up-refused");
  await signIn(page, email, FIRST);
  const other = await open(browser, { width: 1440, agent: "<b>Another</b> browser" });
  await signIn(other, email, FIRST);
  await page.goto("/account");
  // The one that signed up has forgotten its session; the shop has not.
  expect(await page.locator("form[action$='/end'] button").count() === 2, "the other browsers are listed");
  await page.judge("account-two-browsers");
  await page.fill("[name=current]", "not the password");
  await page.fill("[name=password]", SECOND);
  await press(page, "form[action='/account/password'] button");
  expect(await page.locator("[role=alert]").count() === 1, "the present password is asked for");
  await page.judge("account-refused");
  await page.fill("[name=current]", FIRST);
  await page.fill("[name=password]", SECOND);
  await press(page, "form[action='/account/password'] button");
  expect(/password is changed/.test(await notice(page)), "the password is changed");
  await other.goto("/overview");
  expect(other.url().includes("/sign-in"), "and the other browser is signed out");
  await signIn(other, email, SECOND);
  await page.goto("/account");
  await press(page, "form[action='/account/sessions/end-others'] button");
  expect(/signed out/.test(await notice(page)), "others are signed out");
  await other.context().close();
  await page.goto("/account/second-factor");
  const secret = await page.locator(".key").textContent();
  await page.fill("[name=code]", "000000");
  await press(page, "main form button");
  expect(await page.locator("[role=alert]").count() === 1, "a wrong code is told");
  await page.judge("second-factor-refused");
  await page.fill("[name=code]", code(await page.locator(".key").textContent()));
  await press(page, "main form button");
  const recovery = await page.locator(".codes code").allTextContents();
  expect(recovery.length > 4 && secret.length > 10, `recovery codes: ${recovery}`);
  await page.judge("recovery-codes");
  await page.goto("/account/second-factor");
  await page.judge("second-factor-on");
  await page.context().clearCookies();
  await page.goto("/sign-in");
  await page.fill("[name=email]", email);
  await page.fill("[name=password]", SECOND);
  await press(page, "main button");
  await page.judge("code");
  await page.fill("[name=code]", "not a code");
  await press(page, "main button");
  expect(await page.locator("[role=alert]").count() === 1, "a wrong code opens nothing");
  await page.judge("code-refused");
  await page.fill("[name=code]", recovery[0]);
  await press(page, "main button");
  expect(page.url().endsWith("/overview"), "a recovery code opens it");
  await page.goto("/account/second-factor");
  await press(page, "form[action$='/off'] button");
  expect(/second factor is off/.test(await notice(page)), "and is switched off");
}
