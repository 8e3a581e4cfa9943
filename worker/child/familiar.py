"""First uses of well-known packages: what they do once per process (types, caches, lazy imports), done by the zygote.

Nothing of a model runs here. What a snippet raises is left alone: a package of another version may miss something.
"""

import os
import signal
import sys
from pathlib import Path
from types import CodeType
from typing import Any, Final

from worker.child.failures import attempt
from worker.child.isolation import BUILTINS

__builtins__ = BUILTINS

ROUNDS: Final = 10
"""Code is specialised after eight calls."""

TRIAL_SECONDS: Final = 10

SNIPPETS: Final = {
    "numpy": """
import numpy as np
a = np.linspace(0.0, 1.0, 20)
b = np.zeros(20) + np.arange(20.0) * a - np.ones(20) / 2
for f in (np.sum, np.mean, np.std, np.max, np.cumsum, np.exp, np.sqrt, np.abs, np.argsort, np.diff):
    f(b * b)
np.clip(a, 0.1, 0.9), np.where(a > 0.5, a, b), np.concatenate([a, b]), np.round(a, 2), np.dot(a, b)
np.outer(a, b).T.reshape(-1).tolist(), a[a > 0.5], a.astype(int), float(a.mean()), str(a), repr(b)
np.random.normal(size=3), np.random.random(), np.random.randint(5), np.random.default_rng(1).normal(size=3)
np.linalg.solve(np.eye(3), np.ones(3)), np.isnan(a).any(), np.interp(0.5, a, b)
""",
    "pandas": """
import numpy as np
import pandas as pd
frame = pd.DataFrame({"x": np.arange(20.0), "k": list("ab") * 10})
frame["y"] = frame["x"] * 2 + 1
frame.loc[3, "y"] = 0.0
frame.iloc[2]["x"], frame.at[1, "x"], frame[frame["x"] > 3].head(2), len(frame)
frame.groupby("k")["x"].sum(), frame["x"].rolling(7).mean().sum(), frame["x"].shift(1).fillna(0.0).cumsum()
frame[["x", "y"]].mean(), frame.sort_values("x", ascending=False).reset_index(drop=True), frame.copy()
pd.concat([frame, frame], ignore_index=True), frame.merge(frame[["x"]], on="x"), frame.to_dict(orient="records")
pd.Series([1.0, 2.0], index=["a", "b"]).to_dict(), frame["x"].tolist(), frame["x"].apply(float).max()
frame["x"].describe(), frame.dtypes, frame.columns.tolist(), pd.date_range("2020-01-01", periods=3)
""",
}


def use_familiar_packages() -> None:
    """Run the snippets of those packages that are imported, unless a trial of them in a child ends badly.

    One that leaves a thread behind (what a package does may depend on others that are installed) would make the
    zygote useless. Must be called where no thread runs.
    """
    codes = [
        compile(source, f"<{name}>", "exec", dont_inherit=True)
        for name, source in SNIPPETS.items()
        if name in sys.modules
    ]
    if codes and _trial_ends_well(codes):
        _run(codes)


def _trial_ends_well(codes: list[CodeType]) -> bool:
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(TRIAL_SECONDS)
        _run(codes)
        os._exit(len(list(Path("/proc/self/task").iterdir())) - 1)
    _, status = os.waitpid(pid, 0)
    return status == 0


def _run(codes: list[CodeType]) -> None:
    for code in codes:
        for _ in range(ROUNDS):
            namespace: dict[str, Any] = {}
            attempt(exec, code, namespace)
