"""A supervisor to be killed: starts a zygote with three run processes, tells their ids, waits."""

import asyncio
import json
import sys
from pathlib import Path

from tests.integration.programs.bench import isolation_here, running_zygote, start_run
from worker.process.isolation import SandboxLevel


async def main(folder: Path, level: str) -> None:
    """Print the ids once every process answers, then never return."""
    async with running_zygote(folder) as zygote:
        isolation = isolation_here(SandboxLevel(level), folder / "models")
        runs = [await start_run(zygote, isolation, folder / "models") for _ in range(3)]
        for run in runs:
            await run.value("answer = 1")
        sys.stdout.write(json.dumps([zygote.pid, *(run.child.pid for run in runs)]) + "\n")
        sys.stdout.flush()
        await zygote.closed


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
