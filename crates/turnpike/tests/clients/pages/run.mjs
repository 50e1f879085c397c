// Walks through the pages in Chromium as customers and operators do, and judges each. With PICTURES set, a picture of each is kept there.
import { CHROMIUM, IS_WHOLE, THIRD, THIRD_PASSWORD, chromium, failures, judgedPages, open, signIn } from "./browser.mjs";
import { plain, walk } from "./customer.mjs";
import { entry } from "./entry.mjs";
import { customersHostile, operatorsHostile, strangersHostile } from "./hostile.mjs";
import { customerByKeyboard, operatorByKeyboard } from "./keyboard.mjs";
import { notices } from "./notices.mjs";
import { operate } from "./operator.mjs";
import { longNames, offline, renewsItself } from "./states.mjs";

const WIDE = { width: 1440, scheme: "light" };
const NARROW = { width: 390, scheme: "light" };
const APPEARANCES = IS_WHOLE ? [WIDE, { ...WIDE, scheme: "dark" }, NARROW, { ...NARROW, scheme: "dark" }] : [WIDE];

const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });

/** One visitor after another; each in a window of his own, which is closed when he goes. */
async function visits(all) {
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

const PLAIN = { ...WIDE, script: false };
const newcomer = (kind, number) => [kind, async function newcomers(page) {
  await entry(browser, page, `newcomer-${number}@example.com`);
  await notices(page);
}];
const customers = [
  ...APPEARANCES.map((kind) => [kind, walk]), [PLAIN, plain], [WIDE, customerByKeyboard], [WIDE, offline], [NARROW, longNames],
  [NARROW, customersHostile],
  [WIDE, async function hostileForOperators(page) {
    const customer = await open(browser, NARROW);
    await signIn(customer);
    await operatorsHostile(page, customer);
    await customer.context().close();
  }],
];
const operators = [...APPEARANCES.map((kind) => [kind, operate]), [PLAIN, function plainly(page) { return operate(page, false); }], [WIDE, operatorByKeyboard]];
const strangers = [...APPEARANCES.map(newcomer), newcomer(PLAIN, APPEARANCES.length),
  [WIDE, async function renewed(page) {
  await signIn(page, THIRD, THIRD_PASSWORD);
  await renewsItself(page);
}]];
try {
  await Promise.all([visits(customers), visits(operators), visits(strangers)]);
  await visits([[NARROW, strangersHostile]]);
} finally {
  await browser.close();
}
console.log(`${judgedPages()} pages judged, ${failures.length} failures`);
process.exit(failures.length === 0 ? 0 : 1);
