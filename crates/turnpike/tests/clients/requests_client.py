"""Fetches URLs with python-requests through a proxy URL, on one session, and prints status and text as JSON.

usage: requests_client.py PROXY_URL URL...
"""

import json
import os
import sys

import requests


def main() -> None:
    proxy, *urls = sys.argv[1:]
    session = requests.Session()
    session.trust_env = False
    session.proxies = {"http": proxy, "https": proxy}
    # What a proxy inside TLS is verified by.
    session.verify = os.environ.get("TURNPIKE_TEST_ROOT", True)
    seen = []
    for url in urls:
        answer = session.get(url, timeout=20)
        seen.append({"url": url, "status": answer.status_code, "text": answer.text})
    print(json.dumps(seen))


main()
