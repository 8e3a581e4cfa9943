"""Filters of the Composable runs API, of query strings and of searches, in the worker's words."""

import re
from collections.abc import Iterable
from typing import Any, Final

from protocol.entities import RUN_KEY
from worker.gateway.composable_bodies import FilterQuery, SearchPart
from worker.gateway.endpoints import Ask
from worker.gateway.faults import incomprehensible
from worker.gateway.vocabulary import statuses_of

_TERM: Final = re.compile(
    r'(?<!\S)(?P<field>status|created_by):(?:"(?P<quoted>[^"]*)"|(?P<word>[^\s"]+))(?!\S)'
)
_PHRASE: Final = re.compile(r'((?<!\S)(?:[A-Za-z_][\w.-]*:)?"[^"]*"(?!\S))')
_USER: Final = "user:"


def text_list(given: str | list[str]) -> list[str]:
    """One value, or several."""
    return [given] if isinstance(given, str) else given


def without_kind(creator: str) -> str:
    """A person as the worker names one."""
    return creator.removeprefix(_USER)


async def listed(ask: Ask, query: FilterQuery) -> dict[str, Any]:
    """Filters of a query string: any of the values of a name, all of the names.

    Raises:
        Fault: 400 for one that is empty, or means nothing here.
    """
    found: dict[str, Any] = {
        name: _values(query, name)
        for name in ("interaction", "model", "environment", "finish_reason")
        if getattr(query, name)
    }
    if query.created_by:
        found["created_by"] = [without_kind(one) for one in _values(query, "created_by")]
    if query.status:
        found["status"] = statuses_of("composable", _values(query, "status"), "status")
    if query.tag:
        found["any_tags"] = _values(query, "tag")
    if query.parent or query.is_root:
        parents = _values(query, "parent")
        named = [parent for parent in parents if parent != "false"]
        is_root = query.is_root is not None or len(named) < len(parents)
        found["parent"] = await _parents(ask, named, is_root=is_root)
    return found


def _values(query: FilterQuery, name: str) -> list[str]:
    values = [value for given in getattr(query, name) for value in given.split(",")]
    if "" in values:
        raise incomprehensible(f"{name}: is empty; leave it out for runs with any", path=name)
    return values


async def searched(ask: Ask, part: SearchPart) -> dict[str, Any]:
    """A search: all that is given must hold.

    Raises:
        Fault: 400 for what means nothing here.
    """
    given = part.model_dump(exclude_unset=True, exclude_none=True)
    found: dict[str, Any] = {
        name: given[name] for name in ("name", "object", "start", "end", "run_ids") if name in given
    }
    for name in ("interaction", "environment", "model", "finish_reason", "tags", "exclude_tags"):
        if name in given:
            found[name] = text_list(given[name])
    if "created_by" in given:
        found["created_by"] = [without_kind(one) for one in text_list(given["created_by"])]
    if "status" in given:
        found["status"] = statuses_of("composable", text_list(given["status"]), "query.status")
    if "query" in given:
        _add_words(found, given["query"])
    if "parent" in given or "is_root" in given:
        parent = given.get("parent", False)
        named = [] if parent is False else text_list(parent)
        found["parent"] = await _parents(ask, named, is_root=parent is False or "is_root" in given)
    return found


def _add_words(found: dict[str, Any], text: str) -> None:
    """Full text; terms whose values are others in the worker become fields of the search, besides those given."""
    rest: list[str] = []
    for part in _PHRASE.split(text):
        if part.endswith('"') and not _TERM.fullmatch(
            part
        ):  # what is quoted is words, whatever it looks like
            rest.append(part)
            continue
        for term in _TERM.finditer(part):
            _narrow(found, term["field"], term["word"] if term["quoted"] is None else term["quoted"])
        rest.append(_TERM.sub("", part))
    words = "".join(rest).strip()
    if words:
        found["query"] = words


def _narrow(found: dict[str, Any], field: str, value: str) -> None:
    wanted = statuses_of("composable", [value], "query.query") if field == "status" else [without_kind(value)]
    found[field] = [one for one in found[field] if one in wanted] if field in found else wanted


async def _parents(ask: Ask, parents: Iterable[str], *, is_root: bool) -> Any:
    """Runs of these parents, who may be named by ids of their callers'; False: runs without one."""
    parents = list(parents)
    if is_root:
        if parents:
            raise incomprehensible("parent: either runs of parents, or runs without one", path="parent")
        return False
    keys = [parent for parent in parents if RUN_KEY.fullmatch(parent)]
    ids = [parent for parent in parents if not RUN_KEY.fullmatch(parent)]
    if ids:
        page = await ask.result("search_runs", query={"run_ids": ids}, max=200)
        keys += [profile["run_key"] for profile in page["values"]]
    return keys
