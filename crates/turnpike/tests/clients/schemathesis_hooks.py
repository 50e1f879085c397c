"""What Schemathesis needs to know of a shop beyond its OpenAPI document, and a record of what came of its requests.

Environment: SHOP, the server's address; KEY, an API key; COUPON, a coupon's code; RECORD, the file that the record is written to: a JSON object of
operations, each with its answers' statuses and how often they came.
"""

import atexit
import collections
import itertools
import json
import os
import random
import re
import urllib.request

import schemathesis

# Wrong keys close their address for a minute, as they should. The server believes this header from us.
addresses = (f"198.18.{i >> 8 & 255}.{i & 255}" for i in itertools.count())
numbers = itertools.count()

# Ids that exist, in place of most of those that are made up; else everything would be 404.
REAL = 0.8
chance = random.Random(1)

record: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)


def ask(query: str, body: dict | None = None) -> dict:
    request = urllib.request.Request(
        f"{os.environ['SHOP']}/api/proxy?{query}",
        headers={"x-api-key": os.environ["KEY"], "content-type": "application/json"},
        data=body and json.dumps(body).encode(),
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def linked(subscription: str, name: str, kind: str) -> tuple[str, str, str]:
    """A new link of a subscription: the subscription's id, the link's own, and its token."""
    order = {"op": "create-rotate-link", "subscriptionId": subscription, "name": name, "kind": kind}
    link = ask("", order)["link"]
    return subscription, link["linkId"], link["path"].rsplit("/", 1)[1]


plans = [plan["id"] for plan in ask("op=plans")["plans"]]
subscriptions = ask("op=subscriptions")["subscriptions"]
owned = [one["subscriptionId"] for one in subscriptions]


def switches() -> list:
    return [
        (one, network["id"])
        for one in owned
        for network in ask(f"op=available-networks&subscriptionId={one}")["networks"]
    ]


def renewals() -> list:
    return [(one, plan["id"]) for one in owned for plan in ask(f"op=renewal-plans&subscriptionId={one}")["renewalPlans"]]


links = [linked(one, f"{kind} {number}", kind) for one in owned for kind in ("rotate", "status") for number in range(3)]
known = {
    "planId": plans,
    "subscriptionId": owned,
    "cursor": owned,
    "couponCode": [os.environ["COUPON"]],
}
status_links = [linked(one, "kept", "status") for one in owned]
tokens = {
    "/r/{token}": lambda: [one["rotate"]["rotatePath"].removeprefix("/r/") for one in subscriptions],
    "/status/{token}": lambda: [token for _, _, token in status_links],
    "/sub/{token}": lambda: [
        one["subscriptionUrl"].rsplit("/", 1)[1] for one in ask("op=subscriptions")["subscriptions"][:3]
    ],
}
# What only certain pairs of ids are accepted for. Which ones changes with what has been done before.
pairs = {
    "renew": ("subscriptionId", "planId", renewals),
    "switch-network": ("subscriptionId", "targetNetwork", switches),
    "renew-rotate-link": ("subscriptionId", "linkId", lambda: [link[:2] for link in links]),
    "revoke-rotate-link": ("subscriptionId", "linkId", lambda: [link[:2] for link in links]),
}


# OpenAPI 3.1 cannot say which parameter of the one path belongs to which operation, and others' are ignored.
takers = {"limit": ["subscriptions"], "cursor": ["subscriptions"], "subscriptionId": ["renewal-plans", "available-networks"]}
reading = ["plans", "subscriptions", "renewal-plans", "available-networks"]


def is_malformed(name, value) -> bool:
    if name == "limit":
        return not (re.fullmatch("[0-9]{1,3}", str(value)) and 1 <= int(value) <= 100)
    return not re.fullmatch("[a-z0-9]{24}", str(value))


@schemathesis.hook
def before_call(context, case, kwargs):
    case.headers["X-Forwarded-For"] = next(addresses)
    if not case.meta.generation.mode.is_positive:
        # What is meant to be wrong stays so; but it is sent to an operation that reads it.
        if isinstance(case.query, dict) and case.query.get("op") in reading:
            for name, operations in takers.items():
                if name in case.query and is_malformed(name, case.query[name]):
                    case.query["op"] = chance.choice(operations)
        return
    # Made-up ones are mostly the shortest there can be, and the same again with another order is refused.
    if "Idempotency-Key" in case.headers and chance.random() < REAL:
        case.headers["Idempotency-Key"] = f"order {next(numbers)}"
    for part in (case.query, case.path_parameters, case.body):
        if isinstance(part, dict):
            for name, values in known.items():
                # Cursors of the other lists are numbers.
                is_another = name == "cursor" and case.operation.path != "/api/proxy"
                if name in part and not is_another and chance.random() < REAL:
                    part[name] = chance.choice(values)
            if part.get("op") in pairs and chance.random() < REAL:
                first, second, values = pairs[part["op"]]
                part[first], part[second] = chance.choice(values())
            if "token" in part and chance.random() < REAL:
                part["token"] = chance.choice(tokens[case.operation.path]())


@schemathesis.hook
def after_call(context, case, response):
    operation = f"{case.method.upper()} {case.operation.path}"
    for part in (case.query, case.body):
        if isinstance(part, dict) and isinstance(part.get("op"), str):
            operation = part["op"]
    record[operation][response.status_code] += 1


@atexit.register
def write_record():
    with open(os.environ["RECORD"], "w") as file:
        json.dump(record, file)
