// A browser whose every page is judged: by axe-core, by its console, by whom it talks to, by whether it fits its window.
import { createRequire } from "node:module";

import { kept, measured, noted } from "./table.mjs";

const require = createRequire(process.env.NODE_MODULES + "/");
const axe = require("axe-core").source;

const { chromium } = require("playwright-core");
const { CHROMIUM, PICTURES } = process.env;
export const { SHOP, EMAIL, PASSWORD, OPERATOR, OPERATOR_PASSWORD, OTHER, MANY_ORDERS, THIRD, THIRD_PASSWORD } = process.env;
/** Whether looks count here: each window, light and dark, axe-core's judgement. Else only what the pages do. */
export const IS_WHOLE = process.env.APPEARANCES === "all";
/** The windows: a wide screen's, a telephone's, and both in turn for what is seen once. */
export const WIDE = { width: 1440 };
export const NARROW = { width: 390 };
export const BOTH = { width: 1440, looks: IS_WHOLE ? [1440, 390] : [1440] };
const SCHEMES = IS_WHOLE ? ["light", "dark"] : ["light"];
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
    console.log(`${((Date.now() - began) / 1000).toFixed(1)} s: ${kind.width} ${visit.name}`);
    for (const failure of failures.slice(before)) console.log(failure);
  }
}

/** Tells what came of it all, and ends. */
export function ended() {
  kept();
  console.log(`${judged} pages judged, ${failures.length} failures`);
  process.exit(failures.length === 0 ? 0 : 1);
}

export function expect(holds, what) {
  if (!holds) failures.push(what);
}

/** A browser window of a kind, whose every page is judged. `strangers` are pages of others that it may visit. */
export async function open(browser, { width, looks = [width], script = true, agent, strangers = [] }) {
  const context = await browser.newContext({
    viewport: { width, height: 900 }, colorScheme: "light", reducedMotion: "reduce", javaScriptEnabled: script, baseURL: SHOP, userAgent: agent,
  });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  const kind = `${width}${script ? "" : "-plain"}`;
  let errors = 0;
  const wrong = (what) => {
    errors += 1;
    failures.push(`${kind} ${page.url()}: ${what}`);
  };
  page.on("console", (said) => {
    // The browser and htmx remark on what could not be loaded, which is what was wanted.
    if (page.isCutOff && /ERR_INTERNET_DISCONNECTED|htmx:(sendError|afterRequest)/.test(said.text())) return;
    // A refusal has a status of its own, which the browser remarks on.
    if (said.type() === "error" && !/status of [45]\d\d/.test(said.text())) wrong(`console: ${said.text()}`);
  });
  page.on("pageerror", (error) => wrong(error.message));
  page.on("dialog", (dialog) => { failures.push(`${kind} ${page.url()}: a dialog opened`); dialog.dismiss(); });
  page.on("request", (request) => {
    const known = [SHOP, "data:", ...strangers];
    if (!known.some((start) => request.url().startsWith(start))) failures.push(`${kind}: a request to ${request.url()}`);
  });
  // A failure of ours is answered with a page, and no page of a walk leads to one unless it is looked for.
  page.on("response", (answer) => {
    const isBad = new URL(answer.url()).pathname.startsWith("/assets/") ? 400 : 500;
    if (answer.status() >= isBad && !page.mayFail) failures.push(`${kind}: ${answer.status()} of ${answer.url()}`);
  });
  page.judge = async (name) => {
    judged += 1;
    noted(name, { errors, ...await page.evaluate(measured) });
    errors = 0;
    for (const seen of looks) {
      if (looks.length > 1) {
        await page.setViewportSize({ width: seen, height: 900 });
        // As a page of this width does when it is loaded.
        await page.evaluate(() => document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" }));
      }
      await look(page, name, `${seen}`, script);
    }
    if (looks.length > 1) await page.setViewportSize({ width, height: 900 });
  };
  return page;
}

/** Whether all of a page fits its window: nobody has to push it sideways. */
async function fits(page, what) {
  const [all, seen] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  expect(all <= seen, `${what}: ${all} px wide in ${seen}`);
}

/** A page as it is in a window: it fits, axe-core finds nothing, in light and in dark. What it is made of is the same in both, but for its colours. */
async function look(page, name, window, script) {
  await fits(page, `${window} ${name}`);
  const isJudged = script && IS_WHOLE;
  if (isJudged) await page.evaluate(axe);
  for (const scheme of SCHEMES) {
    if (scheme !== "light") await page.emulateMedia({ colorScheme: scheme });
    if (isJudged) {
      const { violations } = await page.evaluate((rules) => window.axe.run({ resultTypes: ["violations"], ...rules }),
        scheme === "light" ? {} : { runOnly: ["color-contrast"] });
      for (const { id, nodes } of violations) failures.push(`${window}-${scheme} ${name}: ${id}: ${nodes.map((node) => node.html).join(" | ")}`);
      noted(name, { violations: violations.length });
    }
    await pictured(page, name, `${window}-${scheme}${script ? "" : "-plain"}`);
  }
  if (SCHEMES.length > 1) await page.emulateMedia({ colorScheme: "light" });
  if (IS_WHOLE) await mirrored(page, name, `${window}-rtl${script ? "" : "-plain"}`);
}

/** The page as those see it whose language is written from right to left, whatever language its words are in. */
async function mirrored(page, name, kind) {
  const turn = (to) => page.evaluate((way) => {
    const before = document.documentElement.dir;
    document.documentElement.dir = way;
    return before;
  }, to);
  const before = await turn("rtl");
  await fits(page, `${kind} ${name}`);
  await pictured(page, name, kind);
  await turn(before);
}

async function pictured(page, name, kind) {
  if (!PICTURES) return;
  await page.evaluate(() => window.scrollTo(0, 0));
  const file = `${name}-${kind}.png`;
  await page.screenshot({ path: `${PICTURES}/${file}`, fullPage: true });
  noted(name, { pictures: [file] });
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

/** Gives the password once more where the shop wants that before it goes on; whether it did. What was sent before it is to be sent again. */
export async function confirmed(page, password = PASSWORD) {
  if (new URL(page.url()).pathname !== "/confirm") return false;
  await page.fill("[name=password]", password);
  await press(page, "main button");
  return true;
}

/** Does something dangerous, from the page where it is done, and again where the shop wants the password in between. */
export async function dangerous(page, act, password = PASSWORD) {
  const from = page.url();
  await act();
  if (!await confirmed(page, password)) return;
  await page.goto(from);
  await act();
}

/** Presses a button that is dangerous, and again where the shop wants the password in between: its form is as it was. */
export async function pressAgain(page, selector, password = PASSWORD) {
  await press(page, selector);
  if (await confirmed(page, password)) await press(page, selector);
}

export async function notice(page) {
  return (await page.locator(".notice").textContent()) ?? "";
}

export const size = async (page) => Number((await page.locator(".purse strong").textContent()));
