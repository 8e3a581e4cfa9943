"""What tells one API of the gateway from another: where its paths begin, whose project they mean, how faults look."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel
from starlette.responses import Response

from worker.gateway import answers_epicenter as answers
from worker.gateway.callers import Caller
from worker.gateway.faults import Fault, incomprehensible

Place = tuple[str, str]
"""Account and project, which a worker without named projects takes no notice of."""


@dataclass(frozen=True, slots=True)
class Face:
    """One API.

    ``root``: what all its paths begin with, in Starlette's spelling. ``place`` gives the project that a request is
    about, from the parts of its path, its headers and its caller; it raises ``Fault``. ``fault``: the type of what
    ``render`` gives.
    """

    root: str
    title: str
    place: Callable[[Mapping[str, str], Mapping[str, str], Caller], Place]
    render: Callable[[Fault], Response]
    fault: type[BaseModel]
    headers: tuple[str, ...] = ()
    """Those that handlers read by themselves, in lower case."""

    def answer(self, _request: Any, error: Exception) -> Response:
        """A fault, for Starlette."""
        assert isinstance(error, Fault)  # noqa: S101 - Starlette hands over what it was registered for
        return self.render(error)


def _epicenter_place(path: Mapping[str, str], _headers: Mapping[str, str], _caller: Caller) -> Place:
    account, project = path["account"], path["project"]
    proxied = (path.get("proxy_account", account), path.get("proxy_project", project))
    if proxied != (account, project):
        raise incomprehensible(f"path: /proxy/{'/'.join(proxied)} is in front of {account}/{project}")
    return account, project


EPICENTER: Final = Face(
    "/api/v3/{account}/{project}", "Epicenter", _epicenter_place, Fault.response, answers.Fault
)
