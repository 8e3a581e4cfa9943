"""A savings account: deposits, withdrawals, monthly interest, and the way to a goal.

Money is exact: amounts are ``Decimal`` inside and travel as text ("120.50"). An amount may be given as a
number or as text, with at most two decimals.

Operations:
    deposit(amount)          returns the new balance
    withdraw(amount)         returns the new balance; never below zero
    close_month()            credits the interest of one month; one call is one step of a rewind
    months_to_goal(monthly)  how many months of depositing ``monthly`` it takes; None if more than 1,200.
                             Changes nothing, so model.ctx2 declares it ``inert``

Variables (recorded: balance, months, statement, progress):
    balance                  what is on the account
    months                   months that were closed
    statement                one map per movement: at, kind, amount, balance
    progress                 share of the goal, 0 to 1
    opened                   when the run began
    owner, goal, annual_rate_percent    the presets

Presets:
    owner                    a name, 1 to 80 characters ("you")
    goal                     an amount above zero (10000)
    annual_rate_percent      nominal, credited monthly, 0 to 25 (3)

``datetime.now()`` in an operation is the time at which the worker recorded the call: a replay sees the same,
and the statement keeps its dates. What happens in the file's body happens at every load; the handlers of
``onInitialized`` and ``onRestored`` therefore only report and change nothing.

Try it::

    model-worker call create_run '{"model_file": "savings/model.py",
                                   "execution_context": {"presets": {"owner": "Ada", "goal": 2500}}}'
    model-worker call call_operation '{"run_key": "<key>", "name": "deposit", "arguments": ["120.50"]}'
    model-worker call call_operation '{"run_key": "<key>", "name": "close_month"}'
    model-worker call call_operation '{"run_key": "<key>", "name": "months_to_goal", "arguments": [100]}'
    model-worker call read_variables '{"run_key": "<key>", "names": ["balance", "statement[0].at"]}'
"""

from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

from epicenter import Epicenter

CENT = Decimal("0.01")
MAX_AMOUNT = Decimal(1_000_000_000)
MAX_MONTHS = 1200

# A preset is already a global when this file begins to run; what stands here is its default.
owner = globals().get("owner", "you")
goal = globals().get("goal", 10_000)
annual_rate_percent = globals().get("annual_rate_percent", 3)

opened = datetime.now(UTC)
balance = Decimal("0.00")
months = 0
statement = []
progress = 0.0


def deposit(amount: float | str) -> Decimal:
    """Pay in."""
    return _move("deposit", _amount(amount, "amount"))


def withdraw(amount: float | str) -> Decimal:
    """Take out; refused if the balance does not cover it."""
    wanted = _amount(amount, "amount")
    if wanted > balance:
        raise ValueError(f"cannot withdraw {wanted}: the balance is {balance}")
    return _move("withdrawal", -wanted)


def close_month() -> Decimal:
    """Credit a month's interest, rounded to the cent; returns the interest."""
    global months
    interest = _interest(balance)
    _move("interest", interest)
    months += 1
    Epicenter.record("months", months)
    Epicenter.log("INFO", f"month {months} closed with {interest} of interest")
    return interest


def months_to_goal(monthly: float | str) -> int | None:
    """Months of depositing ``monthly`` at the end of each until the goal is reached."""
    monthly = _amount(monthly, "monthly")
    expected = balance
    for month in range(MAX_MONTHS + 1):
        if expected >= _goal():
            return month
        expected += _interest(expected) + monthly
    return None


def _move(kind: str, amount: Decimal) -> Decimal:
    global balance, progress
    if balance + amount > MAX_AMOUNT:
        raise ValueError(f"the account holds at most {MAX_AMOUNT}")
    # All that can be refused comes first: an operation that raises should leave everything as it was.
    progress = min(1.0, float((balance + amount) / _goal()))
    balance += amount
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    statement.append({"at": at, "kind": kind, "amount": amount, "balance": balance})
    Epicenter.log("DEBUG", f"{kind} of {amount}: {balance}")
    _record_all()
    return balance


def _interest(amount: Decimal) -> Decimal:
    return (amount * _rate() / 1200).quantize(CENT, rounding=ROUND_HALF_EVEN)


def _amount(value: float | str, name: str) -> Decimal:
    """An amount above zero in whole cents."""
    number = _decimal(value, name)
    if not 0 < number <= MAX_AMOUNT:
        raise ValueError(f"{name} must be more than 0 and at most {MAX_AMOUNT}, not {value!r}")
    if number != number.quantize(CENT):
        raise ValueError(f"{name} must have at most two decimals, not {value!r}")
    return number.quantize(CENT)


def _decimal(value: object, name: str) -> Decimal:
    # Through text: 0.1 means a tenth, not the float next to it.
    if isinstance(value, (int, float, str, Decimal)) and not isinstance(value, bool):
        try:
            number = Decimal(str(value))
        except InvalidOperation:
            number = Decimal("NaN")
        if number.is_finite():
            return number
    raise ValueError(f"{name} must be a number, not {value!r}")


# A variable may be written from outside between two calls, so what is worked with is judged each time.
def _goal() -> Decimal:
    return _amount(goal, "goal")


def _rate() -> Decimal:
    rate = _decimal(annual_rate_percent, "annual_rate_percent")
    if not 0 <= rate <= 25:
        raise ValueError(f"annual_rate_percent must be from 0 to 25, not {annual_rate_percent!r}")
    return rate


def _record_all() -> None:
    for name in ("balance", "months", "statement", "progress"):
        Epicenter.record(name, globals()[name])


def _on_initialized() -> None:
    Epicenter.log("INFO", f"{owner} opened an account to save {goal}")


def _on_restored() -> None:
    Epicenter.log("INFO", f"{owner}'s account is back with {balance} after {months} months")


if not isinstance(owner, str) or not 1 <= len(owner) <= 80:
    raise ValueError(f"owner must be a name of 1 to 80 characters, not {owner!r}")
_goal()
_rate()
Epicenter.subscribe("onInitialized", _on_initialized)
Epicenter.subscribe("onRestored", _on_restored)
_record_all()
