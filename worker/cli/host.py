"""``model-worker check --sandbox``: which layers of the sandbox this host offers, found out by trying them."""

import asyncio
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from worker.policy import LAYERS, READABLE, WRITABLE_DEVICE, Layer, Part
from worker.process.isolation import Identity, Isolation, SandboxLevel, can_expose, choose_isolation
from worker.process.sandbox import REFUSED, ProbeReport, probe
from worker.process.zygote import ZygoteConfig


def examine(models: Path) -> dict[SandboxLevel, ProbeReport]:
    """Probe every level for runs of the models beneath ``models``, one after the other; takes a second or two."""
    with tempfile.TemporaryDirectory(prefix="model-worker-check-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        return {level: _probe(level, folder, models.resolve()) for level in SandboxLevel}


def _probe(level: SandboxLevel, folder: Path, models: Path) -> ProbeReport:
    exposed = (sys.prefix, sys.base_prefix, str(models), str(folder)) if can_expose(level) else ()
    import_root = str(Path(__file__).resolve().parents[2])
    config = ZygoteConfig(
        scratch_folder=str(folder / "scratch"), import_roots=(import_root,), exposed=exposed
    )
    isolation = choose_isolation(level, models, also_needed=(folder,), exposed=map(Path, exposed))
    return asyncio.run(probe(config, isolation))


def to_json(reports: Mapping[SandboxLevel, ProbeReport]) -> dict[str, Any]:
    """The findings for programs."""
    return {
        "layers": [
            {"layer": layer.step, "levels": _levels(layer), "needs": layer.needs, "stops": layer.stops}
            for layer in LAYERS
        ],
        "readable": list(READABLE),
        "levels": {
            level.value: {
                "holds": report.holds,
                "identity": report.isolation.identity.value,
                "missing": list(report.missing),
                "remarks": list(report.remarks),
                "attacks": dict(report.attacks),
                "needs": dict(report.needs),
            }
            for level, report in reports.items()
        },
    }


def show(reports: Mapping[SandboxLevel, ProbeReport], console: Console) -> None:
    """The findings for a person."""
    console.print(_level_table(reports))
    for remark in dict.fromkeys(remark for report in reports.values() for remark in report.remarks):
        console.print(f"Weaker than it could be: {remark}.", soft_wrap=True)
    console.print(_layer_table())
    tried = max(reports.values(), key=lambda report: len(report.attacks))
    if tried.attacks:
        console.print(_attack_table(reports))
    console.print(
        "A run reads its interpreter and packages, its model's folder, and "
        f"{', '.join(path for path in READABLE if os.path.exists(path))}.\n"  # noqa: PTH110 - strings throughout
        f"It writes its scratch and {WRITABLE_DEVICE}.",
        soft_wrap=True,
    )


def _levels(layer: Layer) -> list[str]:
    """Where a layer is there, which no identity changes."""
    isolations = [Isolation(level, Identity.NONE) for level in SandboxLevel]
    return [
        one.level.value for one in isolations if layer.part is Part.ALWAYS or getattr(one, layer.part.value)
    ]


def _level_table(reports: Mapping[SandboxLevel, ProbeReport]) -> Table:
    table = Table("level", "on this host", "what is missing", title="Sandbox levels", title_justify="left")
    for level, report in reports.items():
        table.add_row(level.value, _state(report.isolation, report), "\n".join(report.missing))
    return table


def _state(isolation: Isolation, report: ProbeReport) -> str:
    if not report.holds:
        return "does not hold"
    return f"holds ({isolation.identity})" if isolation.walls else "works; holds no hostile model"


def _layer_table() -> Table:
    table = Table("layer", "levels", "needs", "stops", title="Layers, in their order", title_justify="left")
    for layer in LAYERS:
        levels = "all" if layer.part is Part.ALWAYS else ", ".join(_levels(layer))
        table.add_row(layer.step, levels, layer.needs, layer.stops)
    return table


def _attack_table(reports: Mapping[SandboxLevel, ProbeReport]) -> Table:
    shown = {level: report for level, report in reports.items() if report.attacks}
    table = Table("attack", *(level.value for level in shown), title="Tried just now", title_justify="left")
    names = dict.fromkeys(name for report in shown.values() for name in report.attacks)
    for name in names:
        told = (report.attacks.get(name, "") for report in shown.values())
        table.add_row(name, *("refused" if what == REFUSED else f"gets through: {what}" for what in told))
    return table
