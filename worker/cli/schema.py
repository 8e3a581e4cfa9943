"""``model-worker schema``: the JSON Schema of a model's context file, for editors.

The schema follows the types that the worker judges contexts with. What it cannot say (which properties the worker
refuses to serve, whether a package is installed) is told by ``check`` and by the worker.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any, Final

from worker.channel import CALLBACK_NAME_CHARACTERS
from worker.runs.contexts import LOG_LEVELS, TERMINATING, TERMINATING_SECONDS_MAX, ModelContext
from worker.runs.functions import MAX_FUNCTIONS, SERVICE_CHARACTERS, WIRE

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
DESCRIPTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "ModelContext": {
        "version": "Version of this format: V2.",
        "language": "python3; from the file's extension where it is left out.",
        "modelVersion": "The author's own version number of the model.",
        "workerImage": "The environment that the model runs in, by a name that the worker's operator gave it.",
        "dependencies": 'Packages that the model needs, for example {"pypi": {"package": "numpy", "version": ">=2"}}.',
        "mappedFiles": "Files of the model folder, and which of its files a run finds in their place.",
        "control": "For other languages; has no effect.",
        "variables": "Options of variables, by name.",
        "archive": "What can be read of a run that is not in memory: what the model recorded, or all variables.",
        "operations": "Options of operations, by name.",
        "events": "Limits of the handlers of life-cycle events, by name.",
        "defaults": "What operations and events have that are not named, or leave an option out.",
        "restorations": "How a run that is not in memory gets its state back.",
        "protections": "Who may do what.",
        "run": "What runs of this model are.",
        "approvalRole": "Who decides on calls that wait for approval, where their operation does not say it.",
        "limits": "What a run may use; of each, the lower of this and the worker's own limit holds.",
        "externalFunctions": "Functions that a model may call with Epicenter.callback, and who answers them, by name.",
        "enableStateCache": "Has no effect: the archive is always kept.",
        "redirectStandardOut": "Whether what the model prints is kept; what it logs is.",
        "startDebugger": "Has no effect: no debugger reaches into a sandbox.",
        "inceptionGracePeriodSeconds": "Seconds that the model has to load.",
        "minimumLogLevel": "The lowest level of Epicenter.log that is kept.",
    },
    "OperationOptions": {
        "timeoutSeconds": "Seconds a call may take; its process is ended then, the run is what it was before.",
        "inert": "Calls change nothing: they are not recorded, and not replayed.",
        "approval": "Calls wait until somebody (with one of these roles, where they are listed) approves them.",
        "argumentsSchema": "A JSON Schema that the list of arguments of a call must fit.",
        "resultSchema": "A JSON Schema that the result must fit; else the call is refused and leaves no trace.",
    },
    "VariableOptions": {
        "save": "Whether the variable is archived; counts with archive all, where it is true by default.",
        "dialect": "POINT_IN_TIME: its value.",
        "resetDecision": "For other languages; has no effect.",
        "sensitivity": "For other languages; has no effect.",
        "reportPer": "For other languages; has no effect.",
        "reportOffset": "For other languages; has no effect.",
    },
    "EventOptions": {"timeoutSeconds": "Seconds the handler may take."},
    "Defaults": {
        "variables": "Options of all variables that do not say otherwise.",
        "operations": "Options of all operations that do not say otherwise.",
        "events": "Limits of all handlers that do not say otherwise.",
    },
    "Restorations": {
        "assembly": "Ways to rebuild the state, in order.",
        "rewind": "Which operation is one step of a rewind.",
        "log": "Kept and echoed; nothing depends on it.",
        "divergence": "What becomes of a replay that comes out differently than recorded.",
        "modelChanged": "What becomes of a replay by another model than the one that made the history.",
    },
    "RewindMarker": {
        "name": "The operation; one recorded call of it is one step.",
        "arguments": "Only calls with these arguments count.",
        "destructible": "What is rewound is deleted from the history, not marked.",
    },
    "Protections": {
        "guards": "Rules, in order.",
        "presets": "Whether they hold the presets of new runs: guarded, or open.",
    },
    "RunOptions": {
        "start": "The operation that takes a run's data; without one they become presets.",
        "prompt": "The operation that takes a prompt; without one prompts are refused.",
        "result": "The operation whose value is a run's result; without one it is that of the last initial action.",
        "input": "The JSON Schema of data, judged before a process is started.",
        "private": "Operations that only those may ask for whom they are attached to.",
    },
    "RunLimits": {
        "memoryBytes": "Bytes of memory.",
        "cpuSeconds": "Seconds of processor time in the life of one process.",
        "actionCpuSeconds": "Seconds of processor time that one action may use.",
        "actionWallSeconds": "Seconds that loading, one action or a handler may take, whatever else says more.",
        "openFiles": "Open descriptors.",
        "threads": "Threads.",
        "scratchBytes": "Bytes of scratch space.",
        "scratchInodes": "Files and folders in the scratch space.",
        "resultBytes": "Bytes of one result.",
        "resultDepth": "How deep lists and maps of one value may be nested.",
        "resultValues": "Items of all lists and maps of one value, each of which counts as 4 itself.",
        "recordBytes": "Bytes of all recorded values, the last of each name.",
        "outputBytes": "Bytes of printed output kept per request.",
        "messageRate": "Calls of external functions per second, and lines of output per second.",
    },
}
PYPI: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "package": {"type": "string", "description": "Name of the package, without extras."},
        "version": {
            "type": "string",
            "description": "A version, or a specifier; any version where it is left out.",
            "examples": ["2.1.0", ">=2,<3"],
        },
    },
    "required": ["package"],
    "additionalProperties": False,
}
EVENTS: Final = ("onInitialized", "onRestored", "onRewound", "onCloned", TERMINATING)


def schema() -> None:
    """Print the JSON Schema of context files (ctx2), for editors."""
    sys.stdout.write(json.dumps(context_schema(), indent=2) + "\n")


def context_schema() -> dict[str, Any]:
    """The JSON Schema of a ctx2 file."""
    told = _without_titles(ModelContext.model_json_schema())
    parts = {**told.pop("$defs"), "ModelContext": told}
    for kind, descriptions in DESCRIPTIONS.items():
        for name, text in descriptions.items():
            place = parts[kind]["properties"][name]
            place["description"] = text
            if place.get("default", 0) is None:
                del place["default"]
    _tell_more(parts)
    top = parts.pop("ModelContext")
    top["properties"]["$schema"] = {"type": "string", "description": "Where this schema is, for editors."}
    heading = {
        "$schema": DIALECT,
        "title": "Model context (ctx2)",
        "description": "Options of one model; a file beside it, named as the model with the extension .ctx2.",
    }
    return {**top, **heading, "$defs": parts}


def _tell_more(parts: dict[str, Any]) -> None:
    """What the worker reads without a type of its own."""
    top = parts["ModelContext"]["properties"]
    top["version"] = {**top["version"], "type": "string", "pattern": "^[Vv][12]$", "examples": ["V2"]}
    top["language"]["examples"] = ["python3"]
    top["approvalRole"]["anyOf"].append({"type": "string", "minLength": 1, "maxLength": 128})
    level = top["minimumLogLevel"]
    del level["enum"]
    level["anyOf"] = [{"enum": list(LOG_LEVELS)}, {"pattern": f"^({'|'.join(map(_any_case, LOG_LEVELS))})$"}]
    top["events"]["properties"] = {name: {"$ref": "#/$defs/EventOptions"} for name in EVENTS}
    top["events"]["properties"][TERMINATING] = {
        "allOf": [{"$ref": "#/$defs/EventOptions"}],
        "properties": {"timeoutSeconds": {"maximum": TERMINATING_SECONDS_MAX}},
    }
    top["dependencies"]["items"]["properties"] = {"pypi": PYPI}
    top["externalFunctions"] |= _external_functions()


def _external_functions() -> dict[str, Any]:
    text = {"type": "string", "minLength": 1, "maxLength": SERVICE_CHARACTERS}
    route = {
        "type": "object",
        "description": "Who answers: a provider of this service, in this version where one is named.",
        "properties": {"service": text, "version": {"anyOf": [text, {"type": "number"}]}},
        "required": ["service"],
    }
    wire = {"type": "object", "properties": {"route": route}, "required": ["route"]}
    wrapped = {
        "description": 'One kind: "wire" names the service that answers, another kind is the service.',
        "properties": {WIRE: wire},
        "minProperties": 1,
        "maxProperties": 1,
    }
    flat = {
        "required": ["objectType"],
        "properties": {"objectType": text},
        "if": {"properties": {"objectType": {"const": WIRE}}},
        "then": wire,
    }
    value = {
        "type": "object",
        "if": {"required": ["objectType"]},
        "then": flat,
        "else": wrapped,
    }
    names = {"minLength": 1, "maxLength": CALLBACK_NAME_CHARACTERS}
    return {"maxProperties": MAX_FUNCTIONS, "propertyNames": names, "additionalProperties": value}


def _any_case(word: str) -> str:
    return "".join(f"[{letter}{letter.lower()}]" for letter in word)


def _without_titles(value: Any) -> Any:
    """The generated titles only repeat the names."""
    if isinstance(value, dict):
        return {
            key: _without_titles(inner)
            for key, inner in value.items()
            if not (key == "title" and isinstance(inner, str))
        }
    return [_without_titles(inner) for inner in value] if isinstance(value, list) else value
