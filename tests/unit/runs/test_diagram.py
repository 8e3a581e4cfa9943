"""What the documentation shows of the code is generated from it, and still the same."""

from pathlib import Path

import pytest

from worker.runs.lifecycle import state_diagram
from worker.runs.rituals import ritual_table
from worker.runs.status import status_diagram

ROOT = Path(__file__).parents[3]


def generated_block(page: str, name: str) -> str:
    """The text between the two markers of a generated block, without a code fence around it."""
    text = (ROOT / page).read_text()
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    assert text.count(begin) == text.count(end) == 1, f"{page} has not exactly one block {name}"
    block = text.split(begin)[1].split(end)[0].strip()
    return block.removeprefix("```mermaid").removesuffix("```").strip()


@pytest.mark.parametrize(
    ("page", "name", "generated"),
    (
        ("worker/README.md", "states", state_diagram()),
        ("worker/README.md", "statuses", status_diagram()),
        ("README.md", "rituals", ritual_table()),
    ),
)
def test_the_documentation_shows_what_the_code_does(page: str, name: str, generated: str) -> None:
    assert generated_block(page, name) == generated


def test_the_diagram_is_a_mermaid_state_diagram_of_all_states() -> None:
    head, first, *arrows = state_diagram().splitlines()
    assert (head, first) == ("stateDiagram-v2", "    [*] --> cold")
    assert "    idle --> stopping: Requested, Lost, EvictAsked, IdleExpired" in arrows
    states = {arrow.split(" --> ")[0].strip() for arrow in arrows}
    assert states == {"cold", "booting", "replaying", "idle", "busy", "appending", "stopping"}
    assert all(arrow.split(" --> ")[0].strip() != arrow.split(" --> ")[1].split(":")[0] for arrow in arrows)
