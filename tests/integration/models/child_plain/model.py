"""A model that uses most of what a run process offers."""

import datetime
import os
import pickle
import sys
import time
from dataclasses import dataclass, field
from functools import lru_cache, partial
from math import sqrt
from random import randint
from typing import Any, Optional

from epicenter import Epicenter

creator = ""
scope: dict = {}
derived = list(words) if "words" in globals() else []
context = os.environ["EPICENTER_WORKER_CONTEXT"]


@dataclass
class Company:
    name: str
    cash: float = 10.0
    years: list = field(default_factory=list)

    @property
    def broken(self):
        raise ValueError("no such luck")


price = 1.5
counter = 0
company = Company("Acme")
results = {"max_profit": 7, "items": [1, 2, 3], "on day": 4, 5: "five", "items_by": {"a": 1}}
matrix = [[1, 2], [3, 4]]
pair = (1, [2])
_hidden = 1


def step(years, rate=0.1):
    global counter
    counter += years
    print("stepped", years)
    return counter * rate


def get_creator():
    return creator


def seed():
    return forio_random_seed


def now():
    return [time.time_ns(), time.time(), datetime.datetime.now().isoformat(), time.localtime().tm_min, time.ctime()]


def elapsed():
    begin = time.perf_counter()
    while time.perf_counter() == begin:
        pass
    return True


def actor():
    return Epicenter.actor()


def pickled():
    return pickle.loads(pickle.dumps(company)) == company and Company.__module__ == "model" and "model" in sys.modules


def fail(text):
    helper(text)


def helper(text):
    raise KeyError(text)


def raise_named(name):
    raise {"exit": SystemExit(3), "interrupt": KeyboardInterrupt(), "generator": GeneratorExit()}[name]


class Own(BaseException):
    pass


class Mute(Exception):
    def __str__(self):
        raise ValueError("no text")


def raise_own():
    raise Own("mine")


def raise_mute():
    raise Mute


def recurse():
    return recurse()


def record(name, value):
    Epicenter.record(name, value)


def record_then_fail():
    Epicenter.record("before", 1)
    raise ValueError("after")


def record_object():
    Epicenter.record("thing", {"a": [object()]})


def mutate_recorded():
    values = [1]
    Epicenter.record("values.now", values)
    values.append(2)


def give(value):
    return value


def strange(kind):
    return {
        "object": {"a": [object()]},
        "nan": [float("nan"), {"x": float("inf")}],
        "big": 2**70,
        "long": "x" * 300_000,
        "wide": range(10**12),
        "bytes": b"x",
    }[kind]


def log(level, message):
    Epicenter.log(level, message)


def eat():
    return len(bytearray(1 << 60))


def callback():
    return Epicenter.callback("leaderboard", [{}])


@lru_cache
def cached(x):
    return x + 1


doubled = partial(step, 2)
