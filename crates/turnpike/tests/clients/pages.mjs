// Walks through the pages in Chromium as customers and operators do, and judges each: by axe-core, by the browser's console, by whom it talks to,
// by whether it fits. With PICTURES set, a picture of each is kept there.
import { request } from "node:http";
import { createRequire } from "node:module";

const require = createRequire(process.env.NODE_MODULES + "/");
const { chromium } = require("playwright-core");
const axe = require("axe-core").source;

const { SHOP, EMAIL, PASSWORD, OPERATOR, OPERATOR_PASSWORD, CHROMIUM, PICTURES } = process.env;
const failures = [];
let judged = 0;

function expect(holds, what) {
  if (!holds) failures.push(what);
}

/** A browser window of a kind, whose every page is judged. */
async function open(browser, { width, scheme, script = true }) {
  const context = await browser.newContext({
    viewport: { width, height: 900 }, colorScheme: scheme, javaScriptEnabled: script, baseURL: SHOP,
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
      const { violations } = await page.evaluate(() => window.axe.run());
      for (const { id, nodes } of violations) failures.push(`${kind} ${name}: ${id}: ${nodes.map((node) => node.html).join(" | ")}`);
    }
    if (PICTURES && script) await page.evaluate(() => window.scrollTo(0, 0));
    if (PICTURES) await page.screenshot({ path: `${PICTURES}/${name}-${kind}.png`, fullPage: true });
  };
  return page;
}

async function signIn(page, email = EMAIL, password = PASSWORD) {
  await page.goto("/sign-in");
  await page.fill("[name=email]", email);
  await page.fill("[name=password]", password);
  await page.click("main button");
  await page.waitForURL("**/overview");
}

/** Presses a button that sends a form, and waits for the next page. */
async function press(page, selector) {
  await Promise.all([page.waitForEvent("load"), page.click(selector)]);
}

async function notice(page) {
  return (await page.locator(".notice").textContent()) ?? "";
}

const size = async (page) => Number((await page.locator(".purse strong").textContent()));

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
async function walk(page) {
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
  await page.waitForFunction(() => /Sold out|balance/.test(document.querySelector("#price .wrong")?.textContent ?? ""));
  expect(await page.locator("#price button.primary").isDisabled(), "what cannot be bought has no button");
  await page.judge("order-sold-out");
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
  const password = await page.locator("dl code").nth(2).textContent();
  await press(page, "form[action$='/credentials'] button");
  expect(await page.locator("dl code").nth(2).textContent() !== password, "the password is new");
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
  await press(page, "form[action$='/url'] button");
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
  await press(page, "form[action$='/links'] button");
  expect(await page.locator("tbody tr").count() === 2, "the link is there");
  const url = page.locator("tbody tr").nth(1).locator("code");
  const first = await url.textContent();
  expect((await page.request.get(first)).status() === 200, "the link works");
  await page.judge("links");
  await press(page, "tbody tr:nth-child(2) form[action$='/renew'] button");
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

/** Everything that an operator does. With `page` without a script, the forms alone do it. */
async function operate(page, script = true) {
  await signIn(page, OPERATOR, OPERATOR_PASSWORD);
  await press(page, "nav a[href='/operator']");
  await page.judge("operator-shop");
  await press(page, "nav a[href='/operator/gateways']");
  // The gateway has applied all that the customers did, and has said which program it is.
  for (let tries = 0; tries < 60 && await page.locator("dd .badge.good").count() === 0; tries += 1) {
    await page.waitForTimeout(250);
    await page.reload();
  }
  const gateways = await page.locator("main").textContent();
  expect(/Alive/.test(gateways) && /Up to date/.test(gateways) && /\d+\.\d+\.\d+/.test(gateways), `the gateway's version and revision: ${gateways}`);
  await page.judge("operator-gateways");
  await press(page, "nav a[href='/operator/trials']");
  await page.judge("operator-trials");
  await press(page, "nav a[href='/operator/accounts']");
  await page.judge("operator-accounts");
  await page.fill("#q", "no such account");
  if (script) await page.waitForSelector("#found .empty");
  else await press(page, "form[role=search] button");
  await page.judge("operator-accounts-none");
  await page.fill("#q", EMAIL.toUpperCase());
  if (script) await page.waitForSelector("#found tbody tr:only-child");
  else await press(page, "form[role=search] button");
  await press(page, "#found tbody th a");
  const account = page.url();
  await page.judge("operator-account");
  await press(page, "a[href$='/money']");
  await page.judge("operator-money");
  await page.fill("[name=amount]", "1,50");
  await page.fill("[name=reason]", "<b>bank</b> transfer");
  await press(page, "main form button");
  expect(/above zero/.test(await page.locator("[role=alert]").textContent()), "a wrong amount is told");
  expect(await page.inputValue("[name=reason]") === "<b>bank</b> transfer", "what was typed stays");
  await page.judge("operator-money-refused");
  await page.fill("[name=amount]", "1.50");
  await press(page, "main form button");
  expect(/Booked/.test(await notice(page)) && page.url() === account, "the booking is told");
  expect(/\+1\.50/.test(await page.locator("section[aria-labelledby='statement-heading'] tbody tr").first().textContent()), "and stands first");
  await press(page, "a[href$='/money']");
  await page.check("[value=debit]");
  await page.fill("[name=amount]", "1.50");
  await page.fill("[name=reason]", "a mistake");
  await press(page, "main form button");
  expect(/Booked/.test(await notice(page)), "the debit is told");
  await press(page, "a[href$='/status']");
  await page.judge("operator-suspend");
  await press(page, "main form button");
  expect(/suspended/.test(await notice(page)), "the suspension is told");
  await page.judge("operator-account-suspended");
  await press(page, "a[href$='/status']");
  await page.judge("operator-resume");
  await press(page, "main form button");
  expect(/works again/.test(await notice(page)), "resuming is told");
  const keys = "section[aria-labelledby='keys-heading'] form button";
  const before = await page.locator(keys).first().textContent();
  await press(page, keys);
  expect(await page.locator(keys).first().textContent() !== before, "the permission has changed");
  await press(page, keys);
  await press(page, "a[href*='/operator/orders?account=']");
  await page.judge("operator-orders-of");
  await press(page, "nav a[href='/operator/orders']");
  await page.judge("operator-orders");
  await press(page, "tbody tr:not(:has(.badge)) th a");
  await page.judge("operator-order");
  await press(page, "a[href$='/refund']");
  await page.judge("operator-refund");
  await page.fill("[name=reason]", "a change of mind");
  await press(page, "main form button");
  expect(/Refunded/.test(await notice(page)), "the refund is told");
  expect(await page.locator("a[href$='/refund']").count() === 0, "and is done once");
  expect(await page.locator("section[aria-labelledby='moved-heading'] tbody tr").count() === 4, "with every line of the ledger");
  await page.judge("operator-order-refunded");
  await exits(page, script);
  await catalogue(page);
  await lookAs(page, account);
  await press(page, "nav a[href='/operator/audit']");
  await page.judge("operator-audit");
  await page.fill("#q", "no such thing");
  if (script) await page.waitForSelector("#found .empty");
  else await press(page, "form[role=search] button");
  await page.judge("operator-audit-none");
}

/** An exit is found, rotated, tested by its gateway, drained, disabled and opened. */
async function exits(page, script) {
  await press(page, "nav a[href='/operator/exits']");
  await page.judge("operator-exits");
  await page.fill("#q", "no such exit");
  if (script) await page.waitForSelector("#found .empty");
  else await press(page, "form[role=search] button");
  await page.judge("operator-exits-none");
  await page.goto("/operator/exits");
  await press(page, "tbody th a");
  const exit = page.url();
  await press(page, "form[action$='/test'] button");
  const seen = await page.locator("section[aria-labelledby='test-heading']").textContent();
  expect(/It works/.test(seen) && /Seen from outside\s*127\./.test(seen), `a test through the exit: ${seen}`);
  if (await page.locator("form[action$='/rotate']").count() > 0) {
    await press(page, "form[action$='/rotate'] button");
    const told = await page.locator("main").textContent();
    expect(/Rotated\./.test(told), `rotating by hand: ${told}`);
  }
  await page.judge("operator-exit");
  for (const [to, told] of [["draining", /not sold any more/], ["disabled", /serves nobody/], ["open", /sold and served again/]]) {
    await page.goto(`${exit.split("#")[0]}/standing?to=${to}`);
    await page.judge(`operator-exit-${to}`);
    await press(page, "main form button");
    expect(told.test(await notice(page)), `${to} is told: ${await notice(page)}`);
  }
}

/** A plan and a coupon are made, changed and retired; the catalogue is exported, looked at and applied. */
async function catalogue(page) {
  await press(page, "nav a[href='/operator/catalogue']");
  await page.judge("operator-catalogue");
  const file = await page.request.get("/operator/catalogue/file");
  const text = await file.text();
  expect(file.ok() && text.includes("[[plan]]"), `the exported catalogue: ${text}`);
  await press(page, "a[href='/operator/catalogue/plan']");
  await page.fill("[name=code]", "new-plan");
  await page.fill("[name=duration]", "a while");
  await page.fill("[name=price]", "9.99");
  await press(page, "main form button.primary");
  expect(/duration/i.test(await page.locator("[role=alert]").textContent()), "a wrong duration is told");
  await page.judge("operator-plan-refused");
  await page.fill("[name=duration]", "7d");
  await page.fill("[name=traffic_gb]", "50");
  await press(page, "main form button.primary");
  expect(/plan is saved/.test(await notice(page)), "the plan is saved");
  await press(page, "a[href='/operator/catalogue/plan?code=new-plan']");
  expect(await page.inputValue("[name=price]") === "9.99" && await page.inputValue("[name=traffic_gb]") === "50", "what was saved is shown");
  await page.judge("operator-plan");
  await press(page, "form[action$='/plan/retire'] button");
  expect(/not sold any more/.test(await notice(page)), "the plan is retired");
  await press(page, "a[href='/operator/catalogue/coupon']");
  await page.fill("[name=code]", "SPRING");
  await page.fill("[name=percent_off]", "15");
  await page.fill("[name=valid_until]", "2099-01-01T12:30");
  await press(page, "main form button.primary");
  expect(/coupon is saved/.test(await notice(page)), "the coupon is saved");
  await press(page, "a[href='/operator/catalogue/coupon?code=SPRING']");
  expect(await page.inputValue("[name=valid_until]") === "2099-01-01T12:30", "its end is shown");
  await page.judge("operator-coupon");
  await page.goto("/operator/catalogue/import");
  await page.judge("operator-import");
  await page.fill("textarea[name=text]:visible", text.replace("[[plan]]", "[[plan]]\nprize = 1"));
  await press(page, "main form button:not(.danger)");
  expect(/line \d+/.test(await page.locator("[role=alert]").textContent()), "a mistake is told with its line");
  await page.fill("textarea[name=text]:visible", text);
  await press(page, "main form button:not(.danger)");
  const difference = await page.locator("section[aria-labelledby='difference-heading']").textContent();
  expect(/coupon SPRING/.test(difference) && !/plan /.test(difference), `the difference alone: ${difference}`);
  await page.judge("operator-import-difference");
  await press(page, "section[aria-labelledby='difference-heading'] button");
  expect(/applied/.test(await notice(page)), "the catalogue is applied");
  expect(await page.locator("a[href$='code=SPRING']").count() === 0, "and the coupon is gone");
}

/** A customer's pages are looked at, and nothing is changed there. */
async function lookAs(page, account) {
  await page.goto(account);
  await press(page, "form[action$='/view'] button");
  await page.judge("operator-view-overview");
  await page.goto("/subscriptions");
  await page.judge("operator-view-subscriptions");
  await page.goto("/keys");
  await page.fill("[name=name]", "Mine");
  await press(page, "form[action='/keys'] button");
  expect(/nothing can be changed/.test(await page.locator("main").textContent()), "nothing is changed in a customer's name");
  await page.judge("operator-view-refused");
  await press(page, "form.viewing button");
  expect(page.url() === account && /your own pages again/.test(await notice(page)), "the operator is back at his desk");
}

/** Forms alone do it. */
async function plain(page) {
  await signIn(page);
  await page.goto("/plans?country=NL&type=private");
  await press(page, ".plan a.button");
  await page.fill("[name=coupon]", "MYCODE");
  await press(page, "#price button.primary");
  expect(/it is 10.80 now/.test(await page.locator("[role=alert]").textContent()), "nobody pays a price that he has not seen");
  await press(page, "#price button.primary");
  expect(/Bought/.test(await notice(page)), "bought without a script");
  await page.judge("subscription");
  expect(await page.locator("button[data-copy]:visible").count() === 0, "no button that does nothing");
  await press(page, "form[action$='/rotate'] button");
  expect(/Rotated/.test(await notice(page)), "rotated without a script");
}

/** The keyboard alone does it. */
async function keyboard(page) {
  await page.goto("/sign-in");
  await page.keyboard.type(EMAIL);
  await page.keyboard.press("Tab");
  await page.keyboard.type(PASSWORD);
  await page.keyboard.press("Enter");
  await page.waitForURL("**/overview");
  const reach = async (selector) => {
    for (let steps = 0; steps < 80; steps += 1) {
      await page.keyboard.press("Tab");
      const { there, seen } = await page.evaluate((wanted) => ({
        there: document.activeElement.matches(wanted),
        seen: document.activeElement === document.body || getComputedStyle(document.activeElement).outlineStyle !== "none",
      }), selector);
      expect(seen, `the focus is seen on the way to ${selector} at ${page.url()}`);
      if (there) return;
    }
    failures.push(`no way by keyboard to ${selector}`);
  };
  await reach("nav a[href='/plans']");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/plans");
  await reach(".plan a.primary");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/plans/*");
  await reach("#price button.primary");
  await Promise.all([page.waitForEvent("load"), page.keyboard.press("Enter")]);
  expect(/Bought/.test(await notice(page)), "bought by keyboard");
}

const HOSTILE = [
  "<script>window.hacked=1</script>", "<img src=x onerror=window.hacked=1>", "\"><svg onload=window.hacked=1>", "'><b>bold</b>",
  "javascript:window.hacked=1", "{{7*7}}", "${7*7}", "<%= 7*7 %>", "&lt;b&gt;", "&amp;&quot;&#39;", "</title><script>window.hacked=1</script>",
  "</textarea><script>window.hacked=1</script>", "--></script><script>window.hacked=1</script>", "<iframe src=javascript:window.hacked=1>",
  "<a href=javascript:window.hacked=1>x</a>", "<style>*{display:none}</style>", "<base href=//evil.example>", "<meta http-equiv=refresh content=0>",
  "<form action=//evil.example>", "<input onfocus=window.hacked=1 autofocus>", "<details open ontoggle=window.hacked=1>", "<math><mi>x",
  "'; DROP TABLE account; --", "\" OR 1=1 --", "%27%3B", "../../etc/passwd", "=1+1", "+1", "@SUM(A1)", "-1",
  "\u202eright to left", "שלום עולם", "مرحبا بالعالم", "日本語のメモ", "e\u0301\u0301\u0301\u0301", "\u200bzero\u200bwidth",
  "👩‍👩‍👧‍👦🏴‍☠️", "x".repeat(64), "W".repeat(64), "a b  c   d",
];

/** Whatever is typed is shown as text. */
async function hostile(page) {
  await signIn(page);
  expect(HOSTILE.length === 40, "forty of them");
  // Traffic is recorded every few seconds.
  for (let tries = 0; tries < 60 && await page.locator("svg.chart").count() === 0; tries += 1) {
    await page.waitForTimeout(500);
    await page.goto("/overview");
  }
  await page.locator("summary").click();
  await page.judge("overview-traffic");
  await page.goto("/subscriptions");
  await press(page, "tbody th a");
  const subscription = page.url();
  for (const text of HOSTILE) {
    await page.goto(subscription);
    await page.fill("[name=note]", text);
    await press(page, "form[action$='/note'] button");
    const kept = await page.inputValue("[name=note]");
    expect(kept === text, `the note ${JSON.stringify(text)} is ${JSON.stringify(kept)}`);
    await page.goto("/subscriptions?q=" + encodeURIComponent(text));
    expect(await page.inputValue("#q") === text, `the search ${text}`);
    expect((await page.locator("td.note bdi").allTextContents()).includes(text), `the note ${text} is found`);
    await page.goto("/keys");
    await page.fill("[name=name]", text);
    await press(page, "form[action='/keys'] button");
    expect((await page.locator("tbody th bdi").allTextContents()).includes(text), `the key's name ${text}`);
    await press(page, "form[action$='/revoke'] button");
    for (const path of ["/sign-in?next=", "/plans?country=", "/statement?below=", "/confirm?next=", subscription + "/renew?coupon="]) {
      await page.goto(path + encodeURIComponent(text));
      expect(await page.evaluate(() => document.querySelectorAll("main b, main iframe, main style, main script, base").length) === 0, `${path}${text}`);
    }
    expect(await page.evaluate(() => window.hacked) === undefined, `${text} ran`);
  }
  await page.goto("/subscriptions");
  await page.judge("hostile");
}

const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
try {
  for (const width of [1440, 390]) {
    for (const scheme of ["light", "dark"]) await walk(await open(browser, { width, scheme }));
  }
  for (const width of [1440, 390]) {
    for (const scheme of ["light", "dark"]) await operate(await open(browser, { width, scheme }));
  }
  await operate(await open(browser, { width: 1440, scheme: "light", script: false }), false);
  await plain(await open(browser, { width: 1440, scheme: "light", script: false }));
  await keyboard(await open(browser, { width: 1440, scheme: "light" }));
  await hostile(await open(browser, { width: 390, scheme: "light" }));
} catch (error) {
  failures.push(error.stack);
} finally {
  await browser.close();
}
for (const failure of failures) console.log(failure);
console.log(`${judged} pages judged, ${failures.length} failures`);
process.exit(failures.length === 0 ? 0 : 1);
