"""What went wrong in a model's code, told without running more of it than needed.

``attempt`` is the boundary between our code and the model's; ``RefusedError`` is an error of ours with a
code of ``protocol.errors.ErrorCode``; ``describe`` turns an exception into bounded text.
"""

import inspect
from collections.abc import Callable
from sys import getprofile, getrecursionlimit, gettrace, setprofile, setrecursionlimit, settrace
from types import CodeType
from typing import Any, Final

from worker.child.exhausted import limit_met
from worker.child.isolation import BUILTINS
from worker.child.loader import read_source

__builtins__ = BUILTINS

MESSAGE_BYTES: Final = 2048
TRACEBACK_BYTES: Final = 8192
SHOWN_FRAMES: Final = 40
RECURSION_FLOOR: Final = 500

_TYPE_NAME: Final = vars(type)["__name__"].__get__
_TRACEBACK: Final = vars(BaseException)["__traceback__"].__get__
_SYNTAX_LINE: Final = vars(SyntaxError)["lineno"].__get__
_SYNTAX_FILE: Final = vars(SyntaxError)["filename"].__get__
_encode: Final = str.encode


class RefusedError(Exception):
    """A request this process answers with an error of its own; ``information`` holds JSON values."""

    def __init__(self, code: str, message: str, /, **information: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.information = information


def attempt(function: Callable[..., Any], *arguments: Any) -> tuple[Any, BaseException | None]:
    """Call the model's code: ``(result, None)`` or ``(None, what it raised)``, whatever that is.

    Trace and profile functions it left behind are removed, and a recursion limit too low for us is raised.
    """
    try:
        return function(*arguments), None
    except BaseException as error:  # noqa: BLE001 - the perform boundary: SystemExit is an outcome too
        return None, error
    finally:
        if gettrace() is not None:
            settrace(None)
        if getprofile() is not None:
            setprofile(None)
        if getrecursionlimit() < RECURSION_FLOOR:
            setrecursionlimit(RECURSION_FLOOR)


def type_name(value: Any) -> str:
    """The name of a value's class, past any metaclass that would answer otherwise."""
    name: str = _TYPE_NAME(type(value))
    return name


def bounded(text: str, max_bytes: int) -> str:
    """Text that fits ``max_bytes`` of UTF-8; what cannot be encoded is escaped, what is cut is marked."""
    data = _encode(text, "utf-8", "backslashreplace")
    if len(data) <= max_bytes:
        return data.decode()
    return data[: max_bytes - 3].decode("utf-8", "ignore") + "..."


def error_text(error: BaseException) -> str:
    """``str(error)``, bounded; an exception that cannot say what it is gets a placeholder."""
    text, failure = attempt(str, error)
    return f"<{type_name(error)} whose text cannot be shown>" if failure else bounded(text, MESSAGE_BYTES)


def describe(error: BaseException, folder: str) -> dict[str, Any]:
    """``type``, ``message`` and ``traceback`` of an exception, and the limit that it tells of, if any.

    Frames outside ``folder`` are left out.
    A frame reads ``file:line in function: source line``, with the file relative to the model folder.
    """
    message = error_text(error)
    lines = [_line(folder, *frame) for frame in _shown(_frames(error, folder))]
    if issubclass(type(error), SyntaxError):
        file, number = _SYNTAX_FILE(error), _SYNTAX_LINE(error)
        if type(file) is str and type(number) is int and file.startswith(f"{folder}/"):
            lines.append(_line(folder, file, number, ""))
    return {
        "type": bounded(type_name(error), 256),
        "message": message,
        "traceback": bounded("\n".join(lines), TRACEBACK_BYTES),
        **limit_met(error),
    }


def raised_by_call(error: BaseException, caller: CodeType) -> bool:
    """Whether the exception was raised by the very call in ``caller``, before the callee had a frame."""
    trace = _TRACEBACK(error)
    if trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    return bool(trace.tb_frame.f_code is caller)


def signature(name: str, function: Callable[..., Any]) -> str:
    """How an operation is to be called, for example ``step(years, rate=0.1)``; empty if unknown."""
    found, failure = attempt(inspect.signature, function)
    text, failure = (None, failure) if failure else attempt(str, found)
    return "" if failure else bounded(f"{name}{text}", 512)


def _frames(error: BaseException, folder: str) -> list[tuple[str, int, str]]:
    frames = []
    prefix = f"{folder}/"
    trace = _TRACEBACK(error)
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename.startswith(prefix):
            frames.append((code.co_filename, trace.tb_lineno or 0, code.co_qualname))
        trace = trace.tb_next
    return frames


def _shown(frames: list[tuple[str, int, str]]) -> list[tuple[str, int, str]]:
    """The outermost frames, and more of the innermost ones: where it failed matters most."""
    if len(frames) <= SHOWN_FRAMES:
        return frames
    return frames[: SHOWN_FRAMES // 4] + frames[-3 * SHOWN_FRAMES // 4 :]


def _line(folder: str, file: str, number: int, function: str) -> str:
    where = f"{file[len(folder) + 1 :]}:{number}" + (f" in {function}" if function else "")
    # Attempted, because a model's audit hook may refuse to have it opened.
    source, failure = attempt(read_source, file)
    if failure is not None:
        return where
    lines = source.split(b"\n")
    text = lines[number - 1].decode("utf-8", "replace").strip()[:200] if 0 < number <= len(lines) else ""
    return f"{where}: {text}" if text else where
