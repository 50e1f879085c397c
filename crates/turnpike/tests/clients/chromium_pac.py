"""Opens pages in headless Chromium that is told nothing but where its proxy auto-configuration is, and prints what it saw as JSON.

usage: chromium_pac.py PAC_URL USER PASSWORD URL...

The script cannot carry the password: Chromium asks for it, and gets it as from a person.
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


def answer_password_prompts(page, user: str, password: str) -> None:
    """Playwright answers those of a proxy only where it has named the proxy itself."""
    devtools = page.context.new_cdp_session(page)
    login = {"response": "ProvideCredentials", "username": user, "password": password}

    def on_prompt(event: dict) -> None:
        assert event["authChallenge"]["source"] == "Proxy", event
        devtools.send("Fetch.continueWithAuth", {"requestId": event["requestId"], "authChallengeResponse": login})

    devtools.on("Fetch.authRequired", on_prompt)
    devtools.on(
        "Fetch.requestPaused", lambda event: devtools.send("Fetch.continueRequest", {"requestId": event["requestId"]})
    )
    devtools.send("Fetch.enable", {"handleAuthRequests": True})


def main() -> None:
    pac, user, password, *urls = sys.argv[1:]
    seen = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=[*ARGUMENTS, f"--proxy-pac-url={pac}"]
        )
        page = browser.new_page()
        answer_password_prompts(page, user, password)
        for url in urls:
            answer = page.goto(url, timeout=30_000)
            seen.append({"url": url, "status": answer.status, "text": page.inner_text("body")})
        browser.close()
    print(json.dumps(seen))


main()
