"""The queries of the files under ``config`` for those who watch: apart by what they are about."""

import json
import re
from pathlib import Path

CONFIG = Path(__file__).parents[1] / "config"
GATEWAY = "gateway"
"""Stands in each query about gateways: in a name, a job or a variable."""


def queries(name: str, *, of_gateways: bool) -> str:
    """Those of one file, a line each."""
    text = (CONFIG / name).read_text()
    if name.endswith(".json"):
        board = json.loads(text)
        found = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
        found += [
            one["query"]["query"] for one in board["templating"]["list"] if isinstance(one["query"], dict)
        ]
    else:
        parts = re.findall(r"^ {8}expr: (?:\|\n((?: {10}.*\n)+)|(.*)\n)", text, re.MULTILINE)
        found = [many or one for many, one in parts]
        assert len(found) == text.count("expr:")
    return "\n".join(one for one in found if (GATEWAY in one) == of_gateways)
