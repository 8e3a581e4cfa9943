"""Targets of statuses: refused where it is plain that they can never be told, before a run is started for them."""

import ipaddress
from collections.abc import Callable
from typing import Final

from protocol.errors import ErrorCode
from protocol.profiles import StatusTarget
from worker.errors import RequestError
from worker.runs.targets import Network, TargetRefusedError, judge_host, web_address
from worker.settings import Settings

MODEL_SUFFIX: Final = ".py"


def allowed_networks(settings: Settings) -> list[Network]:
    """Networks that are not public and may be told all the same."""
    return [ipaddress.ip_network(network) for network in settings.delivery_networks]


def is_handler_model(service: str) -> bool:
    """Whether a service is a model file, and not one that providers serve."""
    return service.endswith(MODEL_SUFFIX)


def judge_target(target: StatusTarget, settings: Settings, has_model: Callable[[str], object]) -> None:
    """Refuse a target that could never be told; ``has_model`` raises for a model file that there is not.

    Raises:
        RequestError: INVALID_REQUEST naming the field, MODEL_NOT_FOUND.
    """
    function = target.function
    if function is None:
        try:
            judge_host(web_address(target.webhook or ""), allowed_networks(settings))
        except TargetRefusedError as error:
            raise _invalid("on_status_change.webhook", str(error)) from error
    elif function.service is None:
        message = (
            "name the service of the function: one that a provider serves, or the model file of a handler"
        )
        raise _invalid("on_status_change.function.service", message)
    elif is_handler_model(function.service):
        has_model(function.service)


def _invalid(path: str, message: str) -> RequestError:
    return RequestError(ErrorCode.INVALID_REQUEST, message, path=path)
