"""Everything that could differ between a live run and its replay."""

import datetime
import random
import secrets
import time
import uuid

from epicenter import Epicenter

random.random()
state = {"events": []}


def draw():
    import numpy
    import numpy.random

    state["events"].append([
        random.random(),
        random.Random().random(),
        numpy.random.random(),
        numpy.random.default_rng().random(),
        str(uuid.uuid4()),
        str(uuid.uuid1()),
        secrets.token_hex(4),
        secrets.randbelow(10**9),
        random.SystemRandom().random(),
        time.time(),
        datetime.datetime.now().isoformat(),
        list({"a", "b", "c", "d", "e"}),
        Epicenter.actor()["world_role"],
    ])
    random.seed()
    Epicenter.record("last", state["events"][-1])
    print("drawn")
    return state["events"][-1]


def fail_halfway():
    state["events"].append(random.random())
    raise ValueError(time.time())


def peek():
    draw()
    return random.random()
