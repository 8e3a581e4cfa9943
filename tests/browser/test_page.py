"""The page in a real browser, in front of a real gateway and worker: what is done with it, and what it shows."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import Page, play
from tests.browser.webdriver import Browser, Driver
from tests.gateway.conftest import Api, Gateway

MakeRun = Callable[..., str]
_NUMBERS = itertools.count(1)


def fresh(word: str) -> str:
    """A key that no other test uses."""
    return f"{word}-{next(_NUMBERS)}"


def items(page: Page, group: str) -> list[str]:
    """The runs of one group of the list, by what their links show."""
    for section in page.browser.all("#runs section"):
        if section.text.startswith(group):
            return [one.text for one in section.all("a.item")]
    return []


def shows_play(page: Page, seq: int, level: int) -> None:
    page.wait(lambda: f'"level":{level}' in page.row(seq), f"step {seq} with level {level}")


def test_runs_in_memory_and_in_the_archive_are_listed_and_opened(
    page: Page, api: Api, make_run: MakeRun
) -> None:
    live, archived, hidden = fresh("live"), fresh("archived"), fresh("hidden")
    run_key = make_run(2, trackingKey=live)
    api.done("DELETE", f"/run/{make_run(1, trackingKey=archived)}")
    api.result("PATCH", f"/run/{make_run(trackingKey=hidden)}", {"hidden": True})
    page.open()
    page.wait(lambda: any(live in one for one in items(page, "In memory")), "the live run in its group")
    assert any(archived in one for one in items(page, "Archived"))
    assert hidden not in page.text("#runs")
    page.field("Hidden ones too").click()
    page.sees(hidden, "#runs")
    page.field("Find").fill(live)
    page.wait(lambda: len(page.browser.all("a.item")) == 1, "only the run that was searched for")
    page.browser.one("a.item").click()
    page.wait(lambda: page.steps() == [2, 1], "its history")
    assert page.text("h1") == "game/model.py"
    assert "in memory" in page.text(".chips")
    assert page.browser.url.endswith(f"#/acme/demo/{run_key}")
    assert page.browser.one("a.item").attribute("aria-current") == "page"


def test_numbers_are_plotted_over_the_steps_of_the_history(page: Page, make_run: MakeRun) -> None:
    page.open(make_run(1, 10, 0))
    assert page.points("level") == [(1, 0), (2, 1), (3, 11), (4, 11)]
    assert page.points("price") == [(1, 9.5), (2, 10.5), (3, 20.5), (4, 20.5)]
    assert [page.points("stock", line) for line in (0, 1)] == [
        [(1, 12), (2, 11), (3, 1), (4, 1)],
        [(1, 12), (2, 12), (3, 12), (4, 12)],
    ]
    figure = "figure[data-variable='stock']"
    assert page.text(f"{figure} .legend") == "north 1\nsouth 12"
    picture = page.browser.one(f"{figure} svg[role=img]")
    assert picture.name == "stock over the steps of the history"
    assert "lowest 1, highest 12" in page.browser.run(
        "return arguments[0].querySelector('desc').textContent", picture
    )
    page.browser.one(f"{figure} summary").click()
    assert page.text(f"{figure} table").split("\n")[:2] == ["Step\tnorth\tsouth", "4\t1\t12"]


def test_an_operation_is_called_by_a_form_made_of_its_introspection(page: Page, make_run: MakeRun) -> None:
    page.open(make_run())
    page.sees("The level grows", ".doc")
    assert page.text(".preview") == "play()"
    assert [page.field(name).property("value") for name in ("by", "note")] == ["", ""]
    page.field("note").fill("hello there")
    assert page.text(".preview") == 'play(1, "hello there")'
    page.click("Call")
    page.sees('"note": "hello there"', ".result")
    shows_play(page, 2, 1)
    page.field("by").fill("41")
    page.field("note").fill('{"a": [1, null]}')
    assert page.text(".preview") == 'play(41, {"a": [1, null]})'
    page.field("note").type("\ue007")
    page.sees('"level": 42', ".result")
    page.choose("echo")
    page.click("Call")
    page.sees("value is needed", ".result")
    assert page.browser.focused.name == "value"
    page.field("value").fill("9007199254740993")
    page.field("*rest").fill('[true, "x"]')
    page.click("Call")
    page.wait(
        lambda: page.text(".result pre").split() == ["[", "9007199254740993,", "true,", '"x"', "]"],
        "all digits",
    )


def test_an_error_of_the_model_tells_what_happened_and_what_to_do(page: Page, make_run: MakeRun) -> None:
    page.open(make_run())
    page.field("by").fill("-3")
    page.click("Call")
    page.sees("by must not be negative, not -3", ".result .fault")
    shown = page.text(".result .fault")
    assert "MODEL_ERROR ValueError" in shown
    assert "It stands in the history" in shown
    page.browser.one(".result summary").click()
    page.sees("model.py:", ".result pre")
    page.sees("OPERATION_FAILED", ".history tr[data-seq='2']")
    assert page.browser.one(".history tr[data-seq='2']").attribute("class") == "failed"


def test_what_another_client_does_appears_by_itself(page: Page, api: Api, make_run: MakeRun) -> None:
    run_key = make_run(1)
    page.open(run_key)
    page.browser.run("window.loaded = 'once'")
    page.browser.one("figure[data-variable='level'] summary").click()
    page.field("note").fill("half a thought")
    play(api, run_key, 5, token="dev:AUTHOR:bob")
    page.wait(lambda: page.points("level") == [(1, 0), (2, 1), (3, 6)], "the new point")
    page.wait(lambda: page.value("level") == "6", "the new value")
    assert "bob · AUTHOR" in page.row(3)
    api.result("PATCH", f"/run/variable/{run_key}", {"secret": 8})
    page.wait(
        lambda: "secret = 8" in page.row(4) and page.value("secret") == "8", "the variable that was set"
    )
    api.done("DELETE", f"/run/{run_key}")
    page.sees("archived", ".chips")
    page.wait(lambda: "not recorded" in page.value("secret"), "that the archive lacks it")
    assert page.value("level") == "6"
    assert page.field("note").property("value") == "half a thought"
    assert page.browser.one("figure[data-variable='level'] details").property("open") is True
    assert page.browser.run("return window.loaded") == "once"


def test_a_run_is_brought_into_memory_and_taken_out_of_it(page: Page, api: Api, make_run: MakeRun) -> None:
    run_key = make_run(1)
    page.open(run_key)
    page.click("Take out of memory")
    page.sees("archived", ".chips")
    assert api.result("GET", f"/run/{run_key}")["live"] is False
    page.click("Bring into memory")
    page.sees("in memory", ".chips")
    page.wait(lambda: page.value("secret") == "7", "what is in memory only")


def test_looking_at_a_run_starts_no_process(page: Page, api: Api, make_run: MakeRun) -> None:
    run_key = make_run(1)
    api.done("DELETE", f"/run/{run_key}")
    page.open(run_key)
    page.wait(lambda: page.value("level") == "1", "the archive's value")
    assert api.result("GET", f"/run/{run_key}")["live"] is False


def test_the_history_tells_who_did_what_and_what_came_of_it(page: Page, api: Api, make_run: MakeRun) -> None:
    run_key = make_run(1)
    play(api, run_key, 2)
    page.open(run_key)
    assert page.steps() == [3, 2, 1]
    assert "play(2)" in page.row(3)
    assert "dev · AUTHOR" in page.row(3)
    assert '{"level":3,"note":null}' in page.row(3)
    assert "the model was loaded" in page.row(1)


def test_long_histories_are_shown_from_their_end(page: Page, api: Api, make_run: MakeRun) -> None:
    run_key = make_run()
    for _ in range(2):
        api.result("POST", f"/run/action/{run_key}", [{"name": "play", "arguments": [1]}] * 60)
    page.open(run_key)
    page.wait(lambda: page.steps()[0] == 121, "the end")
    assert len(page.steps()) == 100
    page.click("Show older entries")
    page.wait(lambda: page.steps() == list(range(121, 0, -1)), "all of it")


def test_a_run_is_rewound_to_an_entry_when_that_is_confirmed(page: Page, api: Api, make_run: MakeRun) -> None:
    run_key = make_run(1, 10, 100)
    page.open(run_key)
    assert page.button("Rewind to step 4").property("disabled") is True
    page.click("Rewind to step 2")
    page.sees("Steps 3 to 4 are taken back", "dialog")
    page.click("Cancel", "dialog")
    page.wait(lambda: not page.browser.all("dialog"), "the dialog gone")
    assert api.result("GET", f"/run/{run_key}")["seq"] == 4
    page.click("Rewind to step 2")
    page.click("Rewind", "dialog")
    page.wait(lambda: page.steps() == [5, 4, 3, 2, 1], "the rewind in the history")
    page.wait(lambda: page.points("level") == [(1, 0), (2, 1), (5, 1)], "a line without what was taken back")
    assert "taken back at step 5" in page.row(3)
    page.wait(lambda: page.value("level") == "1", "the value before")
    assert [one.name for one in page.browser.all(".history tr.gone button")] == [
        "Clone from step 4",
        "Clone from step 3",
    ]
    assert api.result("POST", f"/run/variable/{run_key}", {"include": "level"}) == [1]


def test_a_run_is_cloned_from_an_entry_and_the_copy_is_opened(
    page: Page, api: Api, make_run: MakeRun
) -> None:
    run_key = make_run(1, 10, 100)
    page.open(run_key)
    page.click("Clone from step 3")
    name = fresh("copy")
    page.field("Tracking key").fill(name)
    page.click("Clone", "dialog")
    page.wait(lambda: page.steps() == [3, 2, 1], "the history of the copy")
    copy = page.browser.url.rpartition("/")[2]
    assert copy != run_key
    run = api.result("GET", f"/run/{copy}")
    assert (run["clonedFrom"], run["trackingKey"], run["seq"]) == (run_key, name, 3)
    page.wait(lambda: page.value("level") == "11", "its state")
    assert page.points("level") == [(3, 11)]
    page.sees(name, "#runs")


def test_a_new_run_is_started_with_presets_or_the_dialog_says_why_not(page: Page, api: Api) -> None:
    page.click("New run")
    page.field("Model file").fill("nothing/model.py")
    page.click("Start", "dialog")
    page.sees("MODEL_NOT_FOUND", "dialog")
    page.field("Model file").fill("game/model.py")
    page.browser.one("dialog summary").click()
    page.field("Presets").fill("{rounds: 9")
    page.click("Start", "dialog")
    page.sees("Presets:", "dialog")
    page.field("Presets").fill('{"rounds": 9}')
    page.field("Tracking key").fill(fresh("new"))
    page.click("Start", "dialog")
    page.wait(lambda: page.steps() == [1], "the new run")
    run = api.result("GET", f"/run/{page.browser.url.rpartition('/')[2]}")
    assert run["executionContext"]["presets"] == {"rounds": 9}
    assert run["scope"]["scopeKey"] == "demo"
    page.wait(lambda: page.value("rounds") == "9", "the preset")


def test_model_files_are_offered_to_who_starts_a_run(page: Page) -> None:
    page.click("New run")
    page.sees("models are offered", "dialog")
    assert page.browser.focused.name == "Model file"
    page.tab_to("Models", "combobox")
    offered = [one.text for one in page.browser.focused.all("option")]
    assert offered == ["Choose one", "game/model.py", "hostile/model.py"]
    page.browser.press("ArrowDown")
    assert page.field("Model file").property("value") == "game/model.py"
    page.tab_to("Start", "button")
    page.browser.press("Enter")
    page.wait(lambda: page.steps() == [1], "the new run")


def test_who_finds_no_model_learns_what_to_do(
    make_daemon: Any, browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    models = tmp_path_factory.mktemp("models")
    models.chmod(0o755)
    daemon = make_daemon(models)
    gateway = Gateway(daemon.endpoint, tmp_path_factory.mktemp("gateway") / "log")
    try:
        page = Page(browser, gateway.start().url, tmp_path_factory.mktemp("screenshots"))
        page.open()
        page.sees("There are no runs yet")
        page.click("New run")
        page.sees("There is no model yet. Put a file", "dialog")
        page.click("Cancel", "dialog")
        (models / "only").mkdir()
        (models / "only" / "model.py").write_text("level = 1\n")
        page.click("New run")
        page.sees("One model is offered", "dialog")
        assert page.field("Model file").property("value") == "only/model.py"
        page.click("Start", "dialog")
        page.wait(lambda: page.steps() == [1], "the new run")
    finally:
        gateway.close()


def test_who_asks_is_chosen_on_the_page_and_kept_by_its_tab_alone(
    page: Page, driver: Driver, make_run: MakeRun
) -> None:
    run_key = make_run(1)
    page.open(run_key)
    page.click("acme/demo dev · AUTHOR")
    page.field("Token").fill("nonsense")
    page.click("Use", "dialog")
    page.sees("AUTHENTICATION_INVALIDATED", "dialog")
    page.field("Token").fill("dev:PARTICIPANT:ada")
    page.click("Use", "dialog")
    page.sees("ada · PARTICIPANT", "#who")
    page.sees("PERMIT_VIOLATION", "main")
    assert "Ask as somebody who may" in page.text("main")
    kept = "return [{...sessionStorage}, {...localStorage}, document.cookie, location.href]"
    session, local, cookie, address = page.browser.run(kept)
    assert (list(session.values()), local, cookie) == (["dev:PARTICIPANT:ada"], {}, "")
    assert "ada" not in address
    page.browser.open(page.url)
    page.sees("ada · PARTICIPANT", "#who")
    with driver.browser() as other:
        other.open(page.url)
        page.wait(lambda: "dev · AUTHOR" in other.one("#who").text, "another browser's own token")


def test_a_run_that_is_not_there_is_told_with_what_to_do(page: Page) -> None:
    page.browser.open(f"{page.url}/#/acme/demo/{'0' * 36}")
    page.sees("RUN_NOT_FOUND", "main .fault")
    assert "Go back to the list" in page.text("main .fault")


def test_the_main_tasks_are_done_with_the_keyboard_alone(page: Page, api: Api, make_run: MakeRun) -> None:
    first, second = fresh("keys"), fresh("keys")
    make_run(trackingKey=first)
    run_key = make_run(trackingKey=second)
    page.open()
    page.sees(first, "#runs")
    press = page.browser.press
    page.tab_to("Find", "searchbox")
    press(*"keys-")
    page.wait(lambda: len(page.browser.all("a.item")) >= 2, "runs that were searched for")
    press("Tab", "Tab")
    assert second in page.browser.focused.text
    press("ArrowDown")
    assert first in page.browser.focused.text
    press("ArrowUp", "Enter")
    page.wait(lambda: page.steps() == [1], "the run")
    assert page.browser.focused.role == "heading"
    page.tab_to("Operation", "combobox")
    page.tab_to("by", "textbox")
    press(*"3", "Enter")
    shows_play(page, 2, 3)
    press(*"4", "Enter")
    page.wait(lambda: page.steps() == [3, 2, 1], "two steps")
    page.tab_to("Clone from step 3", "button")
    press("ArrowDown")
    assert page.browser.focused.name == "Clone from step 2"
    press("Shift+Tab")
    assert page.browser.focused.name == "Rewind to step 2"
    press("Enter")
    page.wait(
        lambda: page.browser.focused.name == "Cancel", "the dialog with the focus on what changes nothing"
    )
    press("Tab", "Enter")
    page.wait(lambda: page.steps() == [4, 3, 2, 1], "the rewind")
    assert api.result("POST", f"/run/variable/{run_key}", {"include": "level"}) == [3]
    page.wait(lambda: not page.browser.all("dialog"), "the dialog gone")
    page.tab_to("Clone from step 4", "button")
    press("Enter")
    page.wait(lambda: page.browser.focused.name == "Tracking key", "the field of the dialog")
    press("Escape")
    page.wait(lambda: not page.browser.all("dialog"), "the dialog gone")
    assert page.browser.focused.name == "Clone from step 4"


def test_the_skip_link_leads_past_the_list(page: Page) -> None:
    page.open()
    page.wait(lambda: page.link == "Connected", "the page")
    page.browser.press("Tab")
    assert page.browser.focused.name == "Skip to the run"
    page.browser.press("Enter")
    assert page.browser.focused.attribute("id") == "main"
    assert "#/" in page.browser.url
