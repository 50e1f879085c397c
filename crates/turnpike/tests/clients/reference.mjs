// Looks at the API reference in Chromium, judges it at every width and colour scheme, and prints its examples as JSON.
import { createRequire } from "node:module";

import { kept, measured, noted } from "./pages/table.mjs";

const require = createRequire(process.env.NODE_MODULES + "/");
const { chromium } = require("playwright-core");
const axe = require("axe-core").source;

const { SHOP, EMAIL, PASSWORD, PAGE, CHROMIUM, PICTURES } = process.env;
const failures = [];
const examples = {};
const name = PAGE.slice(1).replace("/", "-");

function expect(holds, what) {
  if (!holds) failures.push(what);
}

async function look(browser, width, scheme, script) {
  const kind = `${width}-${scheme}${script ? "" : "-plain"}`;
  const context = await browser.newContext({
    viewport: { width, height: 900 }, colorScheme: scheme, javaScriptEnabled: script, baseURL: SHOP,
  });
  const page = await context.newPage();
  const wrong = (what) => {
    noted(name, { errors: 1 });
    failures.push(`${kind}: ${what}`);
  };
  page.on("console", (said) => { if (said.type() === "error") wrong(`console: ${said.text()}`); });
  page.on("pageerror", (error) => wrong(error.message));
  page.on("request", (request) => expect(request.url().startsWith(SHOP), `${kind}: a request to ${request.url()}`));
  await page.goto("/sign-in");
  await page.fill("[name=email]", EMAIL);
  await page.fill("[name=password]", PASSWORD);
  await page.click("main button");
  await page.waitForURL("**/overview");
  await page.click(`nav a[href='${PAGE}']`);
  await page.waitForURL("**" + PAGE);
  expect(await page.locator("nav a[aria-current]").getAttribute("href") === PAGE, `${kind}: the navigation tells where this is`);
  const size = (await (await page.request.get(PAGE)).body()).length;
  expect(size < 200 * 1024, `${kind}: ${size} bytes`);
  noted(name, await page.evaluate(measured));
  // Every link of the index leads to a heading.
  for (const link of await page.locator(".index a").all()) {
    const target = (await link.getAttribute("href")).slice(1);
    expect(await page.locator(`[id="${target}"]`).count() === 1, `${kind}: ${target} is there once`);
  }
  const wide = async () => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  for (const language of ["curl", "python", "javascript"]) {
    await page.check(`#in-${language}`);
    const shown = await page.locator(".example:visible").count();
    expect(shown === await page.locator(`.example.${language}`).count(), `${kind}: ${language} alone is shown`);
    if (script) expect(await wide() <= 0, `${kind}: ${await wide()} px too wide`);
  }
  await page.check("#in-curl");
  await page.locator("details summary").first().click();
  if (script) {
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => window.axe.run());
    noted(name, { violations: violations.length });
    for (const { id, nodes } of violations) failures.push(`${kind}: ${id}: ${nodes.map((node) => node.html).slice(0, 3).join(" | ")}`);
    for (const section of await page.locator("section:has(.example)").all()) {
      const id = await section.getAttribute("aria-labelledby");
      examples[id] = {};
      for (const language of ["curl", "python", "javascript"]) examples[id][language] = await section.locator(`.${language}`).textContent();
    }
  }
  await pictured(page, kind);
  if (script && scheme === "light") {
    await page.evaluate(() => { document.documentElement.dir = "rtl"; });
    expect(await wide() <= 0, `${kind}: from right to left ${await wide()} px too wide`);
    await pictured(page, `${width}-rtl`);
  }
  await context.close();
  return size;
}

async function pictured(page, kind) {
  if (!PICTURES) return;
  await page.evaluate(() => window.scrollTo(0, 0));
  const file = `${name}-${kind}.png`;
  await page.screenshot({ path: `${PICTURES}/${file}` });
  noted(name, { pictures: [file] });
}

const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
let size = 0;
try {
  for (const width of [1440, 390]) {
    for (const scheme of ["light", "dark"]) {
      size = await look(browser, width, scheme, true);
      await look(browser, width, scheme, false);
    }
  }
} catch (error) {
  failures.push(error.stack);
} finally {
  await browser.close();
}
kept();
console.log(JSON.stringify({ size, failures, examples }));
