"""Full text of runs: the table ``wording`` and its two indexes, kept in step inside a transaction of the caller's.

SQLite lets no trigger write to a full-text index while schemas are not trusted, so each write is made here.
"""

import json
import sqlite3
from typing import Final

from worker.runs.fields import words_of_texts
from worker.runs.profile import RunProfile

_READ: Final = "SELECT name, tags, finish_reason, error, result FROM profile WHERE run_key = ?"
_INDEXES: Final = (("word_index", "words"), ("name_index", "name"))


def insert_words(db: sqlite3.Connection, profile: RunProfile) -> None:
    """Add the words of a new run."""
    words = words_of_texts(profile.name, profile.tags, profile.finish_reason, profile.error, profile.result)
    _insert(db, profile.run_key, profile.name.casefold(), words)


def rewrite_words(db: sqlite3.Connection, run_key: str) -> None:
    """Replace the words of a run by those that its profile has now."""
    ((name, *others),) = db.execute(_READ, (run_key,)).fetchall()
    new = (name.casefold(), words_of_row(name, *others))
    old = db.execute("SELECT name, words FROM wording WHERE run_key = ?", (run_key,)).fetchall()
    if old != [new]:
        remove_words(db, run_key)
        _insert(db, run_key, *new)


def remove_words(db: sqlite3.Connection, run_key: str) -> None:
    """Take the words of a run away; it must still be there."""
    for index, column in _INDEXES:
        db.execute(
            f"INSERT INTO {index} ({index}, rowid, {column}) SELECT 'delete', id, {column} FROM wording"  # noqa: S608 - of our own texts
            " WHERE run_key = ?",
            (run_key,),
        )
    db.execute("DELETE FROM wording WHERE run_key = ?", (run_key,))


def words_of_row(
    name: str, tags: str, finish_reason: str | None, error: str | None, result: str | None
) -> str:
    """The line of words of a row of ``profile``."""
    return words_of_texts(name, json.loads(tags), finish_reason, _value(error), _value(result))


def _value(text: str | None) -> object:
    return None if text is None else json.loads(text)


def _insert(db: sqlite3.Connection, run_key: str, name: str, words: str) -> None:
    inserted = db.execute(
        "INSERT INTO wording (run_key, name, words) VALUES (?, ?, ?)", (run_key, name, words)
    )
    for (index, column), text in zip(_INDEXES, (words, name), strict=True):
        db.execute(
            f"INSERT INTO {index} (rowid, {column}) VALUES (?, ?)",  # noqa: S608 - of our own texts
            (inserted.lastrowid, text),
        )
