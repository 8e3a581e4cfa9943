"""Conditions on profiles as SQL: how one run is judged, and which runs an index gives to be judged.

Texts are made of what stands here; what a caller gave are parameters. ``check_of`` judges the rows ``run`` and
``profile`` of one run. ``driver_for`` gives all runs that can pass, and perhaps others: whoever follows an index
judges each run besides.

A document is looked at in two ways. Where no list stands on the path, which is the rule, one look-up decides; else
all that the path leads to is gathered, as ``worker.runs.checks`` tells.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from worker.log.rows import FALSE, OPAQUE_VALUE, TRUE
from worker.runs.checks import Check, OneOf, Ranged, Sized, There, Within, is_number, json_text, place
from worker.runs.comparison import Operator
from worker.runs.fields import FieldKind
from worker.runs.query import Asked

Sql = tuple[str, list[Any]]
"""A condition or a statement, and its parameters in their order."""

COLUMNS: Final = {
    **{
        name: f"profile.{name}"
        for name in ("run_id", "name", "status", "finish_reason", "parent", "environment")
    },
    **{
        name: f"profile.{name}"
        for name in ("created_by", "updated_by", "result_mode", "status_seq", "ttl_seconds")
    },
    **{
        name: f"profile.{name}"
        for name in ("test", "interactive", "reasoning_traces", "call_summarization", "tags")
    },
    **{
        name: f"profile.{name}"
        for name in ("parameters", "result", "result_errors", "error", "source", "evaluation")
    },
    "config.id": "profile.config_id",
    "config.version": "profile.config_version",
    "source.type": "profile.source_type",
    "run_key": "profile.run_key",
    "interaction": "run.model_file",
    "model": "run.model_fingerprint",
    "tracking_key": "run.tracking_key",
    "object": "run.scope_key",
    "seq": "run.seq",
    "execution_seconds": "(run.wall_us / 1000000.0)",
    "resource_use.wall_seconds": "(run.wall_us / 1000000.0)",
    "resource_use.cpu_seconds": "(run.cpu_us / 1000000.0)",
    "resource_use.peak_rss_bytes": "run.peak_rss_bytes",
    "resource_use.actions": "run.actions",
    "created_at": "run.created_us",
    "updated_at": "run.last_modified_us",
}
_INDEXED: Final = frozenset(
    {"run_id", "name", "status", "finish_reason", "parent", "environment", "created_by", "config.id"}
    | {"run_key", "interaction", "model", "tracking_key", "object", "created_at", "updated_at"}
)
_TRIGRAM: Final = 3
MAX_TRIGRAMS: Final = 64
"""Of a name that is looked for: how many are tried on their own."""
_FROM_INDEX: Final = "SELECT wording.run_key FROM {index} CROSS JOIN wording ON wording.id = {index}.rowid WHERE {index} MATCH ?"
_FALSE: Final[Sql] = ("FALSE", [])
_WORDING: Final = "(SELECT wording.{} FROM wording WHERE wording.run_key = profile.run_key)"
# Rows: what the path leads to so far, members of lists at its end one step further. A type of NULL: not there.
_WALK: Final = """EXISTS (WITH RECURSIVE walk (depth, type, value, atom) AS (
    SELECT 0, json_type({root}), {root}, NULL
    UNION ALL
    SELECT depth + 1, step.type, step.value, step.atom
    FROM walk JOIN json_each(
        CASE walk.type WHEN 'object' THEN json_array(json(walk.value)) WHEN 'array' THEN walk.value END
    ) AS part LEFT JOIN json_each(CASE part.type WHEN 'object' THEN part.value END) AS step ON step.key = json_extract(?, '$[' || depth || ']')
    WHERE depth < ? AND part.type = 'object'
    UNION ALL
    SELECT depth + 1, member.type, member.value, member.atom
    FROM walk JOIN json_each(CASE walk.type WHEN 'array' THEN walk.value END) AS member
    WHERE (depth = ? AND ?) OR (depth < ? AND member.key = json_extract(?, '$[' || depth || ']'))
) SELECT 1 FROM walk WHERE {ends})"""


def check_of(asked: Asked) -> Sql:
    """Whether the run of the row passes."""
    kind, check = asked.field.kind, asked.check
    if asked.field.name == "metadata":
        return _metadata_check(asked.path[0], asked.path[1:], check)
    if isinstance(check, Within):
        column = {"name": "name", "words": "words"}[asked.field.name]
        return f"instr({_WORDING.format(column)}, ?) > 0", [check.text]
    column = COLUMNS[asked.field.name]
    if kind is FieldKind.DOCUMENT:
        return _document_check(column, asked.path, check)
    if kind is FieldKind.TEXTS:
        return _tags_check(column, check)
    if isinstance(check, There):
        return f"{column} IS NOT NULL", []
    if isinstance(check, Sized):
        return _FALSE
    if isinstance(check, Ranged):
        return _column_range(column, kind, check)
    return _column_one_of(column, kind, check)


def _fits(kind: FieldKind, value: Any) -> bool:
    """Whether a field can hold a value like this one."""
    match kind:
        case FieldKind.TEXT | FieldKind.TEXTS | FieldKind.WORDS:
            return isinstance(value, str)
        case FieldKind.FLAG:
            return isinstance(value, bool)
        case _:
            return is_number(value)


def _column_one_of(column: str, kind: FieldKind, check: OneOf) -> Sql:
    fitting = [value for value in check.values if _fits(kind, value)]
    parts: list[Sql] = [(f"{column} IS NULL", [])] if None in check.values else []
    if kind is FieldKind.MOMENT:
        parts += [(f"{column} BETWEEN ? AND ?", [at_ms * 1000, at_ms * 1000 + 999]) for at_ms in fitting]
    elif fitting:
        parts.append((f"{column} IN ({marks(fitting)})", fitting))
    return _either(parts)


def _column_range(column: str, kind: FieldKind, check: Ranged) -> Sql:
    if kind is FieldKind.FLAG or not _fits(kind, check.value):
        return _FALSE
    if kind is not FieldKind.MOMENT:
        return f"{column} {check.operator.value} ?", [check.value]
    # The last microsecond of a millisecond is still within it.
    last = 999 if check.operator in (Operator.MORE, Operator.AT_MOST) else 0
    return f"{column} {check.operator.value} ?", [_microseconds(check.value) + last]


def _microseconds(at_ms: Any) -> int:
    return int(at_ms) * 1000


def _tags_check(column: str, check: Check) -> Sql:
    match check:
        case There():
            return "TRUE", []
        case Sized():
            return f"json_array_length({column}) = ?", [check.length]
        case Ranged():
            if not isinstance(check.value, str):
                return _FALSE
            return _tagged(f"tag {check.operator.value} ?", [check.value])
        case OneOf():
            texts = [value for value in check.values if isinstance(value, str)]
            lists = [json_text(value) for value in check.values if isinstance(value, list)]
            parts = [_tagged(f"tag IN ({marks(texts)})", texts)] if texts else []
            return _either([*parts, *((f"{column} = ?", [text]) for text in lists)])
        case Within():
            return _FALSE


def _tagged(condition: str, values: list[Any]) -> Sql:
    return f"EXISTS (SELECT 1 FROM tag WHERE tag.run_key = profile.run_key AND tag.{condition})", values  # noqa: S608 - of our own texts


def _metadata_check(name: str, path: Sequence[str], check: Check) -> Sql:
    """At most one row is looked at; null is also where there is none."""
    text, values = _value_check(path, check)
    asks_null = isinstance(check, OneOf) and None in check.values
    if asks_null:
        text = f"({text}) IS NOT TRUE"
    found = f"EXISTS (SELECT 1 FROM metadata WHERE run_key = profile.run_key AND name = ? AND {text})"  # noqa: S608 - of our own texts
    return (f"NOT {found}" if asks_null else found), [name, *values]


def _value_check(path: Sequence[str], check: Check) -> Sql:
    """Whether the value of a row of metadata passes: a scalar by itself, all else by its document."""
    text, values = _document_check("metadata.document", path, check)
    parts: list[Sql] = [("(scalar = ? AND " + text + ")", [OPAQUE_VALUE, *values])]
    if path:
        if isinstance(check, OneOf) and None in check.values:
            parts.append(("scalar IS NOT ?", [OPAQUE_VALUE]))
    elif isinstance(check, OneOf):
        scalars = _scalars(check)
        parts += [(f"+scalar IN ({marks(scalars)})", scalars)] if scalars else []
        parts += [("scalar IS NULL", [])] if None in check.values else []
    elif isinstance(check, Ranged):
        parts.append(_scalar_range(check, "+scalar"))
    elif isinstance(check, There):
        return "TRUE", []
    return _either(parts)


def _scalars(check: OneOf) -> list[Any]:
    """What the column ``scalar`` holds for the values that are wanted."""
    plain = [value for value in check.values if isinstance(value, str) or is_number(value)]
    return [*plain, *(TRUE if value else FALSE for value in check.values if isinstance(value, bool))]


def _scalar_range(check: Ranged, column: str) -> Sql:
    """Numbers sort before texts and texts before bytes."""
    operator = check.operator.value
    if not isinstance(check.value, str):
        return f"({column} {operator} ? AND {column} < '')", [check.value]
    if check.operator in (Operator.LESS, Operator.AT_MOST):
        return f"({column} >= '' AND {column} {operator} ?)", [check.value]
    return f"({column} {operator} ? AND {column} < x'')", [check.value]


def _document_check(root: str, path: Sequence[str], check: Check) -> Sql:
    paths = [
        "$",
        *("$" + "".join(f'."{segment}"' for segment in path[:end]) for end in range(1, len(path) + 1)),
    ]
    lists = " OR ".join([f"json_type({root}, ?) = 'array'"] * len(paths))
    walked, walk_values = _walk(root, path, check)
    direct, values = _json_check(f"json_type({root}, ?)", f"json_extract({root}, ?)", paths[-1], check)
    return f"CASE WHEN {lists} THEN {walked} ELSE {direct} END", [*paths, *walk_values, *values]


def _walk(root: str, path: Sequence[str], check: Check) -> Sql:
    """Whether something passes that a path with lists on it leads to."""
    end = len(path)
    into_members = isinstance(check, (OneOf, Ranged))
    places = json_text([place(segment) for segment in path])
    given = [json_text(list(path)), end, end, into_members, end, places]
    if isinstance(check, Sized):
        return _WALK.format(
            root=root, ends="depth = ? AND type = 'array' AND json_array_length(value) = ?"
        ), [*given, end, check.length]
    text, values = _json_check("type", "coalesce(atom, value)", None, check, lists=True)
    ends = f"(depth >= ? AND {text})"
    given += [end, *values]
    if isinstance(check, OneOf) and None in check.values:
        ends += " OR (depth < ? AND (type IS NULL OR type NOT IN ('object', 'array')))"
        given.append(end)
    return _WALK.format(root=root, ends=ends), given


def _json_check(type_: str, value: str, path: str | None, check: Check, *, lists: bool = False) -> Sql:
    """Whether one value passes; ``path``: what both expressions take as a parameter."""
    at = [] if path is None else [path]
    match check:
        case There():
            return f"{type_} IS NOT NULL", at
        case Ranged():
            types = "= 'text'" if isinstance(check.value, str) else "IN ('integer', 'real')"
            return f"({type_} {types} AND {value} {check.operator.value} ?)", [*at, *at, check.value]
        case OneOf():
            parts: list[Sql] = []
            texts = [one for one in check.values if isinstance(one, str)]
            numbers = [one for one in check.values if is_number(one)]
            composites = [json_text(one) for one in check.values if isinstance(one, dict | list)]
            for types, wanted in (
                ("= 'text'", texts),
                ("IN ('integer', 'real')", numbers),
                ("IN ('object', 'array')" if lists else "= 'object'", composites),
            ):
                if wanted:
                    parts.append((f"({type_} {types} AND {value} IN ({marks(wanted)}))", [*at, *at, *wanted]))
            flags = [one for one in check.values if isinstance(one, bool)]
            parts += [(f"{type_} = ?", [*at, "true" if flag else "false"]) for flag in flags]
            if None in check.values:
                parts.append((f"ifnull({type_}, 'null') = 'null'", at))
            return _either(parts)
        case _:
            return _FALSE


@dataclass(frozen=True, slots=True)
class Driver:
    """What gives the runs to be judged: those of ``table`` for which ``where`` holds.

    The table is ``run``, ``profile``, or a list of keys named ``chosen``.
    """

    table: str
    where: str
    values: list[Any]

    @property
    def name(self) -> str:
        """What the table is called."""
        return self.table.rsplit(" ", maxsplit=1)[-1]

    def counted(self, most: int) -> Sql:
        """The statement that counts what it gives, up to one more than ``most``."""
        return (
            f"SELECT count(*) FROM (SELECT 1 FROM {self.table} WHERE {self.where} LIMIT ?)",  # noqa: S608 - of our own texts
            [*self.values, most + 1],
        )


def driver_for(asked: Asked, project: str) -> Driver | None:
    """What an index gives of the runs that can pass; None where there is no index."""
    name, check = asked.field.name, asked.check
    if isinstance(check, OneOf) and None in check.values:
        return None
    if name in ("name", "words", "metadata", "tags") and not (
        name == "name" and isinstance(check, OneOf | Ranged)
    ):
        keys = _keys_of(asked, project)
        return None if keys is None else _listed(keys)
    if name not in _INDEXED or not isinstance(check, OneOf | Ranged):
        return None
    text, values = check_of(asked)
    table = COLUMNS[name].split(".", maxsplit=1)[0]
    return Driver(table, f"{table}.project = ? AND {text}", [project, *values])


def _listed(keys: Sql) -> Driver:
    text, values = keys
    return Driver(f"(SELECT DISTINCT run_key FROM ({text})) AS chosen", "TRUE", values)  # noqa: S608 - of our own texts


def together(drivers: Sequence[Driver]) -> Driver:
    """The runs that one of several gives."""
    keys = [f"SELECT {one.name}.run_key AS run_key FROM {one.table} WHERE {one.where}" for one in drivers]  # noqa: S608 - of our own texts
    return Driver(
        f"({' UNION '.join(keys)}) AS chosen", "TRUE", [value for one in drivers for value in one.values]
    )


def _keys_of(asked: Asked, project: str) -> Sql | None:
    """A statement that gives the key of every run that can pass, perhaps more than once, and perhaps others."""
    check = asked.check
    if isinstance(check, Within):
        return _text_candidates(asked.field.name, check.text)
    return _metadata_candidates(asked) if asked.path else _tag_candidates(check, project)


def _text_candidates(name: str, text: str) -> Sql | None:
    if name == "words":
        found = _quoted(text.strip())
    elif len(text) >= _TRIGRAM:
        found = " AND ".join(_quoted(part) for part in _trigrams(text))
    else:
        return None
    index = {"words": "word_index", "name": "name_index"}[name]
    return _FROM_INDEX.format(index=index), [found]


def rare_parts(asked: Asked) -> Iterator[Driver]:
    """For a part of a name: the runs that each three letters of it give, of which some may give few.

    All of them together would be looked for in lists of every run, where one is common.
    """
    if asked.field.name == "name" and isinstance(asked.check, Within):
        for part in _trigrams(asked.check.text)[:MAX_TRIGRAMS]:
            yield _listed((_FROM_INDEX.format(index="name_index"), [_quoted(part)]))


def _trigrams(text: str) -> list[str]:
    """Those with digits first: names of models and operations repeat, numbers less so."""
    parts = {text[at : at + _TRIGRAM] for at in range(len(text) - _TRIGRAM + 1)}
    return sorted(parts, key=lambda part: (-sum(letter.isdigit() for letter in part), part))


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _metadata_candidates(asked: Asked) -> Sql | None:
    """All that is no scalar is among them: it may be a list of what is wanted."""
    check = asked.check
    if len(asked.path) > 1 or isinstance(check, Sized):
        text, values = "scalar = ?", [OPAQUE_VALUE]
    elif isinstance(check, Ranged):
        text, values = _scalar_range(check, "scalar")
        text, values = f"({text} OR scalar = ?)", [*values, OPAQUE_VALUE]
    elif isinstance(check, OneOf):
        values = [*_scalars(check), OPAQUE_VALUE]
        text = f"scalar IN ({marks(values)})"
    else:
        return None
    return f"SELECT run_key FROM metadata WHERE name = ? AND {text}", [asked.path[0], *values]  # noqa: S608 - of our own texts


def _tag_candidates(check: Check, project: str) -> Sql | None:
    if not isinstance(check, OneOf) or not all(isinstance(value, str) for value in check.values):
        return None
    tags = marks(check.values)
    return f"SELECT run_key FROM tag WHERE project = ? AND tag IN ({tags})", [project, *check.values]  # noqa: S608 - of our own texts


def _either(parts: Sequence[Sql]) -> Sql:
    if not parts:
        return _FALSE
    text = " OR ".join(text for text, _ in parts)
    return f"({text})", [value for _, values in parts for value in values]


def marks(values: Iterable[Any]) -> str:
    """So many parameters."""
    return ",".join("?" for _ in values)
