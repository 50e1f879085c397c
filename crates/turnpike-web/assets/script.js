// What the pages gain by a script: copy buttons, countdowns, a sign that a button works, a word while the shop is not reached (and what was typed kept), the present place in sight. Everything works without it.
"use strict";

function enhance(root) {
  for (const button of root.querySelectorAll("button[data-copy]")) {
    if (!navigator.clipboard) continue;
    button.hidden = false;
  }
  // From the seconds that the page came with: a visitor's clock may be wrong.
  for (const counting of root.querySelectorAll("[data-counting]")) {
    const shown = counting.querySelector("[data-left]");
    counting.over = performance.now() + Number(shown.textContent) * 1000;
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  const label = button.textContent;
  button.textContent = button.dataset.done;
  setTimeout(() => { button.textContent = label; }, 1500);
});

setInterval(() => {
  for (const counting of document.querySelectorAll("[data-counting]:not([hidden])")) {
    const left = Math.ceil((counting.over - performance.now()) / 1000);
    if (left > 0) counting.querySelector("[data-left]").textContent = String(left);
    else counting.hidden = true;
  }
}, 250);

// What is pressed may take a second: it says so until the next page is there. Without a network the page and what was typed would
// be lost, unless the shop is on this machine: so it is asked first.
let asked;
document.addEventListener("submit", async (event) => {
  const { target, submitter } = event;
  if (navigator.onLine || target === asked) {
    submitter?.setAttribute("aria-busy", "true");
    return;
  }
  event.preventDefault();
  try {
    await fetch(location.href, { method: "HEAD", cache: "no-store" });
  } catch {
    reached(false);
    document.getElementById("unreachable")?.scrollIntoView({ block: "center" });
    return;
  }
  asked = target;
  target.requestSubmit(submitter);
});

function idle() {
  for (const button of document.querySelectorAll("button[aria-busy]")) button.removeAttribute("aria-busy");
}

// Also for a page that the browser has kept as it was left.
window.addEventListener("pageshow", idle);
document.addEventListener("htmx:afterRequest", idle);

function reached(is) {
  const said = document.getElementById("unreachable");
  if (said) said.hidden = is;
}

window.addEventListener("offline", () => reached(false));
window.addEventListener("online", () => reached(true));
document.addEventListener("htmx:sendError", () => reached(false));
document.addEventListener("htmx:afterOnLoad", () => reached(true));

document.addEventListener("DOMContentLoaded", () => {
  enhance(document);
  // On a phone the places stand in one line that is longer than the screen.
  document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
});
document.addEventListener("htmx:afterSwap", (event) => enhance(event.target));
