"""Models of the tests about rules and approval."""

LEDGER = '''
import os
import time

from epicenter import ApprovalRequired, Epicenter

started_with = dict(Epicenter.run().context)
total = 100
log = []


def step(n=1):
    global total
    total += n
    Epicenter.record("total", total)
    return total


def reset():
    global total
    total = 0
    return total


def _audit():
    return {"total": total, "log": log}


def seen():
    run = Epicenter.run()
    return {
        "context": run.context,
        "auth": run.auth,
        "approved": run.approved,
        "run_key": run.run_key,
        "action_id": run.action_id,
    }


def spoil():
    Epicenter.run().context["plan"] = "B"


def pay(amount):
    """Asks itself, after it has changed things."""
    global total
    total -= amount
    log.append(amount)
    Epicenter.record("total", total)
    if amount > 10:
        Epicenter.require_approval(f"to pay {amount}")
    return [total, Epicenter.run().approved]


def both(first, second):
    """Asks only for the second of two."""
    step(first)
    raise ApprovalRequired("always")


def close(name):
    """Declared to need approval."""
    log.append(name)
    return {"closed": name, "approved": Epicenter.run().approved}


def die():
    """Declared too; ends its process."""
    os._exit(3)


def nap(seconds):
    time.sleep(seconds)
    return step()


def peek():
    return total


Epicenter.record("total", total)
'''
LEDGER_CONTEXT = """{
  "version": "V2",
  "approvalRole": "FACILITATOR",
  "operations": {
    "close": {"approval": true},
    "die": {"approval": ["PARTICIPANT"]},
    "peek": {"inert": true}
  },
  "run": {"private": ["reset"]},
  "restorations": {"rewind": {"name": "step"}}
}"""
