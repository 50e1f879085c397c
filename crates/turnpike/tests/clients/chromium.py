"""Opens pages in headless Chromium through an HTTP proxy that asks for a password, and prints what it saw as JSON.

usage: chromium.py PROXY USER PASSWORD URL...

PROXY is HOST:PORT, or https://HOST:PORT for one inside TLS, whose certificate is not verified.

Chromium is given the proxy without credentials: it must meet the 407 challenge and answer it, as a person's browser would.
"""

import json
import sys

from playwright.sync_api import sync_playwright

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def main() -> None:
    proxy, user, password, *urls = sys.argv[1:]
    seen = []
    is_secret = proxy.startswith("https://")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=ARGUMENTS + (["--ignore-certificate-errors"] if is_secret else []),
            # Without the bypass rule Chromium would go around the proxy for loopback addresses.
            proxy={"server": proxy if is_secret else f"http://{proxy}", "bypass": "<-loopback>", "username": user, "password": password},
        )
        page = browser.new_page()
        for url in urls:
            answer = page.goto(url, timeout=30_000)
            seen.append({"url": url, "status": answer.status, "text": page.inner_text("body")})
        browser.close()
    print(json.dumps(seen))


main()
