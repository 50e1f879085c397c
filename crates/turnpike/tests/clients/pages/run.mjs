// Walks through the pages in Chromium as customers and operators do, and judges each. With PICTURES set, a picture of each is kept there.
import { BOTH, IS_WHOLE, NARROW, THIRD, THIRD_PASSWORD, WIDE, ended, launched, open, signIn, visits } from "./browser.mjs";
import { walk } from "./customer.mjs";
import { entry } from "./entry.mjs";
import { customersHostile, operatorsHostile, strangersHostile } from "./hostile.mjs";
import { customerByKeyboard, newcomerByKeyboard, operatorByKeyboard } from "./keyboard.mjs";
import { notices } from "./notices.mjs";
import { operate } from "./operator.mjs";
import { plain, plainNetwork } from "./plain.mjs";
import { copies, longNames, offline, renewsItself } from "./states.mjs";

const WINDOWS = IS_WHOLE ? [WIDE, NARROW] : [WIDE];

const browser = await launched();
// What forms alone do does not depend on the engine either.
const PLAIN = IS_WHOLE ? [{ ...BOTH, script: false }] : [];
const newcomer = (kind, number) => [kind, async function newcomers(page) {
  await entry(browser, page, `newcomer-${number}@example.com`);
  await notices(page);
}];
const customers = [
  ...WINDOWS.map((kind) => [kind, walk]), ...PLAIN.map((kind) => [kind, plain]), [WIDE, copies], [BOTH, offline], [BOTH, longNames],
  [BOTH, customersHostile],
  [BOTH, async function hostileForOperators(page) {
    const customer = await open(browser, BOTH);
    await signIn(customer);
    await operatorsHostile(page, customer);
    await customer.context().close();
  }],
];
const operators = [...WINDOWS.map((kind) => [kind, operate]), ...PLAIN.map((kind) => [kind, function plainly(page) { return operate(page, false); }]),
  ...PLAIN.map((kind) => [kind, plainNetwork]), ...WINDOWS.map((kind) => [kind, operatorByKeyboard])];
const strangers = [...[...WINDOWS, ...PLAIN].map(newcomer),
  ...WINDOWS.map((kind) => [kind, newcomerByKeyboard]), ...WINDOWS.map((kind) => [kind, customerByKeyboard]),
  [BOTH, async function renewed(page) {
    await signIn(page, THIRD, THIRD_PASSWORD);
    await renewsItself(page);
  }]];
try {
  await Promise.all([visits(browser, customers), visits(browser, operators), visits(browser, strangers)]);
  await visits(browser, [[BOTH, strangersHostile]]);
} finally {
  await browser.close();
}
ended();
