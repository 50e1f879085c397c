// What goes wrong, and how it looks: what customers and operators see of it, and the pages of errors.
import { createServer } from "node:http";
import { createInterface } from "node:readline";

import {
  BOTH, OPERATOR, OPERATOR_PASSWORD, SHOP, THIRD, THIRD_PASSWORD, ended, expect, launched, open, press, signIn, visits,
} from "./browser.mjs";

/** The paths of the subscriptions that have a trouble each. */
const IDS = Object.fromEntries(Object.entries(JSON.parse(process.env.IDS)).map(([what, id]) => [what, `/subscriptions/${id}`]));
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Has something done to the database that no page can do. */
async function wish(what) {
  console.log(`> ${what}`);
  await answers.next();
}

/** Sends a form whose answer leaves the page as it is: so it looks as long as there is none. */
async function unanswered(page, selector) {
  await page.route("**/*", (route) => (route.request().method() === "POST" ? route.fulfill({ status: 204 }) : route.continue()));
  await page.click(selector);
  expect(await page.locator(selector).getAttribute("aria-busy") === "true", "a button that works says so");
  await page.unroute("**/*");
}

/** What customers have that has ended, fails, or is full. */
async function customers(page) {
  // A visitor whose clock is an hour ahead.
  await page.addInitScript(() => {
    const now = Date.now;
    Date.now = () => now() + 3_600_000;
  });
  await signIn(page);
  // Nobody answers this one; the others are looked at meanwhile.
  const silent = await page.context().newPage();
  await silent.goto(IDS.silent);
  const answered = press(silent, "form[action$='/test'] button");
  await page.goto("/overview");
  await page.judge("overview-in-trouble");
  await page.goto("/plans");
  expect(await page.locator(".plan .badge.accent").count() === 1, "the popular one is marked");
  expect(await page.locator(".plan:has-text('DE-BER') .badge.warn").textContent() === "Sold out", "and what is sold out");
  await page.judge("plans-popular-and-sold-out");
  await press(page, ".plan:has-text('DE-BER') a.button");
  expect(/^Sold out: 0 of 1/.test(await page.locator("#price .wrong").textContent()), "there is none left");
  expect(await page.locator("#price button.primary").isDisabled(), "what cannot be bought has no button");
  await page.judge("order-sold-out");
  await page.goto("/subscriptions");
  await page.judge("subscriptions-ended");
  await page.goto(IDS.ended);
  expect(/has ended/.test(await page.locator(".caution").textContent()), "its end is told");
  await page.judge("subscription-ended");
  await press(page, "a[href$='/renew']");
  await page.judge("renewal-ended");
  await countdown(page);
  await underWay(page);
  await page.goto(IDS.broken);
  await press(page, "form[action$='/test'] button");
  expect(/does not get out/.test(await page.locator("#test [role=status]").textContent()), "what does not work is told");
  await page.judge("subscription-test-failed");
  page.mayFail = true;
  await press(page, "form[action$='/rotate'] button");
  page.mayFail = false;
  expect(/could not be rotated/.test(await page.locator("[role=alert]").textContent()), "what cannot rotate is told");
  await page.judge("subscription-rotate-failed");
  await answered;
  await page.goto(IDS.silent);
  expect(/did not answer in time/.test(await page.locator("#test [role=status]").textContent()), "who does not answer is told");
  await page.judge("subscription-test-no-answer");
}

/** An exit that was rotated a moment ago can be rotated again when the seconds are over, and counts them. */
async function countdown(page) {
  await page.goto(IDS.rotating);
  await press(page, "form[action$='/rotate'] button");
  expect(/Rotated/.test(await page.locator(".notice").textContent()), "it rotates");
  await press(page, "form[action$='/rotate'] button");
  expect(/Rotated a moment ago/.test(await page.locator("[role=alert]").textContent()), "too early is told");
  const counting = page.locator("[data-counting]");
  const first = Number(await counting.locator("span").textContent());
  expect(first > 0 && first <= 15, `seconds are left: ${first}`);
  await page.waitForFunction((before) => Number(document.querySelector("[data-counting] span").textContent) < before, first);
  await page.judge("subscription-rotate-too-early");
  await counting.waitFor({ state: "hidden" });
  await press(page, "form[action$='/rotate'] button");
  expect(/Rotated/.test(await page.locator(".notice").textContent()), "when they are over it rotates again");
  expect(await counting.isVisible(), "and they are counted anew");
  await page.judge("subscription-countdown");
}

/** A modem that dials anew takes its time: the button says so, and so does the page to whoever opens it meanwhile. */
async function underWay(page) {
  await page.goto(IDS.slow);
  await unanswered(page, "form[action$='/rotate'] button");
  await page.judge("subscription-busy");
  const waiting = await page.context().newPage();
  await waiting.goto(IDS.slow);
  await waiting.click("form[action$='/rotate'] button", { noWaitAfter: true });
  await page.goto(IDS.slow);
  for (let tries = 0; tries < 100 && await page.locator("text=A rotation is under way").count() === 0; tries += 1) {
    await page.waitForTimeout(100);
    await page.reload();
  }
  await page.judge("subscription-rotating");
  await waiting.close();
}

/** Somebody whose balance is too small for what is to renew itself. */
async function poor(page) {
  await signIn(page, THIRD, THIRD_PASSWORD);
  await page.goto(IDS.poor);
  expect(/balance/.test(await page.locator("section[aria-labelledby=auto-renew-heading] .caution").textContent()), "why it cannot renew itself is told");
  await page.judge("subscription-renewal-trouble");
}

/** What operators see of all this. */
async function operators(page) {
  await signIn(page, OPERATOR, OPERATOR_PASSWORD);
  await page.goto("/operator");
  const told = await page.locator("main").textContent();
  for (const part of ["partner", "Waiting for its gateway", "rotterdam", "wrong_user", "Failed rotations"]) {
    expect(told.includes(part), `the operator is told of ${part}: ${told}`);
  }
  await page.judge("operator-shop-in-trouble");
  await press(page, "nav a[href='/operator/gateways']");
  expect(await page.locator(".badge.bad").count() === 1 && await page.locator(".badge.warn").count() === 1, "one is silent and behind");
  await page.judge("operator-gateways-in-trouble");
  await press(page, "nav a[href='/operator/exits']");
  await page.judge("operator-exits-in-trouble");
  await press(page, "tbody tr:has-text('partner') th a");
  await page.judge("operator-exit-down");
  await press(page, "nav a[href='/operator/trials']");
  expect(await page.locator("tbody tr:has(a[href^='/operator/accounts/'])").count() === 3, "three have tried");
  expect(await page.locator("tbody tr:has-text('one.example'):has(.badge.bad):has(.badge.warn)").count() === 2, "two of them from one address and of one domain");
  expect(await page.locator("tbody tr:has-text('tina') .badge.good").count() === 1, "one has bought since");
  await page.judge("operator-trials-used");
  await press(page, "nav a[href='/operator/catalogue']");
  await press(page, "a[href='/operator/catalogue/plan?code=plan-0']");
  await page.judge("operator-plan-popular");
  await page.fill("[name=price]", "12,5");
  await press(page, "main form button.primary");
  expect(await page.inputValue("[name=price]") === "12,5", "what was typed stays");
  await page.judge("operator-plan-edit-refused");
  await page.fill("[name=price]", "12.50");
  await page.fill("[name=max_connections]", "200");
  await press(page, "main form button.primary");
  expect(/12\.50/.test(await page.locator("tr:has(a[href$='code=plan-0'])").textContent()), "the plan costs something else now");
  await page.judge("operator-plan-edited");
}

/** A page of somebody else's that sends a form of ours in the visitor's name. */
async function elsewhere(browser) {
  const server = createServer((_, answer) => {
    answer.writeHead(200, { "content-type": "text/html" }).end(`<form method=post action="${SHOP}/account/sessions/end-others"><button>A gift</button></form>`);
  });
  await new Promise((resolve) => { server.listen(0, "127.0.0.77", resolve); });
  const url = `http://127.0.0.77:${server.address().port}/`;
  const page = await open(browser, { ...BOTH, strangers: [url] });
  await signIn(page);
  await page.goto(url);
  await press(page, "button");
  expect(/sent by another site/.test(await page.locator("main").textContent()), "nobody's form is taken from elsewhere");
  await page.judge("error-403");
  await page.context().close();
  server.close();
}

/** Pages in place of those that could not be shown. */
async function errors(page) {
  await elsewhere(page.context().browser());
  await signIn(page);
  const failing = async (status, name, ask) => {
    page.mayFail = true;
    const [answer] = await Promise.all([page.waitForResponse((one) => one.status() === status), ask()]);
    expect(answer.status() === status, `${name} has its status`);
    await page.waitForLoadState("load");
    await page.judge(name);
    page.mayFail = false;
  };
  await page.goto("/notices");
  await wish("lose a table");
  await failing(500, "error-500", () => page.reload());
  await wish("find it again");
  await page.goto(IDS.rotating);
  await page.fill("[name=note]", "Kept");
  await wish("occupy the books");
  await failing(503, "error-503", () => press(page, "form[action$='/note'] button"));
  await wish("let go");
  await page.context().clearCookies();
  for (let tries = 0; tries < 10; tries += 1) {
    await page.request.post("/sign-up", { form: { email: `many-${tries}@example.com`, password: "short" }, headers: { origin: SHOP } });
  }
  await page.goto("/sign-up");
  await page.fill("[name=email]", "many@example.com");
  await page.fill("[name=password]", "correct horse battery");
  await failing(429, "error-429", () => press(page, "main button"));
}

const browser = await launched();
try {
  await Promise.all([visits(browser, [[BOTH, customers], [BOTH, operators]]), visits(browser, [[BOTH, poor]])]);
  await visits(browser, [[BOTH, errors]]);
} finally {
  await browser.close();
}
ended();
