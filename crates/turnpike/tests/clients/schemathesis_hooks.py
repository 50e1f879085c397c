"""What Schemathesis needs to know of a shop beyond its OpenAPI document, and a record of what came of its requests.

Environment: SHOP, the server's address; KEY, an API key; RECORD, the file that the record is written to: a JSON object of
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

# Ids that exist, in place of most of those that are made up; else everything would be 404.
REAL = 0.8
chance = random.Random(1)

record: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)


def ask(query: str) -> dict:
    request = urllib.request.Request(
        f"{os.environ['SHOP']}/api/proxy?{query}", headers={"x-api-key": os.environ["KEY"]}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


plans = [plan["id"] for plan in ask("op=plans")["plans"]]
subscriptions = ask("op=subscriptions")["subscriptions"]
owned = [one["subscriptionId"] for one in subscriptions]
switches = [
    (one, network["id"])
    for one in owned
    for network in ask(f"op=available-networks&subscriptionId={one}")["networks"]
]
renewals = [
    (one, plan["id"]) for one in owned for plan in ask(f"op=renewal-plans&subscriptionId={one}")["renewalPlans"]
]
known = {
    "planId": plans,
    "subscriptionId": owned,
    "cursor": owned,
    "token": [one["rotate"]["rotatePath"].removeprefix("/r/") for one in subscriptions],
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
    for part in (case.query, case.path_parameters, case.body):
        if isinstance(part, dict):
            for name, values in known.items():
                if name in part and chance.random() < REAL:
                    part[name] = chance.choice(values)
            if part.get("op") == "renew" and chance.random() < REAL:
                part["subscriptionId"], part["planId"] = chance.choice(renewals)
            if part.get("op") == "switch-network" and chance.random() < REAL:
                part["subscriptionId"], part["targetNetwork"] = chance.choice(switches)


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
