"""Whoever looks, and whatever is to be seen: names of controls, contrasts, narrow windows, hostile texts."""

import itertools
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.conftest import Page, play
from tests.gateway.conftest import Api

LEAST_TEXT = 4.5
LEAST_PART = 3.0
CONTROLS = (
    "a[href], button, input, select, textarea, summary, [tabindex='0'], svg[role=img], dialog, nav, section"
)
FITS = "const { scrollWidth, clientWidth } = document.documentElement; return scrollWidth <= clientWidth"
STYLE = Path(__file__).parents[2] / "worker" / "gateway" / "page" / "style.css"

CONTRASTS = """
const channel = (one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
const light = ([r, g, b]) => 0.2126 * channel(r / 255) + 0.7152 * channel(g / 255) + 0.0722 * channel(b / 255);
const parts = (text) => text.match(/[\\d.]+/g).map(Number);
const behind = (element) => {
  for (let one = element; one; one = one.parentElement) {
    const found = parts(getComputedStyle(one).backgroundColor);
    if (found.length === 3 || found[3] === 1) return found.slice(0, 3);
  }
  return [255, 255, 255];
};
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.data.trim() || element.closest(':disabled, .unseen, noscript, option')) continue;
  if (!element.checkVisibility()) continue;
  const style = getComputedStyle(element);
  const colour = element.closest('svg') ? style.fill : style.color;
  const [low, high] = [light(parts(colour)), light(behind(element))].sort((a, b) => a - b);
  found.push([(high + 0.05) / (low + 0.05), walker.currentNode.data.trim().slice(0, 40), element.tagName]);
}
return found;
"""


@pytest.fixture(scope="module")
def eventful(api: Api) -> str:
    """A run with plots, an error and a rewind; its key."""
    run_key = api.create(modelFile="game/model.py", trackingKey="team-blue")
    for by in (1, 3, 2, 4, -1, 5):
        api.ask("POST", f"/run/operation/{run_key}", {"name": "play", "arguments": [by, "note"]})
    api.result("POST", f"/model-worker/rewind/{run_key}", {"toSeq": 4})
    play(api, run_key, 4)
    return run_key


@pytest.fixture
def shown(page: Page, eventful: str) -> str:
    """That run, opened, with an operation that failed; its key."""
    page.open(eventful)
    page.field("by").fill("-2")
    page.click("Call")
    page.sees("MODEL_ERROR", ".result")
    return eventful


def dialogs(page: Page) -> list[tuple[str, Callable[[], None]]]:
    """What the page shows, and how it comes to show it."""
    return [
        ("a run", lambda: None),
        (
            "details of it",
            lambda: page.browser.run(
                "document.querySelectorAll('details').forEach((one) => one.open = true)"
            ),
        ),
        ("rewind", lambda: page.click("Rewind to step 2")),
        ("clone", lambda: page.click("Clone from step 2")),
        ("who is asking", lambda: page.browser.one("#who").click()),
        ("new run", lambda: page.click("New run")),
    ]


def leave(page: Page) -> None:
    if page.browser.all("dialog"):
        page.browser.press("Escape")
        page.wait(lambda: not page.browser.all("dialog"), "the dialog gone")


def test_every_control_has_a_name(page: Page, shown: str) -> None:
    visible = (
        "return [...document.querySelectorAll(arguments[0])].filter((one) => one.checkVisibility()).length"
    )
    for what, show in dialogs(page):
        show()
        assert page.browser.run(visible, CONTROLS) > 15, what
        # What is behind a dialog is out of reach meanwhile, and is told to nobody.
        selector = f"dialog, dialog :is({CONTROLS})" if page.browser.all("dialog") else CONTROLS
        controls = page.browser.all(selector)
        told = [one for one in controls if one.role != "none"]
        assert len(told) > 2, what
        assert [(one.role, one.text) for one in told if not one.name.strip()] == [], what
        leave(page)


def test_the_page_has_landmarks_a_title_and_headings_in_order(page: Page, shown: str) -> None:
    assert {one.role for one in page.browser.all("header, nav, main")} >= {"banner", "navigation", "main"}
    assert page.browser.run("return document.title") == "game/model.py · model-worker"
    assert page.browser.run("return document.documentElement.lang") == "en"
    levels = [
        int(one)
        for one in page.browser.run(
            "return [...document.querySelectorAll('main :is(h1,h2,h3)')].map((one) => one.tagName[1])"
        )
    ]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


@pytest.mark.parametrize("scheme", ("light", "dark"))
def test_all_text_stands_out_from_what_is_behind_it(page: Page, shown: str, scheme: str) -> None:
    page.browser.prefer(scheme)
    try:
        for what, show in dialogs(page):
            show()
            found = page.browser.run(CONTRASTS)
            assert len(found) > 50, what
            assert [one for one in found if one[0] < LEAST_TEXT] == [], what
            leave(page)
    finally:
        page.browser.prefer("light")


def palette(scheme: str) -> dict[str, bytes]:
    """The colours of a scheme, by name."""
    light, dark = STYLE.read_text().split("@media (prefers-color-scheme: dark)")[:2]
    text = light if scheme == "light" else dark.split("\n* {")[0]
    return {name: bytes.fromhex(colour) for name, colour in re.findall(r"--([\w-]+): #([0-9a-f]{6});", text)}


def contrast(one: bytes, other: bytes) -> float:
    def light(colour: bytes) -> float:
        shares = [part / 255 for part in colour]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in shares]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ("light", "dark"))
def test_edges_of_controls_focus_and_lines_of_plots_stand_out(scheme: str) -> None:
    colours = palette(scheme)
    parts = ["edge", "accent", "good", "bad", "warn", *(f"line-{number}" for number in range(8))]
    for ground in ("surface", "ground"):
        weak = [part for part in parts if contrast(colours[part], colours[ground]) < LEAST_PART]
        assert weak == [], ground


def test_focus_is_seen_on_every_stop(page: Page, shown: str) -> None:
    script = (
        "const one = document.activeElement; const { outlineWidth, outlineStyle } = getComputedStyle(one);"
        "return [one.tagName, parseFloat(outlineWidth), outlineStyle]"
    )
    stops = []
    for _ in range(40):
        page.browser.press("Tab")
        tag, width, style = page.browser.run(script)
        if tag != "BODY":  # where the browser's own controls would come
            stops.append((page.browser.focused.name, width >= 2 and style != "none"))
    assert len(stops) > 30
    assert [name for name, is_seen in stops if not is_seen] == []


@pytest.mark.parametrize(
    ("name", "size", "scheme"),
    (
        ("light", (1280, 1500), "light"),
        ("dark", (1280, 1500), "dark"),
        ("narrow", (360, 1600), "light"),
        ("narrow-dark", (320, 1200), "dark"),
    ),
)
def test_nothing_runs_out_of_the_window(
    page: Page, shown: str, name: str, size: tuple[int, int], scheme: str
) -> None:
    width, height = size
    page.browser.resize(width, height)
    page.browser.prefer(scheme)
    try:
        page.shoot(f"run-{name}")
        assert page.browser.run(FITS)
        page.browser.run("document.querySelector('.history').scrollIntoView()")
        page.shoot(f"history-{name}")
        page.browser.one("#home").click() if width > 600 else page.browser.one(".back a").click()
        page.sees("team-blue", "#runs")
        assert page.browser.run(FITS)
        page.shoot(f"list-{name}")
        page.click("New run")
        page.shoot(f"dialog-{name}")
        leave(page)
    finally:
        page.browser.resize(1280, 900)
        page.browser.prefer("light")


MARKUP = "<img src=x onerror='window.pwned=1'><script>window.pwned=1</script>"


def test_texts_of_a_hostile_model_are_shown_as_what_they_are(page: Page, api: Api) -> None:
    run_key = api.create(modelFile="hostile/model.py", trackingKey=MARKUP[:100], scope_key="<b>scope</b>")
    api.result("PATCH", f"/run/variable/{run_key}", {"MARKUP": MARKUP})
    page.open(run_key)
    before = page.browser.run(
        "return document.querySelectorAll('script, img, iframe, object, embed, style, base').length"
    )
    page.browser.run("document.querySelectorAll('details').forEach((one) => one.open = true)")
    assert '<svg onload="window.pwned=1"> &amp; <!--' in page.text(".doc")
    assert page.text(".preview") == "act()"
    page.click("Call")
    page.sees('"javascript:window.pwned=1"', ".result")
    assert MARKUP in page.text(".result pre")
    page.choose("<i>operation</i>")
    assert page.text(".preview") == "<i>operation</i>()"
    page.click("Call")
    page.sees(f"<i>operation</i> raised ValueError: {MARKUP}", ".result .fault")
    page.wait(lambda: page.points(MARKUP) == [(3, 1), (4, 1)], "its plot")
    assert page.points("a;b") == [(3, 2), (4, 2)]
    assert page.points("__proto__") == [(3, 3), (4, 3)]
    assert [page.points("constructor", line) for line in (0, 1)] == [[(3, 1), (4, 1)], [(3, 2), (4, 2)]]
    assert MARKUP in page.value("MARKUP")
    assert "OPERATION_FAILED" in page.row(4)
    assert MARKUP[:90] in page.text("#runs")
    assert "<b>scope</b>" in page.text(".facts")
    page.click("Clone from step 4")
    leave(page)
    after = "return [document.querySelectorAll('script, img, iframe, object, embed, style, base').length, window.pwned]"
    assert page.browser.run(after) == [before, None]
    assert (
        page.browser.run("return document.querySelectorAll('main b b, main i, main u, main svg svg').length")
        == 0
    )
    assert page.browser.run(FITS)
    page.shoot("hostile")
