// The first operator of a new shop, who comes by the link that the server has printed and finds everything empty.
import { BOTH, ended, expect, launched, press, visits } from "./browser.mjs";
import { HOSTILE, refusal } from "./hostile.mjs";

const { LINK, SCRIPT } = process.env;
const EMPTY = ["orders", "exits", "catalogue", "gateways", "trials", "audit"];

async function first(page) {
  await page.goto(LINK);
  await page.judge("setup");
  const path = new URL(LINK).pathname;
  for (const email of HOSTILE) await refusal(page, path, { email, password: "correct horse battery" }, [email]);
  await setUp(page);
  await press(page, "nav a[href='/operator']");
  await page.judge("operator-shop-new");
  for (const name of EMPTY) {
    await press(page, `nav a[href='/operator/${name}']`);
    await page.judge(`operator-${name}-new`);
  }
  await page.goto("/plans");
  await page.judge("plans-new");
  await used(page);
  await page.judge("setup-used");
}

/** The same in a browser that runs no script. */
async function plainly(page) {
  await page.goto(LINK);
  await page.judge("setup");
  await setUp(page);
  await used(page);
}

/** The form is sent, refused, and sent again. */
async function setUp(page) {
  await page.fill("[name=email]", "boss@example");
  await page.fill("[name=password]", "correct horse battery");
  await press(page, "main button");
  expect(/e-mail address/.test(await page.locator("[role=alert]").textContent()), "an unfit address is told");
  await page.judge("setup-refused");
  await page.fill("[name=email]", "boss@example.com");
  await page.fill("[name=password]", "correct horse battery");
  await press(page, "main button");
  expect(page.url().endsWith("/overview"), `the operator is in: ${page.url()}`);
}

/** Whoever has seen the link meanwhile makes nobody. */
async function used(page) {
  await page.context().clearCookies();
  const answer = await page.goto(LINK);
  expect(answer.status() === 404, `the link works once: ${answer.status()}`);
}

const browser = await launched();
try {
  await visits(browser, [SCRIPT === "on" ? [BOTH, first] : [{ ...BOTH, script: false }, plainly]]);
} finally {
  await browser.close();
}
ended();
