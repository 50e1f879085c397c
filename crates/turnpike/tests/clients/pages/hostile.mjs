// Whatever is typed is shown as text, by whomever and wherever: nothing of it runs, nothing of it becomes a part of a page.
import { code } from "./entry.mjs";
import { EMAIL, IS_WHOLE, OPERATOR, OPERATOR_PASSWORD, MANY_ORDERS, OTHER, PASSWORD, SHOP, expect, press, signIn } from "./browser.mjs";

export const HOSTILE = [
  "<script>window.hacked=1</script>", "<img src=x onerror=window.hacked=1>", "\"><svg onload=window.hacked=1>", "'><b>bold</b>",
  "javascript:window.hacked=1", "{{7*7}}", "${7*7}", "<%= 7*7 %>", "&lt;b&gt;", "&amp;&quot;&#39;", "</title><script>window.hacked=1</script>",
  "</textarea><script>window.hacked=1</script>", "--></script><script>window.hacked=1</script>", "<iframe src=javascript:window.hacked=1>",
  "<a href=javascript:window.hacked=1>x</a>", "<style>*{display:none}</style>", "<base href=//evil.example>", "<meta http-equiv=refresh content=0>",
  "<form action=//evil.example>", "<input onfocus=window.hacked=1 autofocus>", "<details open ontoggle=window.hacked=1>", "<math><mi>x",
  "'; DROP TABLE account; --", "\" OR 1=1 --", "%27%3B", "../../etc/passwd", "=1+1", "+1", "@SUM(A1)", "-1",
  "\u202eright to left", "שלום עולם", "مرحبا بالعالم", "日本語のメモ", "e\u0301\u0301\u0301\u0301", "\u200bzero\u200bwidth",
  "👩‍👩‍👧‍👦🏴‍☠️", "x".repeat(64), "W".repeat(64), "a b  c   d",
];
/** What some of them would become, were they not text. */
const PARTS = "main b, main iframe, main style, main script, main math, base, main [onload], main [onerror], main [onfocus], main [ontoggle]";

/** Fields of a form that a browser would send from our page. */
export async function send(page, path, form) {
  return page.request.post(path, { form, headers: { origin: SHOP } });
}

/** Nothing of what was typed became a part of this page, and each text that is named stands on it. */
export async function isText(page, where, texts) {
  expect(await page.evaluate(() => window.hacked) === undefined, `something ran at ${where}`);
  const parts = "main b, main iframe, main style, main script, main svg[onload], main img[onerror], main math, base, main [onfocus], main [ontoggle]";
  expect(await page.evaluate((all) => document.querySelectorAll(all).length, parts) === 0, `${where} has elements of a visitor`);
  const shown = await page.evaluate(() => [document.querySelector("main").textContent,
    ...[...document.querySelectorAll("main input, main textarea")].map((field) => field.value)].join("\n"));
  for (const text of texts) expect(shown.includes(text), `${JSON.stringify(text)} is shown at ${where}`);
}

export async function look(page, path, texts = []) {
  await page.goto(path);
  await isText(page, path, texts);
}

/** What a refused form shows again: the texts somewhere, and in its fields of these names what they were sent with. */
export async function refusal(page, path, form, texts = [], names = []) {
  const answer = await send(page, path, form);
  const { values } = await isPlain(page, `${path} with ${JSON.stringify(form)}`, await answer.text(), texts);
  for (const name of names) expect(values[name] === form[name], `${JSON.stringify(form[name])} stays in ${name} of ${path}, not ${JSON.stringify(values[name])}`);
}

/** A page by GET, without loading what is on it. */
export async function refusalFree(page, path, texts = []) {
  return isPlain(page, path, await (await page.request.get(path)).text(), texts);
}

/** A page has nothing of a visitor but text, also as a document that no policy of ours protects. What its fields hold, and the notes of its table. */
async function isPlain(page, where, html, texts) {
  const found = await page.evaluate(([written, all]) => {
    const parsed = new DOMParser().parseFromString(written, "text/html");
    const main = parsed.querySelector("main");
    const fields = [...main.querySelectorAll("input, textarea")].map((field) => [field.name, field.getAttribute("value") ?? field.textContent]);
    return { count: parsed.querySelectorAll(all).length, shown: [main.textContent, ...fields.map(([, value]) => value)].join("\n"), values: Object.fromEntries(fields), notes: [...main.querySelectorAll("td.note bdi")].map((note) => note.textContent) };
  }, [html, PARTS]);
  expect(found.count === 0, `${where} has elements of a visitor`);
  for (const text of texts) expect(found.shown.includes(text), `${JSON.stringify(text)} is shown at ${where}`);
  return found;
}

/** Customers' fields. */
export async function customersHostile(page) {
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
  const subscription = await page.locator("tbody th a").first().getAttribute("href");
  await page.goto("/plans");
  const plan = await page.locator(".plan a.button").first().getAttribute("href");
  for (const [number, text] of HOSTILE.entries()) {
    await send(page, `${subscription}/note`, { note: text });
    const found = `/subscriptions?q=${encodeURIComponent(text)}`;
    const { notes } = await refusalFree(page, found, [text]);
    expect(notes.includes(text), `the note ${text} is found`);
    // What the browser makes of it, and not only of its text.
    if (number % 8 === 0) await look(page, found, [text]);
    // What is refused is not kept, whatever the engine.
    if (!IS_WHOLE) continue;
    for (const path of ["/sign-in?next=", "/plans?country=", "/statement?below=", "/confirm?next=", subscription + "/renew?coupon="]) {
      await refusalFree(page, path + encodeURIComponent(text));
    }
    await refusal(page, "/notices/webhooks", { url: text }, [text]);
    await refusal(page, "/notices", { low: text });
    await refusal(page, "/keys", { name: "A key", sources: text, days: text, access: text });
    await refusal(page, `${subscription}/links`, { name: "A link", kind: text, allowed: text });
    await refusal(page, `${subscription}/sources`, { sources: text });
    await refusal(page, `${subscription}/renew`, { plan: text, repeat: text, coupon: text }, [], ["coupon"]);
    await refusal(page, plan, { quantity: text, repeat: text, coupon: text }, [], ["coupon"]);
    await refusalFree(page, `${plan}?quantity=${encodeURIComponent(text)}&repeat=${encodeURIComponent(text)}&coupon=${encodeURIComponent(text)}`, [text]);
    await refusal(page, `${subscription}/auto-renew`, { plan: text });
    await refusal(page, `${subscription}/policy`, { minutes: text });
    await refusal(page, `${subscription}/network`, { network: text });
  }
  await look(page, subscription, [HOSTILE.at(-1)]);
  // Making links wants it lately.
  await send(page, "/confirm", { password: PASSWORD, next: "/overview" });
  for (const half of [HOSTILE.slice(0, 20), HOSTILE.slice(20)]) {
    for (const name of half) await send(page, `${subscription}/links`, { name, kind: "status", allowed: "" });
    await look(page, `${subscription}/links`, half);
    if (half[0] === HOSTILE[0]) await page.judge("links-hostile");
    for (const form of await page.locator("form[action$='/revoke']").all()) await send(page, await form.getAttribute("action"), {});
  }
  for (const name of HOSTILE) await send(page, "/keys", { name, access: "read" });
  await look(page, "/keys", HOSTILE);
  await page.judge("keys-hostile");
}

/** The fields of those who are not signed in, or not yet. It uses up what one address may try, so it comes last. */
export async function strangersHostile(page) {
  await codesHostile(page, "codes@example.com", "correct horse battery");
  await page.context().clearCookies();
  await page.goto("/sign-in");
  for (const text of HOSTILE) {
    await refusal(page, "/sign-in", { email: text, password: "wrong", next: text }, [], ["email"]);
    await refusal(page, "/sign-up", { email: text, password: "short" });
  }
  const refused = async () => {
    await page.fill("[name=email]", "codes@example.com");
    await page.fill("[name=password]", "not the password");
    await press(page, "main button");
    return page.locator("[role=alert]").textContent();
  };
  let told = await refused();
  for (let tries = 0; tries < 20 && !/Too many failed logins/.test(told); tries += 1) told = await refused();
  expect(/Too many failed logins/.test(told), `whoever tries on and on has to wait: ${told}`);
  await page.judge("sign-in-throttled");
}

/** The codes of a second factor: where it is set up, and where it is asked for. */
async function codesHostile(page, email, password) {
  await page.goto("/sign-up");
  await page.fill("[name=email]", email);
  await page.fill("[name=password]", password);
  await press(page, "main button");
  for (const text of HOSTILE) await refusal(page, "/account/second-factor", { code: text });
  // Whoever was wrong so often has to wait a moment, each time.
  const until = async (isDone, tries) => {
    for (let count = 0; count < 100 && !await isDone(); count += 1) await tries();
    expect(await isDone(), `it is done at ${page.url()}`);
  };
  await until(async () => await page.locator(".codes code").count() > 0, async () => {
    await page.goto("/account/second-factor");
    await page.fill("[name=code]", code(await page.locator(".key").textContent()));
    await press(page, "main form button");
  });
  await page.context().clearCookies();
  await until(() => page.url().includes("/sign-in/code"), async () => {
    await page.goto("/sign-in");
    await page.fill("[name=email]", email);
    await page.fill("[name=password]", password);
    await press(page, "main button");
  });
  for (const text of HOSTILE) await refusal(page, "/sign-in/code", { code: text, next: text });
}

const PLAN = ["code", "duration", "price", "trial", "max_connections", "max_source_addresses", "mbit_per_second", "traffic_gb"];
const COUPON = ["code", "percent_off", "amount_off", "per_account", "valid_until", "max_redemptions"];
const filled = (names, text) => Object.fromEntries(names.map((name) => [name, text]));

/** Each order of an account is given back for a reason, which stands in it and in the customer's statement. */
async function refundsHostile(page, account) {
  await page.goto(`/operator/orders?account=${account.split("/").at(-1)}`);
  const orders = await page.locator("tbody th a").evaluateAll((links) => links.map((link) => link.getAttribute("href")));
  expect(orders.length === HOSTILE.length, `an order for each: ${orders.length}`);
  for (const [number, reason] of HOSTILE.entries()) {
    await send(page, `${orders[number]}/refund`, { reason });
    await refusalFree(page, orders[number], [reason]);
    await refusal(page, `${orders[number]}/refund`, { reason }, [], ["reason"]);
  }
  await look(page, account, HOSTILE);
}

/** Operators' fields, and customers' words where operators see them. */
export async function operatorsHostile(page, customer) {
  await signIn(page, OPERATOR, OPERATOR_PASSWORD);
  const account = async (email) => {
    await page.goto(`/operator/accounts?q=${encodeURIComponent(email)}`);
    return page.locator("#found tbody th a").first().getAttribute("href");
  };
  const ann = await account(EMAIL);
  await look(page, ann, HOSTILE);
  await page.judge("operator-account-hostile");
  for (const reason of HOSTILE) {
    const form = await (await page.request.get(`${ann}/money`)).text();
    const once = form.match(/name="once" value="([^"]+)"/)[1];
    await send(page, `${ann}/money`, { once, direction: "credit", amount: "0.01", reason });
  }
  await look(page, ann, HOSTILE);
  await look(page, "/operator/audit?action=account.");
  await page.judge("operator-audit-hostile");
  // Who reads the log finds every one of them, however many pages it has.
  let read = "";
  for (let path = "/operator/audit"; path; path = await page.locator(".pages a[href*='after=']").first().getAttribute("href").catch(() => null)) {
    await look(page, path);
    read += await page.locator("main").textContent();
    if (await page.locator(".pages a[href*='after=']").count() === 0) break;
  }
  for (const reason of HOSTILE) expect(read.includes(JSON.stringify(reason).slice(1, -1)) || read.includes(reason), `${reason} stands in the audit log`);
  const other = await account(OTHER);
  await page.goto(`/operator/orders?account=${other.split("/").at(-1)}`);
  // The last one: operators give back the first ones at the same time.
  const order = await page.locator("tbody tr:not(:has(.badge)) th a").last().getAttribute("href");
  await send(page, `${order}/refund`, { reason: HOSTILE[0] });
  await look(page, order, [HOSTILE[0]]);
  await refundsHostile(page, await account(MANY_ORDERS));
  await page.goto("/operator/exits");
  const exit = await page.locator("#found tbody th a").first().getAttribute("href");
  for (const text of IS_WHOLE ? HOSTILE : []) {
    for (const path of ["/operator/accounts?q=", "/operator/exits?q=", "/operator/audit?q=", "/operator/orders?account=", "/operator/orders?after=",
      "/operator/trials?skip=", "/operator/catalogue/plan?code=", "/operator/catalogue/coupon?code="]) {
      await refusalFree(page, path + encodeURIComponent(text));
    }
    await refusal(page, `${ann}/money`, { direction: text, amount: text, reason: text });
    await refusalFree(page, `${exit}/standing?to=${encodeURIComponent(text)}`);
    await refusal(page, `${exit}/standing`, { to: text });
    await refusal(page, "/operator/catalogue/plan", { ...filled(PLAN, text), network: text, connection_type: text }, [], PLAN);
    await refusal(page, "/operator/catalogue/coupon", filled(COUPON, text), [], COUPON);
    await refusal(page, "/operator/catalogue/import", { text }, [text]);
    await refusal(page, "/operator/catalogue/plan/retire", { code: text });
  }
  await page.goto("/operator/audit?q=" + encodeURIComponent(HOSTILE[0]));
  await isText(page, "the audit log", [HOSTILE[0]]);
  await customer.goto("/statement");
  await isText(customer, "the statement", HOSTILE);
  await customer.judge("statement-hostile");
  const file = await (await customer.request.get("/statement.csv")).text();
  const cells = file.split(/\r?\n/).slice(1).filter((line) => line !== "").map((line) => line.split(",").slice(5).join(",").replace(/^"/, ""));
  for (const cell of cells) expect(!/^[=+\-@\t]/.test(cell), `a spreadsheet would compute ${cell}`);
  expect(cells.some((cell) => cell.includes("=1+1")), "what looks like a formula is there all the same");
}
