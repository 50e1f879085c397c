// Names that people choose, in every place where one stands: hostile ones, very long ones, and from right to left.
import {
  BOTH, EMAIL, OPERATOR, OPERATOR_PASSWORD, OTHER, PASSWORD, THIRD, THIRD_PASSWORD, ended, expect, launched, notice, press, signIn, visits,
} from "./browser.mjs";
import { HOSTILE, isText, look, refusalFree, send } from "./hostile.mjs";

const { OTHER_PASSWORD } = process.env;
/** The longest that a catalogue takes: 64 characters of a code, 100 of a city. */
const LONG = { code: "W".repeat(64), exit: "exit-".padEnd(64, "w"), plan: "plan-".padEnd(64, "W"), coupon: "COUPON-".padEnd(64, "W"), city: "Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch".repeat(2).slice(0, 100) };
const HEBREW = { code: "IL-JRS", exit: "il-1", plan: "il-plan", coupon: "SHALOM", city: "ירושלים, הבירה (רובע 3)" };
const LONG_TEXT = "Wiederverkäuferabteilungsproxyverbindungszugang".repeat(4);
const HEBREW_TEXT = "הזמנה שהוחזרה, לפי בקשת הלקוח (3)";
/** What is typed is stored without blanks around it. */
const CITIES = HOSTILE.map((text) => text.trim());

/** A network as a catalogue writes it, with its exits and a plan: strings of JSON are strings of TOML. */
function network({ code, city, exits, plan, number, rotate }) {
  const text = JSON.stringify;
  const ways = exits.map((exit, nth) => `  [[network.exit]]\n  name = ${text(exit)}\n  addresses = ["127.${9 + nth}.10.${number}"]\n  rotate = { command = [${text(rotate)}] }\n`);
  return { network: `[[network]]\ncode = ${text(code)}\ncity = ${text(city)}\ncountry = "NL"\ntype = "mobile"\n${ways.join("")}`,
    plan: `[[plan]]\ncode = ${text(plan)}\nnetwork = ${text(code)}\nconnection_type = "private"\nduration = "30d"\nprice_cents = 100\n` };
}

/** Every free text of a catalogue is hostile, as long as it can be, or from right to left. */
function catalogue(before) {
  const all = CITIES.map((city, number) => network({ code: `H-${number}`, city, exits: [`hostile-${number}`], plan: `hostile-${number}`, number: number + 1, rotate: HOSTILE[number] }));
  for (const [number, one] of [LONG, HEBREW].entries()) all.push(network({ ...one, exits: [one.exit, `${one.exit.slice(0, 62)}-2`], number: 100 + number, rotate: one === LONG ? LONG_TEXT : HEBREW_TEXT }));
  const coupons = [LONG, HEBREW].map(({ coupon }) => `[[coupon]]\ncode = "${coupon}"\npercent_off = 10\n`);
  return [before, ...all.map((one) => one.network), ...all.map((one) => one.plan), ...coupons].join("\n");
}

/** An operator imports it and finds it on his pages. */
async function stock(page) {
  await signIn(page, OPERATOR, OPERATOR_PASSWORD);
  const file = await (await page.request.get("/operator/catalogue/file")).text();
  await page.goto("/operator/catalogue/import");
  await page.fill("textarea.mono", catalogue(file));
  await press(page, "form.stack button");
  await isText(page, "the difference", [LONG.code, LONG.plan, LONG.coupon]);
  await page.judge("operator-import-names");
  await press(page, "section[aria-labelledby='difference-heading'] button");
  expect(/applied/.test(await notice(page)), `the names are taken: ${await page.locator("main").textContent()}`);
  await page.judge("operator-catalogue-names");
  await look(page, "/operator", [...CITIES, LONG.city, HEBREW.city]);
  await page.judge("operator-shop-names");
  await look(page, "/operator/exits", [...CITIES, LONG.city, HEBREW.city]);
  await page.judge("operator-exits-names");
  for (const [name, query, texts] of [["long", "exit-w", [LONG_TEXT]], ["right-to-left", "il-1", [HEBREW_TEXT]], ...HOSTILE.map((text, number) => [null, `hostile-${number}`, [text]])]) {
    await page.goto(`/operator/exits?q=${query}`);
    const exit = await page.locator("#found tbody th a").first().getAttribute("href");
    if (!name) await refusalFree(page, exit, texts);
    else {
      await look(page, exit, texts);
      await page.judge(`operator-exit-${name}`);
    }
  }
  for (const [name, { plan, coupon }] of [["long", LONG], ["right-to-left", HEBREW]]) {
    for (const [kind, code] of [["plan", plan], ["coupon", coupon]]) {
      await look(page, `/operator/catalogue/${kind}?code=${code}`, [code]);
      await page.judge(`operator-${kind}-${name}`);
    }
  }
  const exported = await (await page.request.get("/operator/catalogue/file")).text();
  for (const city of CITIES) expect(exported.includes(city) || exported.includes(JSON.stringify(city)), `the exported catalogue has ${city}`);
  await page.goto("/operator/catalogue/import");
  await page.fill("textarea.mono", exported);
  await press(page, "form.stack button");
  expect(/no difference|nothing|equal/i.test(await page.locator("section[aria-labelledby='difference-heading']").textContent()), "what was exported is what there is");
}

/** A customer buys in each of these networks, and finds its name as text wherever he looks. */
async function buy(page) {
  await signIn(page, EMAIL, PASSWORD);
  await look(page, "/plans", [...CITIES, LONG.city, HEBREW.city]);
  await page.judge("plans-names");
  const plans = await page.locator(".plan").evaluateAll((all) => all.map((one) => ({ city: one.querySelector("h2").textContent, path: one.querySelector("a").getAttribute("href") })));
  const wanted = [...CITIES, LONG.city, HEBREW.city].map((city) => plans.find((plan) => plan.city === city));
  expect(wanted.every(Boolean), "each is sold under its name");
  for (const [number, { city, path }] of wanted.filter(Boolean).entries()) {
    await refusalFree(page, path, [city]);
    const form = await (await page.request.get(path)).text();
    const [once, agreed] = ["once", "agreed"].map((name) => form.match(new RegExp(`name="${name}" value="([^"]+)"`))[1]);
    const answer = await send(page, path, { once, agreed, quantity: "1", repeat: "1", coupon: "" });
    expect(answer.ok() && /\/subscriptions\//.test(answer.url()), `bought in ${city}: ${answer.status()} ${answer.url()}`);
    // Its own page, and what it could be switched to: at first to all.
    await refusalFree(page, new URL(answer.url()).pathname, [...(number === 0 ? CITIES : [city]), LONG.city, HEBREW.city]);
    await refusalFree(page, `${new URL(answer.url()).pathname}/renew`);
  }
  await look(page, "/overview");
  await page.judge("overview-names");
  let read = "";
  for (let path = "/subscriptions"; path; path = await page.locator(".pages a:last-child:not([href='/subscriptions'])").getAttribute("href", { timeout: 500 }).catch(() => null)) {
    await look(page, path);
    if (read === "") await page.judge("subscriptions-names");
    read += await page.locator("main").textContent();
  }
  for (const city of CITIES) expect(read.includes(city), `${city} stands in the list`);
  for (const [name, { city }] of [["long", LONG], ["right-to-left", HEBREW]]) {
    const { path } = plans.find((plan) => plan.city === city);
    await look(page, path, [city]);
    await page.judge(`order-${name}`);
    await page.goto(`/subscriptions?q=${encodeURIComponent(city)}`);
    await press(page, "#found tbody th a");
    await page.judge(`subscription-in-${name}`);
  }
  await exportsHostile(page);
}

/** Programs read each export as what it is, whatever the names in it. */
async function exportsHostile(page) {
  await page.goto("/subscriptions");
  // A note goes into the names of ports.
  const held = await page.locator("#found tbody th a").evaluateAll((all) => all.map((one) => one.getAttribute("href")));
  for (const [number, path] of held.entries()) await send(page, `${path}/note`, { note: HOSTILE[number % HOSTILE.length] });
  const named = await page.locator("#profile-heading ~ .fine a").evaluateAll((all) => all.map((one) => one.href));
  expect(named.length === 7, `exports: ${named}`);
  const links = [...named, ...["links", "base64", "json", "sing-box-tun", "socks5"].map((format) => named[0].replace(/format=.*/, `format=${format}`))];
  for (const link of links) {
    const answer = await page.request.get(link);
    const [type, text] = [answer.headers()["content-type"], await answer.text()];
    expect(answer.ok() && !/html/.test(type) && answer.headers()["x-content-type-options"] === "nosniff", `${link} is no page: ${type}`);
    if (/json/.test(type)) JSON.parse(text);
    if (/csv/.test(type)) for (const cell of cells(text)) expect(!/^[=+\-@\t]/.test(cell) || /^-?\d+$/.test(cell), `a spreadsheet would compute ${cell} of ${link}`);
    if (/=links$/.test(link)) for (const line of text.trim().split("\n")) new URL(line);
    expect(text !== "", `${link} says something`);
  }
}

/** The cells of a table in text (RFC 4180). */
function cells(text) {
  return [...text.matchAll(/(?:^|,|\n)(?:"((?:[^"]|"")*)"|([^",\n]*))/g)].map(([, quoted, bare]) => (quoted ?? bare).replaceAll('""', '"'));
}

/** Somebody with names like these of his own: his address, his keys, links, webhooks and notes. */
function person(kind, email, password, text) {
  return async function named(page) {
    await signIn(page, email, password);
    const short = text.slice(0, 64).trim();
    await page.judge(`overview-empty-${kind}`);
    await page.goto("/keys");
    await page.fill("[name=name]", short);
    await press(page, "form[action='/keys'] button");
    await isText(page, "the keys", [short]);
    await page.judge(`keys-${kind}`);
    const hook = kind === "long" ? `https://hooks.example.com/${"w".repeat(460)}` : "https://hooks.example.com/שלום/עולם?שם=ערך";
    await page.goto("/notices");
    await page.fill("[name=url]", hook);
    await press(page, "form[action='/notices/webhooks'] button");
    await page.judge(`notices-${kind}`);
    await press(page, "a[href^='/notices/webhooks/']");
    await page.judge(`webhook-${kind}`);
    await page.goto("/plans?type=shared");
    await press(page, ".plan a.primary");
    await press(page, "#price button.primary");
    expect(/Bought/.test(await notice(page)), "bought");
    await page.fill("[name=note]", text);
    await press(page, "form[action$='/note'] button");
    await press(page, "a[href$='/links']");
    await page.fill("[name=name]", short);
    await press(page, "form[action$='/links'] button");
    await isText(page, "the links", [short]);
    await page.judge(`links-${kind}`);
    await page.goto("/overview");
    await page.judge(`overview-${kind}`);
    await page.goto("/account");
    await page.judge(`account-${kind}`);
  };
}

/** What operators see of such people: in lists, on pages of their own, in the log. */
async function people(page) {
  await signIn(page, OPERATOR, OPERATOR_PASSWORD);
  await look(page, "/operator/accounts", [OTHER, THIRD]);
  await page.judge("operator-accounts-names");
  await look(page, "/operator/orders");
  await page.judge("operator-orders-names");
  for (const [kind, email, text] of [["long", OTHER, LONG_TEXT], ["right-to-left", THIRD, HEBREW_TEXT]]) {
    await page.goto(`/operator/accounts?q=${encodeURIComponent(email)}`);
    await press(page, "#found tbody th a");
    const account = page.url();
    await press(page, "a[href$='/money']");
    await page.fill("[name=amount]", "1.00");
    await page.fill("[name=reason]", text);
    await page.judge(`operator-money-${kind}`);
    await press(page, "main form button");
    await isText(page, "the account", [email, text]);
    await page.judge(`operator-account-${kind}`);
    await press(page, "a[href$='/status']");
    await page.judge(`operator-suspend-${kind}`);
    await page.goto(account);
    await press(page, "a[href*='/operator/orders?account=']");
    await page.judge(`operator-orders-of-${kind}`);
    await press(page, "tbody th a");
    await press(page, "a[href$='/refund']");
    await page.fill("[name=reason]", text);
    await page.judge(`operator-refund-${kind}`);
    await press(page, "main form button");
    await isText(page, "the order", [email, text]);
    await page.judge(`operator-order-${kind}`);
    await page.goto(account);
    await press(page, "form[action$='/view'] button");
    await page.judge(`operator-view-${kind}`);
    await page.goto("/statement");
    await isText(page, "the statement", [text]);
    await page.judge(`statement-${kind}`);
    await press(page, "form.viewing button");
  }
  await look(page, "/operator/audit", [OTHER, THIRD]);
  await page.judge("operator-audit-names");
}

const browser = await launched();
try {
  await visits(browser, [[BOTH, stock]]);
  await Promise.all([
    visits(browser, [[BOTH, buy]]),
    visits(browser, [[BOTH, person("long", OTHER, OTHER_PASSWORD, LONG_TEXT)], [BOTH, person("right-to-left", THIRD, THIRD_PASSWORD, HEBREW_TEXT)]]),
  ]);
  await visits(browser, [[BOTH, people]]);
} finally {
  await browser.close();
}
ended();
