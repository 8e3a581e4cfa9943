"""Endpoints of what is in a run: operations, variables, metadata."""

from typing import Any, Final, TypeVar

from protocol.entities import Role
from worker.gateway import answers_epicenter as answers
from worker.gateway import bodies
from worker.gateway.endpoints import Ask, Endpoint
from worker.gateway.views import in_order, names_of, step_view


def _as_is(result: Any) -> Any:
    return result


def _steps(result: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [step_view(step) for step in result]


async def operation(ask: Ask) -> Any:
    """What the operation returned, itself."""
    body: bodies.OperationBody = ask.body
    return await ask.of_one_or_many(
        "call_operation", _as_is, name=body.name, arguments=body.arguments, ritual=ask.query.ritual
    )


async def action(ask: Ask) -> Any:
    """What each action gave, in order."""
    actions = [one.action() for one in ask.body.root]
    return await ask.of_one_or_many("perform_actions", _steps, actions=actions, ritual=ask.query.ritual)


async def get_variable(ask: Ask) -> Any:
    """One value, itself."""
    name = ask.path["name"]
    values = await ask.result(
        "read_variables", run_key=ask.path["runKey"], names=[name], ritual=ask.query.ritual
    )
    return values[name]


async def get_variables(ask: Ask) -> Any:
    """Values by position, of one run or many."""
    body: bodies.VariablesBody = ask.body
    names = names_of(body.include)
    fields = {
        "names": list(dict.fromkeys(names)),
        "ritual": body.ritual or ask.query.ritual,
        "ignorable": body.ignorable,
    }

    def by_position(values: dict[str, Any]) -> list[Any]:
        return in_order(names, values)

    if isinstance(body, bodies.ManyVariablesBody):
        return await ask.per_run("read_variables", body.run_key, by_position, **fields)
    return by_position(await ask.result("read_variables", run_key=ask.path["runKey"], **fields))


async def update_variables(ask: Ask) -> Any:
    """New values by name."""
    return await ask.of_one_or_many("write_variables", _as_is, values=ask.body.root, ritual=ask.query.ritual)


async def get_metadata(ask: Ask) -> Any:
    """Values by position; a single run's fault is that of the request."""
    body: bodies.MetadataBody = ask.body
    names = names_of(body.include)
    fields = {"names": list(dict.fromkeys(names)), "ignorable": body.ignorable}
    if len(body.run_key) == 1:
        run_key = body.run_key[0]
        values = await ask.result("read_metadata", run_key=run_key, **fields)
        return {run_key: in_order(names, values)}
    return await ask.per_run("read_metadata", body.run_key, lambda values: in_order(names, values), **fields)


async def update_metadata(ask: Ask) -> Any:
    """The changed values by name."""
    return await ask.of_one_or_many("update_metadata", _as_is, **ask.body.fields())


_Result = TypeVar("_Result")
_Values = dict[str, Any]
_Many = dict[str, _Result | answers.Fault]
"""By run key; a run whose request failed has its fault."""
_P, _A = Role.PARTICIPANT, Role.ANONYMOUS

ENDPOINTS: Final = (
    Endpoint("operationOfMany", "POST", "/run/operation", _A, "Call an operation of several runs", operation, bodies.OperationBody, bodies.ManyRitualQuery, _Many[Any]),
    Endpoint("operation", "POST", "/run/operation/{runKey}", _A, "Call an operation", operation, bodies.OperationBody, bodies.RitualQuery),
    Endpoint("getVariablesOfMany", "POST", "/run/variable", _P, "Values of several runs, by position", get_variables, bodies.ManyVariablesBody, bodies.RitualQuery, _Many[list[Any]], seconds=lambda body: body.timeout),
    Endpoint("getVariables", "POST", "/run/variable/{runKey}", _P, "Values, by position", get_variables, bodies.VariablesBody, bodies.RitualQuery, list[Any], seconds=lambda body: body.timeout),
    Endpoint("getVariable", "GET", "/run/variable/{runKey}/{name:path}", _A, "One value", get_variable, None, bodies.RitualQuery),
    Endpoint("updateVariablesOfMany", "PATCH", "/run/variable", _P, "Set variables of several runs", update_variables, bodies.ValuesBody, bodies.ManyRitualQuery, _Many[_Values]),
    Endpoint("updateVariables", "PATCH", "/run/variable/{runKey}", _P, "Set variables", update_variables, bodies.ValuesBody, bodies.RitualQuery, _Values),
    Endpoint("getMetadata", "POST", "/run/meta", _A, "Metadata of runs, by position", get_metadata, bodies.MetadataBody, result=_Many[list[Any]]),
    Endpoint("updateMetadataOfMany", "PATCH", "/run/meta", _P, "Change metadata of several runs", update_metadata, bodies.MetadataUpdateBody, bodies.ManyQuery, _Many[_Values]),
    Endpoint("updateMetadata", "PATCH", "/run/meta/{runKey}", _P, "Change metadata", update_metadata, bodies.MetadataUpdateBody, result=_Values),
    Endpoint("actionOfMany", "POST", "/run/action", _A, "Perform actions on several runs", action, bodies.ActionsBody, bodies.ManyRitualQuery, _Many[list[answers.Step]]),
    Endpoint("action", "POST", "/run/action/{runKey}", _A, "Perform actions, in order", action, bodies.ActionsBody, bodies.RitualQuery, list[answers.Step]),
)  # fmt: skip
