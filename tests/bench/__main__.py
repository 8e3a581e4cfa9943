"""The benchmarks: ``python -m tests.bench [--quick] [--json FILE] [PART ...]``.

Every figure is a median, taken in turn with the floor it is held against. The machine is shared and noisy:
read the ratios, not the times.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from tests.bench import attacked, gateway, layers, measures, queries, searches
from tests.bench.rounds import Row


def main() -> None:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=main.__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, for a first look")
    parser.add_argument("--json", type=Path, help="where to write the rows")
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"only these of {', '.join(_parts(quick=True))}"
    )
    options = parser.parse_args()
    parts = _parts(quick=options.quick)
    if unknown := set(options.parts) - set(parts):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    console = Console()
    chosen = {name: part for name, part in parts.items() if not options.parts or name in options.parts}
    rows = _measure(chosen, Console(stderr=True))
    console.print(_table(rows))
    if options.json is not None:
        options.json.write_text(
            json.dumps({"machine": _machine(), "rows": [asdict(row) for row in rows]}, indent=2)
        )


def _parts(*, quick: bool) -> dict[str, Iterator[Row]]:
    scale = 10 if quick else 1
    return {
        "latency": measures.latency(rounds=3 if quick else 7, calls=1000 // scale),
        "throughput": measures.throughput(rounds=3, operations=40_000 // scale),
        "memory": measures.memory(runs=500 // scale),
        "layers": layers.layers(children=200 // scale),
        "idle": measures.idle(runs=1000 // scale),
        "replay": measures.replay([1000, 10_000, 100_000] if quick else [1000, 10_000, 100_000, 1_000_000]),
        "gateway": gateway.latency(rounds=3 if quick else 7, calls=1000 // scale),
        "queries": queries.queries(runs=1_000_000 // scale, rounds=3 if quick else 21),
        "searches": searches.searches(runs=1_000_000 // scale, rounds=3 if quick else 21),
        "attacked": attacked.attacked(share=3 * scale, quiet_seconds=20 / scale),
    }


def _measure(parts: dict[str, Iterator[Row]], console: Console) -> list[Row]:
    rows: list[Row] = []
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("measuring", total=len(parts))
        for name, part in parts.items():
            progress.update(task, description=name)
            rows += part
            progress.advance(task)
    return rows


def _table(rows: list[Row]) -> Table:
    table = Table("what", title=f"{_machine()['when']}, {_machine()['cpus']} cores, {_machine()['kernel']}")
    for name in ("figure", "ratio", "goal", "met"):
        table.add_column(name, justify="right")
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.1f} × {row.floor}"
        met = {None: "", True: "yes", False: "NO"}[row.met]
        table.add_row(row.name, f"{row.value:,.1f} {row.unit}", ratio, row.goal, met)
    return table


def _machine() -> dict[str, Any]:
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    return {
        "when": when,
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "python": sys.version.split()[0],
    }


if __name__ == "__main__":
    main()
