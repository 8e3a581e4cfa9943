"""The beer game: four companies, one supply chain, and orders that swing more the further up you look.

A customer buys from the Retailer, who orders from the Wholesaler, who orders from the Distributor, who orders
from the Factory, who brews. Each player sees only the orders that arrive. An order takes a week to reach the
supplier and the goods take two weeks back, so everybody orders for a future nobody knows. Keeping a barrel
costs 0.50 a week, owing one costs 1.00. The team with the lowest total cost wins.

World roles: ``Retailer``, ``Wholesaler``, ``Distributor``, ``Factory``. A player acts for the role in
``actor.world_role``; a caller whose ``actor.group_mandate`` is ``FACILITATOR`` may name a role.

Operations:
    order(quantity, role=None)   what a role orders this week; may be changed until the week is over
    step(weeks=1)                ends the week; who has not ordered orders what was ordered of them. One call
                                 is one step of a rewind

Variables (all recorded, except ``rounds`` and ``demand_pattern``):
    week             weeks that are over, from 0
    stock, backlog   barrels by role: on hand, and owed to the buyer
    incoming         the order that each role will have to serve next week
    pipeline         by role, barrels under way to it: arriving next week, and the week after
    orders           by role, this week's order, or None
    cost             by role, since the beginning
    delivered, brewed   barrels that left the chain, and that entered it
    history          one map per week: week, demand, orders, stock, backlog, cost of the week

Presets:
    rounds           how many weeks are played, 1 to 520 (36)
    demand_pattern   "step" (4 barrels, 8 from the fifth week on; the classic), "constant" or "random" ("step")

Try it::

    model-worker call create_run '{"model_file": "market/model.py",
                                   "execution_context": {"presets": {"demand_pattern": "random"}}}'
    model-worker call call_operation '{"run_key": "<key>", "name": "order", "arguments": [6],
                                       "actor": {"world_role": "Retailer"}}'
    model-worker call call_operation '{"run_key": "<key>", "name": "step"}'
    model-worker call read_variables '{"run_key": "<key>", "names": ["stock", "cost.Retailer"]}'
    model-worker call rewind_run '{"run_key": "<key>", "rewind_count": 1}'
"""

import random
from itertools import pairwise

from epicenter import Epicenter

ROLES = ("Retailer", "Wholesaler", "Distributor", "Factory")
PATTERNS = ("step", "constant", "random")
USUAL = 4
SHIPPING_WEEKS = 2
HOLDING_COST = 0.5
BACKLOG_COST = 1.0
MAX_ORDER = 1000

# A preset is already a global when this file begins to run; what stands here is its default.
rounds = globals().get("rounds", 36)
demand_pattern = globals().get("demand_pattern", "step")

week = 0
stock = dict.fromkeys(ROLES, 12)
backlog = dict.fromkeys(ROLES, 0)
incoming = dict.fromkeys(ROLES, USUAL)
pipeline = {role: [USUAL] * SHIPPING_WEEKS for role in ROLES}
orders = dict.fromkeys(ROLES)
cost = dict.fromkeys(ROLES, 0.0)
delivered = 0
brewed = 0
history = []


def order(quantity: int, role: str | None = None) -> dict:
    """Place or replace the order of a role for this week."""
    _refuse_after_the_end()
    role = _acting_role(role)
    orders[role] = _whole(quantity, "quantity", 0, MAX_ORDER)
    Epicenter.record("orders", orders)
    return {"role": role, "week": week + 1, "quantity": quantity}


def step(weeks: int = 1) -> dict:
    """End this week, and with ``weeks`` the following ones too; returns the last week's entry of history."""
    _refuse_after_the_end()
    for _ in range(_whole(weeks, "weeks", 1, rounds - week)):
        _play_week()
    _record_all()
    Epicenter.log("INFO", f"week {week} of {rounds}: total cost {sum(cost.values()):.2f}")
    return history[-1]


def _play_week() -> None:
    global week, orders
    demand = _customer_demand(week + 1)
    placed = {role: _order_of(role, demand) for role in ROLES}
    _receive_goods()
    _ship(demand)
    _pass_on(placed)
    costs = {role: HOLDING_COST * stock[role] + BACKLOG_COST * backlog[role] for role in ROLES}
    for role in ROLES:
        cost[role] += costs[role]
    week += 1
    orders = dict.fromkeys(ROLES)
    entry = {"week": week, "demand": demand, "orders": placed, "cost": costs}
    history.append({**entry, "stock": dict(stock), "backlog": dict(backlog)})


def _customer_demand(number: int) -> int:
    if demand_pattern == "random":
        return random.randint(0, 2 * USUAL)
    return 2 * USUAL if demand_pattern == "step" and number > 4 else USUAL


def _order_of(role: str, demand: int) -> int:
    """A player's decision, or for want of one what the role's own buyer wants this week."""
    if orders[role] is not None:
        return orders[role]
    return demand if role == "Retailer" else incoming[role]


def _receive_goods() -> None:
    for role in ROLES:
        stock[role] += pipeline[role].pop(0)


def _ship(demand: int) -> None:
    """Every role serves what it owes and what is ordered now, as far as its stock goes."""
    global delivered
    for position, role in enumerate(ROLES):
        wanted = backlog[role] + (demand if role == "Retailer" else incoming[role])
        shipped = min(stock[role], wanted)
        stock[role] -= shipped
        backlog[role] = wanted - shipped
        if role == "Retailer":
            delivered += shipped
        else:
            pipeline[ROLES[position - 1]].append(shipped)


def _pass_on(placed: dict) -> None:
    """An order is what the next role up has to serve next week; the Factory's own is brewed at once."""
    global brewed
    for buyer, seller in pairwise(ROLES):
        incoming[seller] = placed[buyer]
    pipeline["Factory"].append(placed["Factory"])
    brewed += placed["Factory"]


def _acting_role(role: str | None) -> str:
    actor = Epicenter.actor()
    own = actor.get("world_role")
    if role is None:
        role = own
    elif role != own and actor.get("group_mandate") != "FACILITATOR":
        raise ValueError(f"{own or 'a caller without a role'} cannot order for {role}")
    if role not in ROLES:
        raise ValueError(f"the role must be one of {', '.join(ROLES)}, not {role!r}")
    return role


def _whole(value: int, name: str, least: int, most: int) -> int:
    # True and False are whole numbers to Python, but nobody orders True barrels.
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{name} must be a whole number from {least} to {most}, not {value!r}")
    return value


def _refuse_after_the_end() -> None:
    if week >= rounds:
        raise ValueError(f"the game is over: all {rounds} weeks have been played")


def _record_all() -> None:
    names = (
        "week",
        "stock",
        "backlog",
        "incoming",
        "pipeline",
        "orders",
        "cost",
        "delivered",
        "brewed",
        "history",
    )
    for name in names:
        Epicenter.record(name, globals()[name])


_whole(rounds, "rounds", 1, 520)
if demand_pattern not in PATTERNS:
    raise ValueError(f"demand_pattern must be one of {', '.join(PATTERNS)}, not {demand_pattern!r}")
_record_all()
