"""Which revision of a model file a caller means, and whether it is the one that there is.

A model folder holds one revision of each file, so a name either means that one or is refused: nothing else could be
run under it.
"""

import re
from typing import Final

LATEST: Final = "latest"
FINGERPRINT: Final = re.compile(r"[0-9a-f]{8,64}")
_NUMBER: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


def revision_problem(tag: str | None, fingerprint: str, model_version: float | None) -> str | None:
    """Why a revision cannot be served; None where it is the one that there is.

    ``latest``, or none: whatever there is. A number: the ``modelVersion`` of the model's context. 8 to 64 hex digits:
    the beginning of the model's fingerprint.
    """
    if tag in (None, LATEST):
        return None
    if _NUMBER.fullmatch(tag or "") and model_version is not None and float(tag or "") == model_version:
        return None
    if FINGERPRINT.fullmatch(tag or "") and fingerprint.startswith(tag or ""):
        return None
    if _NUMBER.fullmatch(tag or ""):
        there = "none" if model_version is None else f"{model_version:g}"
        return f"version {tag} is not there: the model's context says modelVersion {there}"
    if FINGERPRINT.fullmatch(tag or ""):
        return f"revision {tag} is not there: the model's fingerprint is {fingerprint}"
    return (
        f"{tag!r:.60} is no revision: write {LATEST}, the modelVersion of the model's context, or the beginning of its "
        "fingerprint; drafts and named revisions are not kept"
    )
