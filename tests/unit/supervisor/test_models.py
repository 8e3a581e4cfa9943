"""The catalog of models: real folders, some of them made by somebody hostile."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import ErrorCode
from worker.errors import RequestError
from worker.supervisor.models import (
    CONTEXT_BYTES,
    HASHED_BYTES,
    SCANNED_BYTES,
    SETTLED_NS,
    SOURCE_FILES,
    STATEMENTS,
    ModelCatalog,
    ModelSource,
    scan_imports,
)

FAST_SECONDS = 5.0
"""Far more than a second's work of a slow machine, far less than what goes with the square of the size."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A model root with one model in it, and a secret beside it."""
    (tmp_path / "secret.py").write_text("secret = 1\n")
    root = tmp_path / "models"
    (root / "savings").mkdir(parents=True)
    (root / "savings" / "model.py").write_text("balance = 0\n")
    return root


@pytest.fixture
def find(root: Path) -> Callable[[str], ModelSource]:
    """``find(model_file)`` in a catalog of ``root``."""
    return ModelCatalog(root).find


def refusal(find: Callable[[str], ModelSource], model_file: str) -> RequestError:
    with pytest.raises(RequestError) as raised:
        find(model_file)
    return raised.value


def test_a_model_is_found_with_its_folder(root: Path, find: Callable[[str], ModelSource]) -> None:
    model = find("savings/model.py")
    assert (model.name, model.file, model.folder) == ("savings/model.py", "model.py", root / "savings")
    assert (model.context, model.context_name) == ({}, "savings/model.ctx2")
    assert len(model.fingerprint) == 64


# Where a model may be


@pytest.mark.parametrize(
    "model_file",
    (
        "",
        "/",
        "/etc/passwd",
        "//savings/model.py",
        "..",
        "../secret.py",
        "savings/../../secret.py",
        "savings/../savings/model.py",
        "./savings/model.py",
        "savings/./model.py",
        "savings//model.py",
        "savings/model.py/",
        "savings/model.py\0",
        "savings/mo\ndel.py",
        "savings/\x1b[2Jmodel.py",
        "savings/\u202emodel.py",
        "savings/\ud800.py",
    ),
)
def test_a_path_that_is_no_plain_path_below_the_root_is_refused(
    model_file: str, find: Callable[[str], ModelSource]
) -> None:
    error = refusal(find, model_file)
    assert error.code is ErrorCode.INVALID_REQUEST
    assert error.information == {"path": "model_file"}
    assert error.message.isprintable()


@pytest.mark.parametrize(
    ("model_file", "words"),
    (
        ("savings/other.py", "no such file"),
        ("nowhere/model.py", "no such file"),
        ("savings/model.py/model.py", "no such file"),
        ("savings\\model.py", "no such file"),
        ("..\\secret.py", "no such file"),
        ("~/model.py", "no such file"),
        ("savings/" + "x" * 300 + ".py", "no such file"),
        ("x/" * 3000 + "model.py", "no such file"),
        ("savings", "did you mean savings/model.py?"),
        ("savings/model.ctx2", "its name ends in .py"),
        ("savings/fifo.py", "no regular file"),
        ("savings/loop.py", "no such file"),
        ("savings/dangling.py", "no such file"),
        ("savings/out.py", "leads out of the model root"),
        ("outside/secret.py", "leads out of the model root"),
        ("savings/empty", "no regular file"),
    ),
)
def test_what_is_no_model_is_not_found_and_said_why(
    model_file: str, words: str, root: Path, find: Callable[[str], ModelSource]
) -> None:
    folder = root / "savings"
    (folder / "model.ctx2").write_text("{}")
    (folder / "empty").mkdir()
    os.mkfifo(folder / "fifo.py")
    (folder / "loop.py").symlink_to("loop.py")
    (folder / "dangling.py").symlink_to("nothing.py")
    (folder / "out.py").symlink_to(root.parent / "secret.py")
    (root / "outside").symlink_to(root.parent)
    error = refusal(find, model_file)
    assert error.code is ErrorCode.MODEL_NOT_FOUND
    assert words in error.message
    assert len(error.message) < 400


def test_a_link_within_the_root_is_followed_and_its_target_fingerprinted(
    root: Path, find: Callable[[str], ModelSource]
) -> None:
    (root / "shared").mkdir()
    (root / "shared" / "common.py").write_text("x = 1\n")
    (root / "savings" / "linked.py").symlink_to("../shared/common.py")
    before = find("savings/linked.py")
    assert before.folder == root / "savings"
    (root / "shared" / "common.py").write_text("x = 2\n")
    assert find("savings/linked.py").fingerprint != before.fingerprint


def test_a_root_that_is_a_link_is_as_good_as_its_target(root: Path) -> None:
    link = root.parent / "link"
    link.symlink_to(root)
    assert ModelCatalog(link).find("savings/model.py").folder == root / "savings"


@pytest.mark.parametrize("name", ("größe.py", "a b.py", "$(x).py", "-x.py", "a.b.py"))
def test_odd_names_are_names(name: str, root: Path, find: Callable[[str], ModelSource]) -> None:
    (root / "savings" / name).write_text("x = 1\n")
    model = find(f"savings/{name}")
    assert (model.file, model.context_name) == (name, f"savings/{name.removesuffix('.py')}.ctx2")


# Hostile folders


def test_a_pipe_in_the_folder_blocks_nobody(root: Path, find: Callable[[str], ModelSource]) -> None:
    folder = root / "savings"
    os.mkfifo(folder / "pipe.py")
    os.mkfifo(folder / "model.ctx2")
    error = refusal(find, "savings/model.py")
    assert (error.code, error.message) == (
        ErrorCode.INVALID_CONTEXT,
        "savings/model.ctx2: is no regular file",
    )
    (folder / "model.ctx2").unlink()
    assert find("savings/model.py").imports == ()


@pytest.mark.parametrize("kind", ("folder", "link"))
def test_a_context_that_is_no_file_is_refused(
    kind: str, root: Path, find: Callable[[str], ModelSource]
) -> None:
    context = root / "savings" / "model.ctx2"
    if kind == "folder":
        context.mkdir()
    else:
        context.symlink_to("/etc/passwd")
    error = refusal(find, "savings/model.py")
    assert (error.code, error.message) == (
        ErrorCode.INVALID_CONTEXT,
        "savings/model.ctx2: is no regular file",
    )


@pytest.mark.parametrize(
    ("text", "words"),
    (
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"a": 1,}', "not JSON"),
        (b"\xff\xfe\xff", "not JSON"),
        (b"[]", "must hold a JSON object, not list"),
        (b"null", "must hold a JSON object, not NoneType"),
        (b'{"a": NaN}', "a: a float must be finite"),
        (b'{"a": [-Infinity]}', "a[0]: a float must be finite"),
        (b'{"a": 1e999}', "a: a float must be finite"),
        (b'{"a": 18446744073709551616}', "a: an integer must fit 64 bits"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"),
        (b'{"a": ' + b"[" * 65 + b"]" * 65 + b"}", "nested deeper than 64"),
        (b'{"a": ' * 100_000 + b"1" + b"}" * 100_000, "not JSON"),
        (b'{"a": "' + b"x" * CONTEXT_BYTES + b'"}', f"allowed are {CONTEXT_BYTES}"),
    ),
    ids=lambda value: repr(value[:20]) if isinstance(value, bytes) else None,
)
def test_a_context_that_is_no_json_object_is_refused(
    text: bytes, words: str, root: Path, find: Callable[[str], ModelSource]
) -> None:
    (root / "savings" / "model.ctx2").write_bytes(text)
    error = refusal(find, "savings/model.py")
    assert error.code is ErrorCode.INVALID_CONTEXT
    assert error.message.startswith("savings/model.ctx2: ")
    assert words in error.message
    assert error.information["source"] == "savings/model.ctx2"


def test_a_context_may_begin_with_a_byte_order_mark(root: Path, find: Callable[[str], ModelSource]) -> None:
    (root / "savings" / "model.ctx2").write_bytes(b'\xef\xbb\xbf{"language": "python3"}')
    assert find("savings/model.py").context == {"language": "python3"}


def test_a_folder_of_countless_files_is_read_in_part_and_always_the_same_part(
    root: Path, find: Callable[[str], ModelSource]
) -> None:
    folder = root / "savings"
    (folder / "model.py").unlink()
    (folder / "zzz.py").write_text("import numpy\n")
    for number in range(SOURCE_FILES + 10):
        (folder / f"m{number:05}.py").touch()
    model = find("savings/zzz.py")
    assert model.imports == ("numpy",)
    last = folder / f"m{SOURCE_FILES + 9:05}.py"
    last.write_text("x = 1\n")
    assert find("savings/zzz.py").fingerprint == model.fingerprint
    (folder / "zzz.py").write_text("import numpy \n")
    assert find("savings/zzz.py").fingerprint != model.fingerprint


def test_a_folder_of_huge_files_is_read_in_part_and_answered_in_time(
    root: Path, find: Callable[[str], ModelSource]
) -> None:
    huge = [root / "savings" / f"huge{number}.py" for number in range(100)]
    for path in huge:
        path.touch()
        os.truncate(path, HASHED_BYTES)  # sparse: it costs nothing to make
    began = time.process_time()
    first = find("savings/model.py")
    assert time.process_time() - began < FAST_SECONDS
    os.truncate(huge[-1], HASHED_BYTES - 1)
    assert find("savings/model.py").fingerprint != first.fingerprint


# Fingerprints and what is remembered


@pytest.fixture
def settle(root: Path, wait_until: Callable[..., None]) -> Callable[[], None]:
    """Waits until what is in the root counts as settled: change times cannot be set, only waited for."""

    def settle() -> None:
        newest = max(path.lstat().st_ctime_ns for path in root.rglob("*"))
        wait_until(lambda: time.time_ns() - newest > SETTLED_NS)

    return settle


def test_the_fingerprint_changes_with_content_and_not_with_times(
    root: Path, find: Callable[[str], ModelSource]
) -> None:
    path = root / "savings" / "model.py"
    first = find("savings/model.py").fingerprint
    os.utime(path, ns=(1, 1))
    assert find("savings/model.py").fingerprint == first
    path.write_text("balance = 1\n")
    assert find("savings/model.py").fingerprint != first
    path.write_text("balance = 0\n")
    assert find("savings/model.py").fingerprint == first


@pytest.mark.parametrize(
    "name", ("helper.py", "model.ctx2", "other.ctx2", "pkg/__init__.py", "pkg/deep/er.py")
)
def test_the_fingerprint_covers_sources_and_contexts_of_the_folder(
    name: str, root: Path, find: Callable[[str], ModelSource]
) -> None:
    path = root / "savings" / name
    first = find("savings/model.py").fingerprint
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    second = find("savings/model.py").fingerprint
    path.rename(path.with_name(f"x{path.name}"))
    third = find("savings/model.py").fingerprint
    path.with_name(f"x{path.name}").unlink()
    assert len({first, second, third}) == 3
    assert find("savings/model.py").fingerprint == first


@pytest.mark.parametrize("name", ("data.csv", "__pycache__/model.py", ".hidden/model.py", "notes.pyc"))
def test_the_fingerprint_leaves_the_rest_out(
    name: str, root: Path, find: Callable[[str], ModelSource]
) -> None:
    path = root / "savings" / name
    first = find("savings/model.py").fingerprint
    path.parent.mkdir(exist_ok=True)
    path.write_text("x")
    assert find("savings/model.py").fingerprint == first


def test_a_link_beside_the_model_is_not_followed(root: Path, find: Callable[[str], ModelSource]) -> None:
    outside = root.parent / "secret.py"
    (root / "savings" / "helper.py").symlink_to(outside)
    first = find("savings/model.py")
    outside.write_text("import numpy\n")
    second = find("savings/model.py")
    assert (second.fingerprint, second.imports) == (first.fingerprint, ())


def test_contents_that_join_the_same_way_differ(root: Path, find: Callable[[str], ModelSource]) -> None:
    folder = root / "savings"
    (folder / "a.py").write_text("1\n")
    (folder / "b.py").write_text("2\n")
    first = find("savings/model.py").fingerprint
    (folder / "a.py").write_text("1\n2\n")
    (folder / "b.py").write_text("")
    assert find("savings/model.py").fingerprint != first


def test_what_has_not_changed_is_not_read_again(root: Path, settle: Callable[[], None]) -> None:
    catalog = ModelCatalog(root)
    settle()
    model = catalog.find("savings/model.py")
    assert catalog.find("savings/model.py") is model
    (root / "savings" / "model.py").write_text("balance = 5\n")
    assert catalog.find("savings/model.py") is not model


def test_what_has_only_just_changed_is_not_remembered_yet(root: Path) -> None:
    # Within one tick of a file system's clock a second change leaves no trace in the file's times.
    catalog = ModelCatalog(root)
    path = root / "savings" / "model.py"
    for _ in range(50):
        path.write_text("balance = 5\n")
        models = [catalog.find("savings/model.py") for _ in range(2)]
        if time.time_ns() - path.lstat().st_ctime_ns < SETTLED_NS:
            assert models[0] is not models[1]
            return
    pytest.fail("this machine is too slow to look twice within the time")


@pytest.mark.parametrize("settled", (False, True))
def test_an_edit_of_the_same_size_within_the_same_second_is_seen(
    settled: bool, root: Path, settle: Callable[[], None]
) -> None:
    catalog = ModelCatalog(root)
    path = root / "savings" / "model.py"
    seen = set()
    for number in range(20):
        path.write_text(f"balance = {number:02}\n")
        os.utime(path, ns=(10**18, 10**18))  # the time that an author can set says nothing
        if settled and number < 3:
            settle()
        seen.add(catalog.find("savings/model.py").fingerprint)
    assert len(seen) == 20


def test_a_context_that_comes_goes_or_changes_is_seen(root: Path, settle: Callable[[], None]) -> None:
    catalog = ModelCatalog(root)
    path = root / "savings" / "model.ctx2"
    contexts: list[dict[str, Any]] = []
    for text in (None, '{"modelVersion": 1}', '{"modelVersion": 2}', None):
        if text is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(text)
        settle()
        contexts.append(catalog.find("savings/model.py").context)
    assert contexts == [{}, {"modelVersion": 1}, {"modelVersion": 2}, {}]


def test_a_refusal_is_not_remembered(root: Path, settle: Callable[[], None]) -> None:
    catalog = ModelCatalog(root)
    path = root / "savings" / "model.ctx2"
    path.write_text("{")
    settle()
    assert refusal(catalog.find, "savings/model.py").code is ErrorCode.INVALID_CONTEXT
    path.write_text("{}")
    assert catalog.find("savings/model.py").context == {}


# Contexts


def test_a_requests_context_is_laid_over_the_file(root: Path, find: Callable[[str], ModelSource]) -> None:
    (root / "savings" / "model.ctx2").write_text(
        '{"operations": {"step": {"timeoutSeconds": 5, "inert": true}}, "future": 1}'
    )
    context, raw = find("savings/model.py").effective_context({"operations": {"step": {"timeoutSeconds": 9}}})
    assert context.operation("step").model_dump(exclude_none=True) == {"timeoutSeconds": 9, "inert": True}
    assert raw == {"operations": {"step": {"timeoutSeconds": 9, "inert": True}}, "future": 1}


@pytest.mark.parametrize(
    ("file", "override", "source"),
    (
        ('{"mappedFiles": {"a": "../b"}}', None, "savings/model.ctx2"),
        ('{"mappedFiles": {"a": "../b"}}', {"language": "python3"}, "savings/model.ctx2"),
        ("{}", {"mappedFiles": {"a": "../b"}}, "model_context"),
    ),
)
def test_a_context_is_refused_naming_where_it_comes_from(
    file: str, override: dict[str, Any] | None, source: str, root: Path, find: Callable[[str], ModelSource]
) -> None:
    (root / "savings" / "model.ctx2").write_text(file)
    model = find("savings/model.py")
    with pytest.raises(RequestError, match="mappedFiles") as raised:
        model.effective_context(override)
    assert raised.value.information["source"] == source


# Imports


@pytest.mark.parametrize(
    ("source", "modules"),
    (
        ("import numpy", ["numpy"]),
        ("import numpy as np, pandas.api as api , scipy", ["numpy", "pandas.api", "scipy"]),
        ("from numpy import array", ["numpy"]),
        ("from scipy.stats import (\n    norm,\n    gamma)", ["scipy.stats"]),
        ("from scipy.stats import *", ["scipy.stats"]),
        ("if True:\n\timport numpy", ["numpy"]),
        ("try:\n    import numpy\nexcept ImportError:\n    import pandas", ["numpy", "pandas"]),
        ("try: import numpy\nexcept ImportError: pass", ["numpy"]),
        ("x = 1; import numpy; import pandas", ["numpy", "pandas"]),
        ("import \\\n  numpy", ["numpy"]),
        ("from numpy \\\n  import array", ["numpy"]),
        ("import numpy  # import pandas", ["numpy"]),
        ("import numpy\r\nimport pandas\rimport scipy", ["numpy", "pandas", "scipy"]),
        ('"""Words.\n\nimport numpy\n"""\nimport pandas', ["pandas"]),
        ("'''\nimport numpy\n'''", []),
        ("x = 'a\\\nimport numpy'", []),
        ('x = "it\'s"\nimport numpy\ny = "\'"', ["numpy"]),
        ("# import numpy", []),
        ("from . import numpy", []),
        ("from .numpy import x", []),
        ("from ..a.b import x", []),
        ("importlib = 1", []),
        ("x.import_ = numpy", []),
        ("important numpy", []),
        ("import 5", []),
        ("import", []),
        ("from numpy", []),
        ("\ufeffimport numpy", ["numpy"]),
        ("", []),
    ),
)
def test_imports_are_found_by_their_statements(source: str, modules: list[str]) -> None:
    assert list(scan_imports(source.encode())) == modules


@pytest.mark.parametrize(
    "source",
    (
        b'import numpy\nx = """never ended',
        b"import numpy\nx = 'never ended\n",
        b"import numpy\n\0\0\0",
        b"import numpy\n" + b"(" * 1000,
        b"import numpy\n\xff\xfe\x80",
        b"import numpy\n  bad indent\n bad",
        b"import numpy\n" + b"\\" * 1001,
    ),
)
def test_a_source_that_is_no_python_still_gives_what_looks_like_imports(source: bytes) -> None:
    assert list(scan_imports(source)) == ["numpy"]


@pytest.mark.parametrize(
    "unit",
    (
        b'\\"',
        b"\\'",
        b'"',
        b"'''",
        b'"""\n',
        b"'\"",
        b"(",
        b"[{",
        b" ",
        b"\t",
        b"\n ",
        b"\\\n",
        b"\\",
        b"import ",
        b"import a,",
        b"import\t",
        b"from ",
        b"from a.",
        b"from a ",
        b"; ",
        b";import",
        b": import x",
        b"#\n",
        b"0_",
        b"\0",
        b"\xf0\x9f",
        b"a" * 50 + b"\n",
    ),
)
def test_a_mebibyte_of_anything_is_searched_in_no_time(unit: bytes) -> None:
    source = b"import numpy\n" + unit * ((1 << 20) // len(unit))
    began = time.process_time()
    modules = list(scan_imports(source))
    assert time.process_time() - began < FAST_SECONDS
    assert modules[0] == "numpy"


def test_only_installed_third_party_modules_are_preloaded(
    root: Path, find: Callable[[str], ModelSource]
) -> None:
    folder = root / "savings"
    (folder / "pandas").mkdir()
    (folder / "pandas" / "__init__.py").write_text("import scipy.stats\n")
    (folder / "helper.py").write_text("import msgpack\n")
    (folder / "model.py").write_text(
        "import os, json, numpy.random, pandas, helper, epicenter, antigravity, worker, protocol.values\n"
        "import no_such_module_here, this, tkinter\n"
        "from . import psutil\n"
    )
    assert find("savings/model.py").imports == ("msgpack", "numpy.random", "scipy.stats")


def test_imports_are_looked_at_up_to_a_number_and_a_place(
    root: Path, find: Callable[[str], ModelSource]
) -> None:
    """Each costs the worker time; what comes later is imported by the run."""
    model = root / "savings" / "model.py"
    for before in ("import os\n" * STATEMENTS, "#" * SCANNED_BYTES + "\n"):
        model.write_text(f"import numpy\n{before}import msgpack\n")
        os.utime(model, ns=(0, 0))
        assert find("savings/model.py").imports == ("numpy",)


def test_what_a_thread_reads_is_what_is_found(root: Path) -> None:
    catalog = ModelCatalog(root)
    assert asyncio.run(catalog.read("savings/model.py")) == catalog.find("savings/model.py")
    with pytest.raises(RequestError, match="no such file"):
        asyncio.run(catalog.read("savings/gone.py"))


def test_a_folder_that_imports_everything_is_answered_in_time(
    root: Path, find: Callable[[str], ModelSource]
) -> None:
    lines = "".join(f"import module_{number}\n" for number in range(40_000))
    (root / "savings" / "model.py").write_text("import numpy\n" + lines)
    began = time.process_time()
    assert find("savings/model.py").imports == ("numpy",)
    assert time.process_time() - began < FAST_SECONDS
