// A browser whose every page is judged: by axe-core, by its console, by whom it talks to, by whether it fits its window.
import { createRequire } from "node:module";

const require = createRequire(process.env.NODE_MODULES + "/");
const axe = require("axe-core").source;

const { chromium } = require("playwright-core");
const { CHROMIUM, PICTURES } = process.env;
export const { SHOP, EMAIL, PASSWORD, OPERATOR, OPERATOR_PASSWORD, OTHER, THIRD, THIRD_PASSWORD } = process.env;
/** Whether each walk is done in each window and in light and dark, or in one. */
export const IS_WHOLE = process.env.APPEARANCES === "all";
export const failures = [];
let judged = 0;

export const launched = () => chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });

/** One visitor after another; each in a window of his own, which is closed when he goes. */
export async function visits(browser, all) {
  for (const [kind, visit] of all) {
    const page = await open(browser, kind);
    const [began, before] = [Date.now(), failures.length];
    try {
      await visit(page);
    } catch (error) {
      failures.push(`at ${page.url()}: ${error.stack}`);
    }
    await page.context().close();
    console.log(`${((Date.now() - began) / 1000).toFixed(1)} s: ${kind.width}-${kind.scheme} ${visit.name}`);
    for (const failure of failures.slice(before)) console.log(failure);
  }
}

/** Tells what came of it all, and ends. */
export function ended() {
  console.log(`${judged} pages judged, ${failures.length} failures`);
  process.exit(failures.length === 0 ? 0 : 1);
}

export function expect(holds, what) {
  if (!holds) failures.push(what);
}

/** A browser window of a kind, whose every page is judged. */
export async function open(browser, { width, scheme, script = true, agent }) {
  const context = await browser.newContext({
    viewport: { width, height: 900 }, colorScheme: scheme, javaScriptEnabled: script, baseURL: SHOP, userAgent: agent,
  });
  const page = await context.newPage();
  const kind = `${width}-${scheme}${script ? "" : "-plain"}`;
  page.on("console", (said) => {
    // A refusal has a status of its own, which the browser remarks on.
    if (said.type() === "error" && !/status of 4\d\d/.test(said.text())) failures.push(`${kind} ${page.url()}: console: ${said.text()}`);
  });
  page.on("pageerror", (error) => failures.push(`${kind} ${page.url()}: ${error.message}`));
  page.on("dialog", (dialog) => { failures.push(`${kind} ${page.url()}: a dialog opened`); dialog.dismiss(); });
  page.on("request", (request) => {
    if (!request.url().startsWith(SHOP) && !request.url().startsWith("data:")) failures.push(`${kind}: a request to ${request.url()}`);
  });
  page.judge = async (name) => {
    judged += 1;
    const sides = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]).catch(() => [0, 0]);
    expect(sides[0] <= sides[1], `${kind} ${name}: ${sides[0]} px wide in ${sides[1]}`);
    if (script) {
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => window.axe.run({ resultTypes: ["violations"] }));
      for (const { id, nodes } of violations) failures.push(`${kind} ${name}: ${id}: ${nodes.map((node) => node.html).join(" | ")}`);
    }
    if (PICTURES && script) await page.evaluate(() => window.scrollTo(0, 0));
    if (PICTURES) await page.screenshot({ path: `${PICTURES}/${name}-${kind}.png`, fullPage: true });
  };
  return page;
}

export async function signIn(page, email = EMAIL, password = PASSWORD) {
  await page.goto("/sign-in");
  await page.fill("[name=email]", email);
  await page.fill("[name=password]", password);
  await page.click("main button");
  await page.waitForURL("**/overview");
}

/** Presses a button that sends a form, and waits for the next page. */
export async function press(page, selector, how = {}) {
  await Promise.all([page.waitForEvent("load"), page.click(selector, how)]);
}

export async function notice(page) {
  return (await page.locator(".notice").textContent()) ?? "";
}

export const size = async (page) => Number((await page.locator(".purse strong").textContent()));
