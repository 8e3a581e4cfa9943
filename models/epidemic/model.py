"""An epidemic in three age groups, by chance: who meets whom, who falls ill, and what a measure changes.

Every person is susceptible, exposed (infected, not yet infectious), infectious, recovered or vaccinated. Each
day, each person is infected, becomes infectious or recovers with a probability; the numbers of those who do
are drawn (a chain-binomial SEIR model). All quantities are numpy arrays over the groups children, adults,
seniors, and travel as lists.

Operations:
    advance(days=1)           let days pass; one call is one step of a rewind
    vaccinate(group, doses)   protect susceptible people of a group ("children", "adults", "seniors");
                              returns how many doses were used
    distance(level)           reduce all contacts by a share, 0 (no measures) to 0.9
    forecast(days=30, paths=100)   quantiles of the infectious if nothing else is done. Changes nothing, so
                              model.ctx2 declares it ``inert``: it is not recorded and not replayed

Variables (recorded: all but the presets):
    day                       days that have passed
    susceptible, exposed, infectious, recovered, vaccinated    people by group
    distancing                the share by which contacts are reduced
    infections, reported      by day: all who became infectious, and those that the authorities heard of

Presets:
    population                people by group ([20000, 60000, 20000])
    initial_infectious        by group ([5, 10, 5])
    reproduction_number       how many one infectious person infects, on average, where nobody is immune and
                              nothing is done (2.5)

Randomness needs no seeding here: the worker seeds numpy's global generator and gives ``default_rng()`` a
stream of the run's own, so that a replay repeats the same epidemic. An inert operation draws from the global
generator only, which the worker puts back afterwards; it must leave ``_observer`` alone, which is the
model's.

Try it::

    model-worker call create_run '{"model_file": "epidemic/model.py",
                                   "execution_context": {"presets": {"reproduction_number": 3}}}'
    model-worker call call_operation '{"run_key": "<key>", "name": "advance", "arguments": [14]}'
    model-worker call call_operation '{"run_key": "<key>", "name": "forecast"}'
    model-worker call call_operation '{"run_key": "<key>", "name": "vaccinate", "arguments": ["seniors", 5000]}'
    model-worker call read_variables '{"run_key": "<key>", "names": ["day", "infectious", "reported"]}'
"""

import numpy as np
from epicenter import Epicenter

GROUPS = ("children", "adults", "seniors")
LATENT_DAYS = 3.0
INFECTIOUS_DAYS = 5.0
BECOMES_INFECTIOUS = 1 - np.exp(-1 / LATENT_DAYS)
RECOVERS = 1 - np.exp(-1 / INFECTIOUS_DAYS)
# Row: who is infected; column: by whom. Scaled so that its growth per generation is 1 and the reproduction
# number means what it says.
MEETINGS = np.array([[1.6, 0.8, 0.3], [0.8, 1.0, 0.4], [0.3, 0.4, 0.6]])
CONTACTS = MEETINGS / np.linalg.eigvalsh(MEETINGS).max()
REPORTED_SHARE = 0.4
RECORDED = (
    "day",
    "susceptible",
    "exposed",
    "infectious",
    "recovered",
    "vaccinated",
    "distancing",
    "infections",
    "reported",
)

# Susceptible, exposed, infectious, recovered: one array each.
_State = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]

# A preset is already a global when this file begins to run; what stands here is its default.
population = globals().get("population", [20_000, 60_000, 20_000])
initial_infectious = globals().get("initial_infectious", [5, 10, 5])
reproduction_number = globals().get("reproduction_number", 2.5)


def advance(days: int = 1) -> np.ndarray:
    """Let days pass; returns the infectious by group."""
    global day, susceptible, exposed, infectious, recovered
    for _ in range(_whole(days, "days", 1, 366)):
        state = (susceptible, exposed, infectious, recovered)
        (susceptible, exposed, infectious, recovered), fallen_ill = _next_day(state, vaccinated)
        infections.append(int(fallen_ill.sum()))
        reported.append(int(_observer.binomial(fallen_ill, REPORTED_SHARE).sum()))
        day += 1
    _record_all()
    return infectious


def vaccinate(group: str, doses: int) -> int:
    """Protect susceptible people of a group at once; doses beyond them are left over."""
    if group not in GROUPS:
        raise ValueError(f"group must be one of {', '.join(GROUPS)}, not {group!r}")
    index = GROUPS.index(group)
    used = min(_whole(doses, "doses", 0, 10**9), int(susceptible[index]))
    susceptible[index] -= used
    vaccinated[index] += used
    _record_all()
    return used


def distance(level: float) -> float:
    """Reduce contacts by a share; returns the reproduction number that is left, roughly."""
    global distancing
    distancing = _number(level, "level", 0, 0.9)
    _record_all()
    still_susceptible = float(susceptible.sum() / sum(population))
    return reproduction_number * (1 - distancing) * still_susceptible


def forecast(days: int = 30, paths: int = 100) -> dict:
    """For each coming day the 5 %, 50 % and 95 % quantiles of all infectious people over many futures."""
    days = _whole(days, "days", 1, 366)
    futures = np.empty((_whole(paths, "paths", 1, 1000), days))
    for path in futures:
        state = (susceptible, exposed, infectious, recovered)
        for ahead in range(days):
            state, _ = _next_day(state, vaccinated)
            path[ahead] = state[2].sum()
    low, middle, high = np.quantile(futures, [0.05, 0.5, 0.95], axis=0)
    return {"day": list(range(day + 1, day + days + 1)), "low": low, "median": middle, "high": high}


def _next_day(state: _State, immune: np.ndarray) -> tuple[_State, np.ndarray]:
    """The compartments a day later, as new arrays, and how many became infectious."""
    healthy, latent, ill, immune_by_illness = state
    people = healthy + latent + ill + immune_by_illness + immune
    # Empty groups infect nobody.
    share_ill = ill / np.maximum(people, 1)
    force = reproduction_number * RECOVERS * (1 - distancing) * CONTACTS @ share_ill
    infected = _draw(healthy, 1 - np.exp(-force))
    fallen_ill = _draw(latent, BECOMES_INFECTIOUS)
    healed = _draw(ill, RECOVERS)
    after = (
        healthy - infected,
        latent + infected - fallen_ill,
        ill + fallen_ill - healed,
        immune_by_illness + healed,
    )
    return after, fallen_ill


def _draw(people: np.ndarray, probability: np.ndarray | float) -> np.ndarray:
    return np.random.binomial(people, probability)  # noqa: NPY002 - the generator an inert operation may use


def _whole(value: int, name: str, least: int, most: int) -> int:
    # True and False are whole numbers to Python, but not to a person.
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{name} must be a whole number from {least} to {most}, not {value!r}")
    return value


def _number(value: float, name: str, least: float, most: float) -> float:
    if type(value) not in (int, float) or not least <= value <= most:
        raise ValueError(f"{name} must be a number from {least} to {most}, not {value!r}")
    return float(value)


def _people(values: list, name: str) -> np.ndarray:
    if not isinstance(values, list) or len(values) != len(GROUPS):
        raise ValueError(f"{name} must be a list of {len(GROUPS)} numbers, for {', '.join(GROUPS)}")
    return np.array([_whole(value, f"{name}[{index}]", 0, 10**9) for index, value in enumerate(values)])


def _record_all() -> None:
    for name in RECORDED:
        Epicenter.record(name, globals()[name])


_observer = np.random.default_rng()
reproduction_number = _number(reproduction_number, "reproduction_number", 0, 20)
day = 0
infectious = _people(initial_infectious, "initial_infectious")
susceptible = _people(population, "population") - infectious
if (susceptible < 0).any():
    raise ValueError("initial_infectious must not be more than population")
exposed = np.zeros(len(GROUPS), dtype=int)
recovered = np.zeros(len(GROUPS), dtype=int)
vaccinated = np.zeros(len(GROUPS), dtype=int)
distancing = 0.0
infections = []
reported = []
_record_all()
