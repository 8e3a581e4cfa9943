"""Prints the report of the start-up probe as JSON: for tests that need it as another user."""

import asyncio
import json
import sys
from typing import Any

from worker.process.sandbox import Identity, Isolation, SandboxLevel, probe
from worker.process.zygote import ZygoteConfig


def main(asked: dict[str, Any]) -> None:
    """Probe and print."""
    config = ZygoteConfig(
        scratch_folder=asked["scratch_folder"],
        python=asked["python"],
        import_roots=tuple(asked["import_roots"]),
    )
    isolation = Isolation(SandboxLevel(asked["level"]), Identity(asked["identity"]))
    report = asyncio.run(probe(config, isolation))
    answer = {
        "holds": report.holds,
        "attacks": dict(report.attacks),
        "needs": dict(report.needs),
        "missing": list(report.missing),
    }
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
