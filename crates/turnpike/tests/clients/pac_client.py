"""Loads a proxy auto-configuration from a URL, and prints as JSON what it says to each of the other URLs.

usage: pac_client.py PAC_URL URL...
"""

import json
import sys
from urllib.parse import urlsplit

import pacparser
import requests


def main() -> None:
    pac, *urls = sys.argv[1:]
    session = requests.Session()
    session.trust_env = False
    answer = session.get(pac, timeout=20)
    answer.raise_for_status()
    pacparser.init()
    pacparser.parse_pac_string(answer.text)
    print(json.dumps([pacparser.find_proxy(url, urlsplit(url).hostname) for url in urls]))


main()
