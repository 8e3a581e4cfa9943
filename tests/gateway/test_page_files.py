"""The files of the page: served as what they are, held by a strict policy, complete, and asking nobody else."""

import re
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "worker" / "gateway" / "page"
FILES = sorted(path.name for path in FOLDER.iterdir())
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
SINKS = (
    "innerHTML",
    "outerHTML",
    "insertAdjacentHTML",
    "document.write",
    "eval(",
    "Function(",
    "srcdoc",
    "localStorage",
)


def address_of(name: str) -> str:
    return "/" if name == "index.html" else f"/page/{name}"


@pytest.mark.parametrize("name", FILES)
def test_each_file_is_served_as_what_it_is_and_checked_for_changes(api: Any, name: str) -> None:
    response = api.root.get(address_of(name))
    assert response.status_code == 200
    assert response.content == (FOLDER / name).read_bytes()
    assert response.headers["content-type"] == KINDS[Path(name).suffix]
    assert (response.headers["cache-control"], response.headers["x-content-type-options"]) == (
        "no-cache",
        "nosniff",
    )
    tag = response.headers["etag"]
    again = api.root.get(address_of(name), headers={"If-None-Match": f'"other", W/{tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert api.root.get(address_of(name), headers={"If-None-Match": '"other"'}).status_code == 200


def test_the_policy_lets_the_page_run_its_own_files_and_ask_its_own_gateway(api: Any) -> None:
    policy = api.root.get("/").headers["content-security-policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules.pop("default-src") == "'none'"
    allowed = {name for name, value in rules.items() if value == "'self'"}
    assert allowed == {"script-src", "style-src", "img-src", "connect-src"}
    assert {rules[name] for name in ("base-uri", "form-action", "frame-ancestors")} == {"'none'"}
    assert (rules["require-trusted-types-for"], rules["trusted-types"]) == ("'script'", "'none'")


def test_what_the_files_load_is_there_and_nothing_comes_from_elsewhere() -> None:
    for name in FILES:
        text = (FOLDER / name).read_text()
        loaded = re.findall(r'(?:src|href)="(/page/[^"]+)"', text)
        loaded += [f"/page/{one}" for one in re.findall(r'from "\./([^"]+)"', text)]
        assert {one.removeprefix("/page/") for one in loaded} <= set(FILES), name
        foreign = [
            one for one in re.findall(r"https?://[^\s\"')]+", text) if one != "http://www.w3.org/2000/svg"
        ]
        assert foreign == [], name


def test_no_file_has_a_way_from_text_to_markup_or_keeps_anything_beyond_the_tab() -> None:
    found = [(name, sink) for name in FILES for sink in SINKS if sink in (FOLDER / name).read_text()]
    assert found == []
    page = (FOLDER / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*\bsrc=)|\bon\w+=|\bstyle=", page) == []


def test_there_is_no_way_out_of_the_folder(api: Any) -> None:
    for path in ("/page/", "/page/index.html", "/page/..%2fapp.py", "/page/%2e%2e/app.py", "/page/none.js"):
        assert api.root.get(path).status_code == 404, path
