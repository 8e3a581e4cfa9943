import pytest

from worker.child.familiar import SNIPPETS


@pytest.mark.parametrize("name", SNIPPETS)
def test_a_snippet_runs_through_with_the_package_as_it_is(name: str) -> None:
    pytest.importorskip(name)
    exec(compile(SNIPPETS[name], name, "exec"), {})
