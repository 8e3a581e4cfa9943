"""The example models, loaded with a stand-in for the package that the run process gives them."""

import json
import random
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest

from worker.runs.contexts import model_context

MODELS = Path(__file__).parents[2] / "models"
NAMES = sorted(path.parent.name for path in MODELS.glob("*/model.py"))


class Loaded:
    """A model's globals, and what it said to the host."""

    def __init__(self) -> None:
        self.globals: dict[str, Any] = {}
        self.records: dict[str, Any] = {}
        self.handlers: dict[str, Callable[[], None]] = {}
        self.lines: list[tuple[str, str]] = []
        self.actor: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return self.globals[name]

    def act_as(self, world_role: str | None = None, group_mandate: str | None = None) -> None:
        self.actor = {"world_role": world_role, "group_mandate": group_mandate}


Load = Callable[..., Loaded]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    def load_model(name: str, **presets: Any) -> Loaded:
        model = Loaded()
        functions: dict[str, Callable[..., Any]] = {
            "record": lambda name, value: model.records.update({name: value}),
            "subscribe": lambda name, function: model.handlers.update({name: function}),
            "log": lambda level, message: model.lines.append((level, message)),
            "actor": lambda: model.actor,
        }
        package = ModuleType("epicenter")
        package.__dict__["Epicenter"] = type(
            "Epicenter", (), {k: staticmethod(f) for k, f in functions.items()}
        )
        monkeypatch.setitem(sys.modules, "epicenter", package)
        path = MODELS / name / "model.py"
        model.globals.update(presets)
        exec(compile(path.read_text(), str(path), "exec"), model.globals)
        model.globals.update(presets)
        return model

    return load_model


@pytest.mark.parametrize("name", NAMES)
def test_the_context_is_served_and_names_operations_that_exist(load: Load, name: str) -> None:
    raw = json.loads((MODELS / name / "model.ctx2").read_text())
    context = model_context(name, raw)
    operations = {key for key, value in load(name).globals.items() if isinstance(value, FunctionType)}
    assert set(context.operations) <= operations
    assert context.restorations.rewind.name in operations
    assert raw["restorations"]["assembly"] == [{"replay": {}}]


@pytest.mark.parametrize("name", NAMES)
def test_the_page_tells_of_every_operation_and_every_record(load: Load, name: str) -> None:
    model = load(name)
    public = [
        key for key, value in model.globals.items() if isinstance(value, FunctionType) and key[0] != "_"
    ]
    page = model.globals["__doc__"]
    assert [key for key in [*public, *model.records] if key not in page and key != "pairwise"] == []
    assert f'"model_file": "{name}/model.py"' in page


def seed_numpy(seed: int) -> None:
    np.random.seed(seed)  # noqa: NPY002 - the global generator is what the model draws from


def barrels(market: Loaded) -> int:
    on_hand: int = sum(market.stock.values())
    under_way: int = sum(sum(way) for way in market.pipeline.values())
    return on_hand + under_way


def test_the_market_loses_and_invents_no_barrel(load: Load) -> None:
    random.seed(7)
    market = load("market", demand_pattern="random", rounds=60)
    before, owed_before = barrels(market), market.backlog["Retailer"]
    for week in range(60):
        for role in market.ROLES:
            market.act_as(role)
            market.order((week * 7 + len(role)) % 11)
        market.step()
        assert barrels(market) == before + market.brewed - market.delivered
        demanded = sum(entry["demand"] for entry in market.history)
        assert market.delivered + market.backlog["Retailer"] == demanded + owed_before
        assert all(not (market.stock[role] and market.backlog[role]) for role in market.ROLES)
    assert market.brewed > 0 < market.delivered


def test_a_market_in_which_everybody_passes_on_what_is_asked_stays_in_balance(load: Load) -> None:
    market = load("market", demand_pattern="constant")
    entry = market.step(36)
    assert entry["stock"] == dict.fromkeys(market.ROLES, 12)
    assert market.cost == dict.fromkeys(market.ROLES, 36 * 12 * 0.5)


def test_the_classic_demand_doubles_in_the_fifth_week(load: Load) -> None:
    market = load("market")
    market.step(6)
    assert [entry["demand"] for entry in market.history] == [4, 4, 4, 4, 8, 8]


def test_goods_take_two_weeks_and_the_order_one(load: Load) -> None:
    market = load("market", demand_pattern="constant")
    market.act_as("Retailer")
    market.order(10)
    market.step()
    assert market.incoming["Wholesaler"] == 10
    market.step()
    assert market.pipeline["Retailer"] == [4, 10]
    assert [market.step()["stock"]["Retailer"], market.step()["stock"]["Retailer"]] == [12, 18]


def test_a_role_orders_for_itself_and_a_facilitator_for_anybody(load: Load) -> None:
    market = load("market")
    market.act_as("Retailer")
    assert market.order(5) == {"role": "Retailer", "week": 1, "quantity": 5}
    with pytest.raises(ValueError, match="Retailer cannot order for Factory"):
        market.order(5, "Factory")
    market.act_as()
    with pytest.raises(ValueError, match="the role must be one of"):
        market.order(5)
    market.act_as(group_mandate="FACILITATOR")
    assert market.order(9, "Factory")["role"] == "Factory"
    assert market.records["orders"] == {"Retailer": 5, "Wholesaler": None, "Distributor": None, "Factory": 9}


@pytest.mark.parametrize("quantity", (-1, 1001, 2.0, True, "4", None, [4]))
def test_an_order_that_is_no_number_of_barrels_changes_nothing(load: Load, quantity: Any) -> None:
    market = load("market")
    market.act_as("Retailer")
    with pytest.raises(ValueError, match="quantity must be a whole number"):
        market.order(quantity)
    assert market.orders["Retailer"] is None


def test_the_market_closes_after_its_last_week(load: Load) -> None:
    market = load("market", rounds=2)
    with pytest.raises(ValueError, match="weeks must be a whole number from 1 to 2"):
        market.step(3)
    market.step(2)
    with pytest.raises(ValueError, match="the game is over"):
        market.step()


@pytest.mark.parametrize(
    ("name", "presets"),
    (
        ("market", {"rounds": 0}),
        ("market", {"demand_pattern": "wild"}),
        ("epidemic", {"population": [1, 2]}),
        ("epidemic", {"population": [1, 1, 1]}),
        ("epidemic", {"reproduction_number": -1}),
        ("epidemic", {"reproduction_number": "2"}),
        ("savings", {"goal": 0}),
        ("savings", {"owner": ""}),
        ("savings", {"annual_rate_percent": float("nan")}),
    ),
)
def test_a_preset_that_makes_no_sense_stops_the_start(load: Load, name: str, presets: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must (be|not)"):
        load(name, **presets)


COMPARTMENTS = ("susceptible", "exposed", "infectious", "recovered", "vaccinated")


def people(epidemic: Loaded) -> list[int]:
    total: list[int] = np.sum([epidemic.globals[name] for name in COMPARTMENTS], axis=0).tolist()
    return total


def test_nobody_appears_or_vanishes_in_the_epidemic(load: Load) -> None:
    seed_numpy(3)
    epidemic = load("epidemic")
    for day in range(120):
        epidemic.advance()
        if day == 5:
            assert epidemic.vaccinate("seniors", 5000) == 5000
        assert people(epidemic) == epidemic.population
        assert all((epidemic.globals[name] >= 0).all() for name in COMPARTMENTS)
    assert epidemic.recovered.sum() > 10_000
    assert len(epidemic.infections) == len(epidemic.reported) == epidemic.day == 120
    assert all(reported <= ill for reported, ill in zip(epidemic.reported, epidemic.infections, strict=True))


def test_one_seed_gives_one_epidemic_and_distance_a_smaller_one(load: Load) -> None:
    def total(level: float) -> int:
        seed_numpy(11)
        epidemic = load("epidemic")
        epidemic.distance(level)
        epidemic.advance(90)
        return int(epidemic.recovered.sum())

    assert total(0) == total(0)
    assert total(0.8) < total(0) / 4


def test_below_a_reproduction_number_of_one_it_dies_out(load: Load) -> None:
    seed_numpy(13)
    epidemic = load("epidemic", reproduction_number=0.8)
    epidemic.advance(200)
    assert epidemic.infectious.sum() == epidemic.exposed.sum() == 0
    assert epidemic.recovered.sum() < 400


def test_doses_beyond_the_susceptible_are_left_over(load: Load) -> None:
    epidemic = load("epidemic", population=[10, 10, 10], initial_infectious=[0, 4, 0])
    assert epidemic.vaccinate("adults", 100) == 6
    assert epidemic.vaccinate("adults", 100) == 0
    assert people(epidemic) == [10, 10, 10]


def test_a_forecast_changes_nothing_and_its_quantiles_are_in_order(load: Load) -> None:
    seed_numpy(5)
    epidemic = load("epidemic")
    epidemic.advance(10)
    before = {
        name: np.copy(epidemic.globals[name]) for name in (*COMPARTMENTS, "infections", "reported", "day")
    }
    observer = epidemic._observer.bit_generator.state
    ahead = epidemic.forecast(20, 30)
    assert ahead["day"] == list(range(11, 31))
    assert (ahead["low"] <= ahead["median"]).all()
    assert (ahead["median"] <= ahead["high"]).all()
    assert all(np.array_equal(before[name], epidemic.globals[name]) for name in before)
    assert epidemic._observer.bit_generator.state == observer


def test_without_infectious_people_nothing_happens(load: Load) -> None:
    epidemic = load("epidemic", population=[100, 0, 50], initial_infectious=[0, 0, 0])
    assert epidemic.advance(30).tolist() == [0, 0, 0]
    assert epidemic.susceptible.tolist() == [100, 0, 50]


@pytest.mark.parametrize(
    ("operation", "arguments"),
    (
        ("advance", [0]),
        ("advance", [True]),
        ("advance", [1.5]),
        ("vaccinate", ["pets", 1]),
        ("vaccinate", ["adults", -1]),
        ("distance", [0.95]),
        ("distance", ["0.5"]),
        ("forecast", [10, 0]),
    ),
)
def test_the_epidemic_refuses_bad_input(load: Load, operation: str, arguments: list[Any]) -> None:
    epidemic = load("epidemic")
    with pytest.raises(ValueError, match="must be"):
        epidemic.globals[operation](*arguments)
    assert epidemic.day == 0


def test_the_balance_is_the_sum_of_its_statement_to_the_cent(load: Load) -> None:
    savings = load("savings", goal=1000, annual_rate_percent=6)
    assert savings.deposit("120.50") == Decimal("120.50")
    assert savings.deposit(0.1) == Decimal("120.60")
    assert savings.withdraw(20) == Decimal("100.60")
    assert savings.close_month() == Decimal("0.50")
    assert savings.balance == sum(entry["amount"] for entry in savings.statement) == Decimal("101.10")
    assert savings.records["balance"] == savings.balance
    assert savings.progress == pytest.approx(0.1011)
    now = datetime.now(UTC)
    assert all(
        (now - datetime.fromisoformat(entry["at"])).total_seconds() < 60 for entry in savings.statement
    )


def test_the_account_is_never_overdrawn(load: Load) -> None:
    savings = load("savings")
    savings.deposit(10)
    with pytest.raises(ValueError, match=r"the balance is 10\.00"):
        savings.withdraw("10.01")
    assert savings.balance == Decimal(10)
    assert len(savings.statement) == 1


@pytest.mark.parametrize(
    "amount", (0, -1, "1.005", "ten", "", None, True, [1], float("inf"), "NaN", 10**10, "1e400")
)
def test_what_is_no_amount_of_money_is_refused(load: Load, amount: Any) -> None:
    savings = load("savings")
    for operation in (savings.deposit, savings.withdraw, savings.months_to_goal):
        with pytest.raises(ValueError, match=r"(amount|monthly) must"):
            operation(amount)
    assert savings.statement == []


def test_months_to_goal_count_deposits_and_interest_and_change_nothing(load: Load) -> None:
    savings = load("savings", goal=1000, annual_rate_percent=0)
    assert savings.months_to_goal(100) == 10
    savings.deposit(1000)
    assert savings.months_to_goal(1) == 0
    rich = load("savings", goal=970, annual_rate_percent=24)
    assert rich.months_to_goal(100) == 9
    assert load("savings", goal=10_000).months_to_goal("0.01") is None
    assert rich.statement == []


def test_a_goal_written_from_outside_is_judged_when_it_is_used(load: Load) -> None:
    savings = load("savings")
    savings.globals["goal"] = "much"
    with pytest.raises(ValueError, match="goal must be a number"):
        savings.deposit(1)
    assert savings.balance == 0


def test_the_savings_model_reports_its_start_and_its_return(load: Load) -> None:
    savings = load("savings", owner="Ada")
    before = dict(savings.records)
    for event in ("onInitialized", "onRestored"):
        savings.handlers[event]()
    assert [line for _, line in savings.lines] == [
        "Ada opened an account to save 10000",
        "Ada's account is back with 0.00 after 0 months",
    ]
    assert savings.records == before
