// Prints what a subscription's page says to paste into programs, by program.
import { WIDE, launched, open, signIn } from "./browser.mjs";

const browser = await launched();
try {
  const page = await open(browser, WIDE);
  await signIn(page);
  await page.goto(`/subscriptions/${process.env.SUBSCRIPTION}`);
  const pasted = await page.locator("details:has(> pre)").all();
  const all = await Promise.all(pasted.map(async (one) => [await one.locator("summary").textContent(), await one.locator("pre code").textContent()]));
  console.log(JSON.stringify(Object.fromEntries(all)));
} finally {
  await browser.close();
}
