"""``model-worker check --sandbox``: what the host offers, tried and told."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECK = (sys.executable, "-m", "worker.cli.main", "check", "--sandbox")


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(
        [*CHECK, *arguments], capture_output=True, text=True, timeout=120, env=environment, check=False
    )


def test_every_level_is_tried_and_its_layers_are_told(tmp_path: Path) -> None:
    done = run(str(tmp_path), "--json")
    told = json.loads(done.stdout)
    assert list(told["levels"]) == ["strict", "strict+jail", "strict-noquota", "process-only"]
    assert done.returncode == (0 if told["levels"]["strict"]["holds"] else 1)
    weakest = told["levels"]["process-only"]
    assert weakest["attacks"]["fork"] == "processes can be forked", "attacks that get through are told"
    for level in told["levels"].values():
        if level["holds"] and level is not weakest:
            assert set(level["attacks"].values()) == {"refused"}
    layers = {layer["layer"]: layer for layer in told["layers"]}
    assert {"landlock", "seccomp", "identity", "rlimits", "scratch"} <= set(layers)
    assert "process-only" not in layers["landlock"]["levels"]
    assert all(layer["stops"] and layer["needs"] for layer in told["layers"])


def test_a_person_reads_tables(tmp_path: Path) -> None:
    done = run(str(tmp_path))
    for title in ("Sandbox levels", "Layers, in their order", "Tried just now"):
        assert title in done.stdout
    assert "gets through: processes can be forked" in done.stdout
    assert "A run reads its interpreter" in done.stdout


@pytest.mark.parametrize("folder", ("missing", "model.py"))
def test_what_is_no_folder_is_refused(tmp_path: Path, folder: str) -> None:
    (tmp_path / "model.py").write_text("")
    done = run(str(tmp_path / folder))
    assert done.returncode == 2
    assert "name a model root" in done.stderr


def test_without_a_model_the_way_to_ask_is_told() -> None:
    done = subprocess.run(CHECK[:-1], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "--sandbox" in done.stderr
