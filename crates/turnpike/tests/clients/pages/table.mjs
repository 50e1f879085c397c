// What was found on each page that was looked at, for the table beside the pictures.
import { writeFileSync } from "node:fs";
import { basename } from "node:path";

const { PICTURES } = process.env;
const pages = new Map();

/** Adds what one look at a page has found; sizes are the largest that any look met. */
export function noted(name, { pictures = [], violations = 0, errors = 0, html = 0, moved = 0, waited = 0 }) {
  const page = pages.get(name) ?? { pictures: [], violations: 0, errors: 0, html: 0, moved: 0, waited: 0 };
  page.pictures.push(...pictures);
  page.violations += violations;
  page.errors += errors;
  page.html = Math.max(page.html, html);
  page.moved = Math.max(page.moved, moved);
  page.waited = Math.max(page.waited, waited);
  pages.set(name, page);
}

/** How large the page that is open is, what its browser has loaded for it, and how long the server took. Nothing where it has no timings of its own. */
export function measured() {
  const [own] = performance.getEntriesByType("navigation");
  if (!own) return {};
  const all = [own, ...performance.getEntriesByType("resource")];
  return { html: own.decodedBodySize, moved: all.reduce((sum, one) => sum + one.transferSize, 0), waited: own.responseStart - own.requestStart };
}

const kib = (bytes) => (bytes / 1024).toFixed(1);

/** Leaves a row for each page with the pictures, for `cargo xtask screenshots` to make one table of those of all walks. */
export function kept() {
  if (!PICTURES) return;
  const rows = [...pages].map(([name, page]) => {
    const seen = [...new Set(page.pictures)].sort().map((file) => `[${file.slice(name.length + 1, -4)}](${encodeURIComponent(file)})`);
    return `| \`${name}\` | ${seen.join(" ")} | ${page.violations} | ${page.errors} | ${kib(page.html)} | ${kib(page.moved)} | ${page.waited.toFixed(0)} |\n`;
  });
  writeFileSync(`${PICTURES}/${basename(process.argv[1], ".mjs")}-${process.pid}.rows`, rows.join(""));
}
