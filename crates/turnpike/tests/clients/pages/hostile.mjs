// Whatever is typed is shown as text, by whomever and wherever: nothing of it runs, nothing of it becomes a part of a page.
import { EMAIL, OPERATOR, OPERATOR_PASSWORD, OTHER, SHOP, expect, signIn } from "./browser.mjs";

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


/** Fields of a form that a browser would send from our page. */
async function send(page, path, form) {
  return page.request.post(path, { form, headers: { origin: SHOP } });
}

/** Nothing of what was typed became a part of this page, and each text that is named stands on it. */
async function isText(page, where, texts) {
  expect(await page.evaluate(() => window.hacked) === undefined, `something ran at ${where}`);
  const parts = "main b, main iframe, main style, main script, main svg[onload], main img[onerror], main math, base, main [onfocus], main [ontoggle]";
  expect(await page.evaluate((all) => document.querySelectorAll(all).length, parts) === 0, `${where} has elements of a visitor`);
  const shown = await page.evaluate(() => [document.querySelector("main").textContent,
    ...[...document.querySelectorAll("main input, main textarea")].map((field) => field.value)].join("\n"));
  for (const text of texts) expect(shown.includes(text), `${JSON.stringify(text)} is shown at ${where}`);
}

async function look(page, path, texts = []) {
  await page.goto(path);
  await isText(page, path, texts);
}

/** What a refused form shows again. */
export async function refusal(page, path, form, texts = []) {
  const answer = await send(page, path, form);
  const body = await answer.text();
  // Read as a document that no policy of ours protects.
  const found = await page.evaluate(([html, all]) => {
    const parsed = new DOMParser().parseFromString(html, "text/html");
    const main = parsed.querySelector("main");
    return [parsed.querySelectorAll(all).length, [main.textContent, ...[...main.querySelectorAll("input, textarea")].map((field) => field.getAttribute("value") ?? field.textContent)].join("\n")];
  }, [body, "main b, main iframe, main style, main script, main math, base, main [onload], main [onerror], main [onfocus], main [ontoggle]"]);
  expect(found[0] === 0, `${path} shows ${JSON.stringify(form)} as elements`);
  for (const text of texts) expect(found[1].includes(text), `${JSON.stringify(text)} stays in the form of ${path}`);
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
  for (const text of HOSTILE) {
    await send(page, `${subscription}/note`, { note: text });
    await look(page, `/subscriptions?q=${encodeURIComponent(text)}`, [text]);
    expect((await page.locator("td.note bdi").allTextContents()).includes(text), `the note ${text} is found`);
    for (const path of ["/sign-in?next=", "/plans?country=", "/statement?below=", "/confirm?next=", subscription + "/renew?coupon="]) {
      await refusalFree(page, path + encodeURIComponent(text));
    }
    await refusal(page, "/notices/webhooks", { url: text }, [text]);
    await refusal(page, "/notices", { low: text });
    await refusal(page, "/keys", { name: "A key", sources: text, days: text, access: text });
    await refusal(page, `${subscription}/links`, { name: "A link", kind: text, allowed: text });
    await refusal(page, `${subscription}/sources`, { sources: text });
    await refusal(page, `${subscription}/renew`, { plan: text, repeat: text, coupon: text });
  }
  await look(page, subscription, [HOSTILE.at(-1)]);
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

/** The fields of those who are not signed in. It uses up what one address may try, so it comes last. */
export async function strangersHostile(page) {
  await page.goto("/sign-in");
  for (const text of HOSTILE) {
    await refusal(page, "/sign-in", { email: text, password: "wrong", next: text }, [text]);
    await refusal(page, "/sign-up", { email: text, password: "short" });
  }
}

/** A page by GET, without loading what is on it. */
async function refusalFree(page, path) {
  const html = await (await page.request.get(path)).text();
  const count = await page.evaluate(([text, all]) => new DOMParser().parseFromString(text, "text/html").querySelectorAll(all).length,
    [html, "main b, main iframe, main style, main script, main math, base, main [onload], main [onerror], main [onfocus], main [ontoggle]"]);
  expect(count === 0, `${path} has elements of a visitor`);
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
  for (const text of HOSTILE) {
    for (const path of ["/operator/accounts?q=", "/operator/exits?q=", "/operator/audit?q=", "/operator/orders?account=", "/operator/orders?after=",
      "/operator/trials?skip=", "/operator/catalogue/plan?code=", "/operator/catalogue/coupon?code="]) {
      await refusalFree(page, path + encodeURIComponent(text));
    }
    await refusal(page, `${ann}/money`, { direction: text, amount: text, reason: text });
    const plan = { code: text, network: text, connection_type: text, duration: text, price: text, trial: text, max_connections: text };
    await refusal(page, "/operator/catalogue/plan", plan, [text]);
    await refusal(page, "/operator/catalogue/coupon", { code: text, percent_off: text, amount_off: text, per_account: text, valid_until: text, max_redemptions: text }, [text]);
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
