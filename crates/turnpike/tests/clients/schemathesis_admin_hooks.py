"""What Schemathesis needs to know of a shop beyond its operators' OpenAPI document, and a record of what came of its requests.

Environment: SHOP, the server's address; KEY, an operator's API key; RECORD, the file that the record is written to: a JSON object of operations,
each with its answers' statuses and how often they came.
"""

import atexit
import collections
import itertools
import json
import os
import random
import urllib.request

import schemathesis

# Wrong keys close their address for a minute, as they should. The server believes this header from us.
addresses = (f"198.18.{i >> 8 & 255}.{i & 255}" for i in itertools.count())

# Ids that exist, in place of most of those that are made up; else everything would be 404.
REAL = 0.8
chance = random.Random(1)
letters = "abcdefghijklmnopqrstuvwxyz0123456789"

record: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)


def ask(path: str) -> dict:
    request = urllib.request.Request(f"{os.environ['SHOP']}/api/admin/{path}", headers={"x-api-key": os.environ["KEY"]})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


accounts = [one["accountId"] for one in ask("accounts?role=customer")["accounts"]]
known = {
    "accountId": accounts,
    "keyId": [key["keyId"] for key in ask(f"accounts/{accounts[0]}/keys")["keys"]],
    "orderId": [one["orderId"] for one in ask("orders?limit=100")["orders"]],
    "exitId": [one["exitId"] for one in ask("exits?limit=100")["exits"]],
    "network": ["NL-AMS", "DE-BER"],
    "duration": ["30d", "12h"],
    "trial": ["1h"],
}


@schemathesis.hook
def before_call(context, case, kwargs):
    case.headers["X-Forwarded-For"] = next(addresses)
    if not case.meta.generation.mode.is_positive:
        return
    for part in (case.query, case.path_parameters, case.body):
        if isinstance(part, dict):
            for name, values in known.items():
                if name in part and chance.random() < REAL:
                    part[name] = chance.choice(values)
    if isinstance(case.body, dict):
        # A booking is booked once.
        if "bookingId" in case.body and chance.random() < REAL:
            case.body["bookingId"] = "".join(chance.choice(letters) for _ in range(24))
        # A coupon takes off one of the two.
        if "percentOff" in case.body and chance.random() < REAL:
            case.body.pop("centsOff", None)


@schemathesis.hook
def after_call(context, case, response):
    record[f"{case.method.upper()} {case.operation.path}"][response.status_code] += 1


@atexit.register
def write_record():
    with open(os.environ["RECORD"], "w") as file:
        json.dump(record, file)
