"""Has subconverter load a subscription URL, and prints as JSON the servers that it found there.

usage: subconverter_client.py URL
"""

import json
import os
import sys

import yaml
from pysubconverter import config_context, subconverter


def main() -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        os.environ.pop(name, None)
    # It logs to standard output; what it found is to stand there alone.
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    with config_context():
        found = subconverter({"target": "clash", "list": "true", "url": sys.argv[1]})
    os.dup2(kept, 1)
    print(json.dumps(yaml.safe_load(found)["proxies"]))


main()
