"""``model-worker check``: what an author wants to know of a model before others play it."""

import json
import re
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from protocol.client import Client
from protocol.errors import ErrorCode, ProtocolError
from worker.cli import host
from worker.cli.ctx2 import ContextFile
from worker.cli.findings import Finding, Report, Severity, show
from worker.cli.local import LocalWorker, LocalWorkerError, environment, program
from worker.cli.progress import progress_shown
from worker.cli.roundtrip import Played, play, shown
from worker.cli.script import ScriptError, default_script, read_script, signature
from worker.cli.source import Source, from_json
from worker.process.isolation import SandboxLevel

TIMEOUT_SECONDS: Final = 300.0
BUILD_SECONDS: Final = 900.0
"""For the first load, which may build an environment."""
"""Of one request; an operation has its own limit."""
EXAMINATION_SECONDS: Final = 60.0
SCRIPT: Final = "check.json"
USAGE_STATUS: Final = 2
_GENERATED: Final = frozenset({"forio_random_seed"})
"""Globals that the worker puts into every model."""
_PLACE: Final = re.compile(r"^(?P<file>[^:\n]+):(?P<line>\d+)(?=[: ]|$)")
_REPLAY_ADVICE: Final = "Let it depend only on actions, presets, random and time.time()"
_STATE_ADVICE: Final = f"{_REPLAY_ADVICE}; if it is no state, begin its name with an underscore"


def check(
    model: Annotated[
        Path | None, typer.Argument(metavar="MODEL", help="A model file, or its folder.", show_default=False)
    ] = None,
    *,
    sandbox: Annotated[
        bool,
        typer.Option("--sandbox", help="Tell what of the sandbox this host offers; MODEL: a model root."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write a report for programs.")] = False,
) -> None:
    """Load a model in the sandbox, play it, restore it, and say what is wrong; exit status 0 if nothing is.

    Exit status 1 means problems, 2 that there is no such model. Operations are called without arguments, or as
    the list in check.json beside the model says: [{"name": "step", "arguments": [1], "actor": {...}}].
    """
    if sandbox:
        _check_host(model or Path.cwd(), as_json=as_json)
        return
    if model is None:
        sys.stderr.write(
            "model-worker: name a model file or its folder, or ask with --sandbox for the host\n"
        )
        raise typer.Exit(USAGE_STATUS)
    path = (model / "model.py" if model.is_dir() else model).absolute()
    if not path.is_file() or path.suffix != ".py":
        sys.stderr.write(
            f"model-worker: {path} is no model file; name a Python file, or a folder with model.py\n"
        )
        raise typer.Exit(USAGE_STATUS)
    report = _Check(path).run()
    if as_json:
        sys.stdout.write(json.dumps(report.to_json(), indent=2) + "\n")
    else:
        show(report, Console(emoji=False, highlight=False))
    if not report.ok:
        raise typer.Exit(1)


def _check_host(models: Path, *, as_json: bool) -> None:
    """Exit status 1 means that the default level does not hold."""
    if not models.is_dir():
        sys.stderr.write(f"model-worker: {models} is no folder; name a model root\n")
        raise typer.Exit(USAGE_STATUS)
    reports = host.examine(models)
    if as_json:
        sys.stdout.write(json.dumps(host.to_json(reports), indent=2) + "\n")
    else:
        host.show(reports, Console(emoji=False, highlight=False))
    if not reports[SandboxLevel.STRICT].holds:
        raise typer.Exit(1)


class _Check:
    """One check; ``report`` grows step by step, and a problem that leaves nothing to go on with ends it."""

    def __init__(self, path: Path) -> None:
        # The folder as it is written, because its name is part of the model file's; its parent may be a link.
        self._path = path.parent.resolve() / path.name
        self._root = self._path.parent.parent
        self._file = self._path.name
        self._context = ContextFile(self._path.with_suffix(".ctx2"))
        self._source = Source()
        self._functions: list[dict[str, Any]] = []
        self.report = Report(str(path))

    def run(self) -> Report:
        """Do it all."""
        self._examine()
        self.report.findings += self._context.findings()
        if self.report.ok:
            try:
                with tempfile.TemporaryDirectory(prefix="model-worker-check-") as folder:
                    self._with_worker(Path(folder))
            except LocalWorkerError as error:
                self.report.findings.append(self._finding(Severity.PROBLEM, "WORKER", str(error)))
        self.report.findings.sort(key=lambda finding: finding.severity is not Severity.PROBLEM)
        return self.report

    # The source

    def _examine(self) -> None:
        try:
            done = subprocess.run(  # noqa: S603 - our own module, with a path
                [*program("worker.cli.source"), str(self._path)],
                capture_output=True,
                text=True,
                timeout=EXAMINATION_SECONDS,
                env=environment(),
                check=True,
            )
            self._source = from_json(done.stdout)
        except (subprocess.SubprocessError, ValueError, TypeError, KeyError):
            message = "the source could not be examined, so what in it cannot be replayed is not told"
            self.report.findings.append(self._finding(Severity.WARNING, "UNEXAMINED", message))
        if self._source.error is not None:
            line, message = self._source.error
            code = str(ErrorCode.MODEL_LOAD_FAILED)
            self.report.findings.append(self._finding(Severity.PROBLEM, code, message, line=line))
        for odd in self._source.oddities:
            finding = Finding(
                Severity.WARNING, odd.code, odd.file, odd.line, odd.what, f"{odd.what} {odd.why}", odd.advice
            )
            self.report.findings.append(finding)

    # The model at work

    def _with_worker(self, folder: Path) -> None:
        with LocalWorker(folder, self._root, data=f"{folder}/data") as worker:
            worker.start()
            with Client(worker.endpoint, timeout_seconds=TIMEOUT_SECONDS) as client:
                try:
                    self._introspect(client)
                    self._play(client, worker)
                except ProtocolError as error:
                    self._failed(error)
            worker.stop()

    @property
    def _model_file(self) -> str:
        return str(self._path.relative_to(self._root))

    def _introspect(self, client: Client) -> None:
        request_id = uuid.uuid4().hex
        with progress_shown(client.endpoint, None, request_id):
            told = client.introspect_model(
                self._model_file, request_id=request_id, timeout_seconds=BUILD_SECONDS
            )
        self._functions = told["functions"]
        for function in self._functions:
            self.report.operations.append(
                {
                    "name": function["name"],
                    "signature": signature(function),
                    "doc": (function["doc"] or "").partition("\n")[0],
                    "line": self._source.functions.get(function["name"]),
                }
            )
        for variable in told["variables"]:
            if variable["name"] not in _GENERATED:
                row = {"name": variable["name"], "type": variable["type"], "value": ""}
                self.report.variables.append(row)
        names = [function["name"] for function in self._functions]
        self.report.findings += self._context.unknown_names(names)

    def _play(self, client: Client, worker: LocalWorker) -> None:
        try:
            script = read_script(self._path.with_name(SCRIPT))
        except ScriptError as error:
            finding = Finding(Severity.PROBLEM, "INVALID_SCRIPT", SCRIPT, error.line, "", str(error), "")
            self.report.findings.append(finding)
            return
        played = Played()
        self.report.round_trip = played.trip
        if script is None:
            script, played.trip.not_called = default_script(self._functions)
        told = [row["name"] for row in self.report.variables]
        made = [name for name in self._source.changed if not name.startswith("_") and name not in told]
        try:
            play(client, self._model_file, script, told + made, played, restart=worker.restart)
        finally:
            self._judge(played)

    def _judge(self, played: Played) -> None:
        for row in self.report.variables:
            name = row["name"]
            if name in played.first:
                row["value"] = shown(played.first[name])
            elif name in played.unreadable:
                row["value"] = "(cannot be read)"
        self.report.findings += self._of_calls(played)
        self.report.findings += self._of_variables(played)
        if played.trip.equal is not None:
            self.report.findings += self._unrecorded(played)

    def _of_calls(self, played: Played) -> Iterator[Finding]:
        for call, error in played.errors:
            raised = error.code is ErrorCode.OPERATION_FAILED
            severity = Severity.WARNING if raised and not call.asked else Severity.PROBLEM
            advice = ""
            if raised and not call.asked:
                advice = (
                    f"it was called without arguments; to have it called otherwise, list calls in {SCRIPT}"
                )
            yield self._of_error(severity, error, call.name, advice)
        for name in dict.fromkeys(played.diverged):
            message = f"{name} did not repeat its result when it was replayed"
            line = self._source.functions.get(name)
            yield self._finding(
                Severity.PROBLEM, "REPLAY_DIVERGED", message, line=line, subject=name, advice=_REPLAY_ADVICE
            )
        for warning in played.warnings:
            if warning["code"] == "EVENT_FAILED":
                message = f"the handler of {warning['path']} raised"
                advice = "see what it logs when the run is restored"
                yield self._finding(
                    Severity.PROBLEM, "EVENT_FAILED", message, subject=warning["path"], advice=advice
                )

            elif warning["code"] == "NOT_DECODED":
                name = warning["path"]
                message = f"variable {name} held an object, and holds a plain value after a snapshot"
                advice = "register a custom decoder for its class, or keep a plain value"
                yield self._finding(
                    Severity.PROBLEM,
                    "NOT_DECODED",
                    message,
                    line=self._line_of(name),
                    subject=name,
                    advice=advice,
                )

    def _of_variables(self, played: Played) -> Iterator[Finding]:
        for name, reason in played.unreadable.items():
            if self._line_of(name) is None:
                continue  # imported: nothing of the model's own
            advice = f"name it _{name} if it is no state, or register a custom encoder"
            message = f"variable {name} cannot be read, nor compared here: {reason}"
            yield self._finding(
                Severity.WARNING,
                "UNENCODABLE_VALUE",
                message,
                line=self._line_of(name),
                subject=name,
                advice=advice,
            )
        inert = [call.name for call in played.trip.calls if self._is_inert(call.name)]
        advice = _STATE_ADVICE
        if inert:
            advice += f". Or an operation changes it that is declared inert: {', '.join(inert)}"
        for name in played.trip.differing:
            now = shown(played.after[name]) if name in played.after else "gone"
            message = f"variable {name} was {shown(played.before[name])} and is {now} after a restore"
            yield self._finding(
                Severity.PROBLEM,
                "NOT_RESTORED",
                message,
                line=self._line_of(name),
                subject=name,
                advice=advice,
            )

    def _unrecorded(self, played: Played) -> Iterator[Finding]:
        recorded = {name.partition(".")[0] for name in self._source.recorded} | played.archived
        static = set() if self._source.records_others else set(self._source.changed)
        changed = (static & set(played.before)) | played.changed
        self.report.unrecorded = sorted(changed - recorded)
        for name in self.report.unrecorded:
            line = self._source.changed.get(name, self._line_of(name))
            message = f"{name} is changed but never recorded: it cannot be read when the run is not in memory"
            advice = (
                f'add Epicenter.record("{name}", {name}) where it changes, or "archive": "all" to the context'
            )
            yield self._finding(
                Severity.WARNING, "UNRECORDED_VARIABLE", message, line=line, subject=name, advice=advice
            )

    def _is_inert(self, name: str) -> bool:
        options = self._context.raw.get("operations", {}).get(name, {})
        default = self._context.raw.get("defaults", {}).get("operations", {}).get("inert")
        return bool(options.get("inert", default))

    def _line_of(self, name: str) -> int | None:
        return self._source.globals_.get(name) or self._source.changed.get(name)

    # Findings

    def _failed(self, error: ProtocolError) -> None:
        """What ended the check; a context that the worker refuses, or cannot serve, belongs to the context file."""
        has_no_environment = "environment" in error.information
        if has_no_environment or error.code is ErrorCode.INVALID_CONTEXT:
            path = "dependencies" if has_no_environment else str(error.information.get("path", ""))
            line = self._context.line(path)
            finding = Finding(
                Severity.PROBLEM, str(error.code), self._context.name, line, path, error.message, ""
            )
            self.report.findings.append(finding)
        else:
            self.report.findings.append(self._of_error(Severity.PROBLEM, error, "", ""))

    def _of_error(self, severity: Severity, error: ProtocolError, subject: str, advice: str) -> Finding:
        """An error where the model raised it, as far as its traceback tells."""
        trace = str(error.information.get("traceback", "")).splitlines()
        place = _PLACE.match(trace[-1]) if trace else None
        file = place["file"] if place else self._file
        line = int(place["line"]) if place else self._source.functions.get(subject)
        about = "" if not subject or error.message.startswith(subject) else f"{subject}: "
        return Finding(severity, str(error.code), file, line, subject, about + error.message, advice)

    def _finding(
        self,
        severity: Severity,
        code: str,
        message: str,
        *,
        line: int | None = None,
        subject: str = "",
        advice: str = "",
    ) -> Finding:
        """A finding in the model file."""
        return Finding(severity, code, self._file, line, subject, message, advice)
