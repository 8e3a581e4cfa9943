"""Limits that a model context sets for its runs; they only lower those of the worker."""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from protocol.values import MAX_DEPTH

Count = Annotated[int, Field(gt=0)]

_SETTINGS: Final = {
    "memoryBytes": "memory_bytes",
    "cpuSeconds": "cpu_seconds",
    "actionCpuSeconds": "action_cpu_seconds",
    "actionWallSeconds": "action_wall_seconds",
    "openFiles": "open_files",
    "threads": "threads",
    "scratchBytes": "scratch_bytes",
    "scratchInodes": "scratch_inodes",
    "resultBytes": "max_result_bytes",
    "resultDepth": "max_result_depth",
    "resultValues": "max_result_values",
    "recordBytes": "record_bytes",
    "outputBytes": "output_bytes",
    "messageRate": "message_rate",
}


class RunLimits(BaseModel):
    """``limits`` of a model context: of each, the lower of this value and the worker's setting holds.

    A name that is not known is refused: a limit that is not kept would mislead.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    memoryBytes: Count | None = None
    cpuSeconds: Count | None = None
    actionCpuSeconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    actionWallSeconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    openFiles: Annotated[int, Field(ge=16)] | None = None
    threads: Count | None = None
    scratchBytes: Count | None = None
    scratchInodes: Count | None = None
    resultBytes: Count | None = None
    resultDepth: Annotated[int, Field(ge=1, le=MAX_DEPTH)] | None = None
    resultValues: Annotated[int, Field(ge=100)] | None = None
    recordBytes: Count | None = None
    outputBytes: Count | None = None
    messageRate: Count | None = None

    def by_setting(self) -> dict[str, float]:
        """The limits that are given, by the name of the worker's setting."""
        return {_SETTINGS[name]: value for name, value in self if value is not None}
