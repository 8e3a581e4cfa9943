"""A worker, a gateway and a browser that looks at its page; and what a page is asked and looked at for."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from tests.browser.webdriver import Browser, Driver, Element, WebDriverError, driving, missing
from tests.conftest import eventually
from tests.gateway.conftest import Api, Gateway

GAME = '''
from epicenter import Epicenter

level = 0
stock = {"north": 12, "south": 12}
price = "9.50"
secret = 7
rounds = globals().get("rounds", 5)


def play(by=1, note=None):
    """Go on.

    The level grows, the stocks shrink.
    """
    global level, price
    if by < 0:
        raise ValueError(f"by must not be negative, not {by}")
    level += by
    stock["north"] -= by
    price = f"{9.5 + level:.2f}"
    record_all()
    return {"level": level, "note": note}


def echo(value, *rest):
    return [value, *rest]


def record_all():
    for name in ("level", "stock", "price"):
        Epicenter.record(name, globals()[name])


record_all()
'''
CONTEXT = '{"version": "V2", "operations": {"echo": {"inert": true}}}'
HOSTILE = '''
from epicenter import Epicenter

MARKUP = "<img src=x onerror='window.pwned=1'><script>window.pwned=1</script>"


def act(argument="<b>bold</b>"):
    """<svg onload="window.pwned=1"> &amp; <!-- """
    Epicenter.record(MARKUP, 1)
    Epicenter.record("a;b", 2)
    Epicenter.record("__proto__", 3)
    Epicenter.record("constructor", {"<u>north</u>": 1, "__proto__": 2})
    return {"javascript:window.pwned=1": MARKUP, "bidi": "\\u202egnp.exe", "nul": "\\x00", "__proto__": [MARKUP]}


def fail():
    raise ValueError(MARKUP * 3)


globals()["x\\"><script>window.pwned=1</script>"] = MARKUP
globals()["long" * 60] = "word" * 5000
globals()["<i>operation</i>"] = fail
'''
WAIT_SECONDS: Final = 30.0


class Page:
    """The page in a browser. What is not there yet is waited for."""

    def __init__(self, browser: Browser, url: str, screenshots: Path) -> None:
        self.browser = browser
        self.url = url
        self._screenshots = screenshots

    def open(self, run_key: str | None = None, place: str = "acme/demo") -> None:
        """Load the page anew, at the list or at a run."""
        self.browser.open("about:blank")
        self.browser.open(f"{self.url}/#/{place}" + (f"/{run_key}" if run_key else ""))
        if run_key:
            self.wait(lambda: self.link == "Connected" and self.is_complete, "the run is shown")

    def wait(self, holds: Callable[[], Any], what: str, within: float = WAIT_SECONDS) -> None:
        """Until something holds; elements may be replaced while it is looked at."""

        def held() -> bool:
            try:
                return bool(holds())
            except (WebDriverError, ValueError):
                return False

        try:
            eventually(held, within)
        except AssertionError as error:
            shown = self.browser.run("return document.body.innerText.slice(0, 3000)")
            raise AssertionError(f"not within {within} s: {what}; the page shows: {shown}") from error

    def sees(self, text: str, selector: str = "body", within: float = WAIT_SECONDS) -> None:
        """Until an element shows a text."""
        self.wait(lambda: text in self.text(selector), f"{selector} shows {text!r}", within)

    def text(self, selector: str) -> str:
        """What the elements that a selector finds show, all of them."""
        script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText).join('\\n')"
        return str(self.browser.run(script, selector))

    def button(self, name: str, within: str = "body") -> Element:
        """The button with this name, which its text must not contradict."""
        script = (
            "const [selector, name] = arguments; return [...document.querySelectorAll(`${selector} button`)]"
            ".filter((one) => (one.ariaLabel ?? one.innerText) === name && one.checkVisibility())"
        )
        (found,) = self.browser.found(script, within, name)
        assert found.name == name
        return found

    def click(self, name: str, within: str = "body") -> None:
        """Click the button with this name, when it is there and may be clicked."""

        def clicked() -> bool:
            found = self.button(name, within)
            if not found.property("disabled"):
                found.click()
                return True
            return False

        self.wait(clicked, f"a button {name!r} to click")

    def field(self, label: str) -> Element:
        """The control with this label."""
        script = (
            "return [...document.querySelectorAll('input, select, textarea')]"
            ".filter((one) => [...one.labels].some((label) => label.innerText === arguments[0]))"
        )
        (found,) = self.browser.found(script, label)
        assert found.name == label
        return found

    def choose(self, operation: str) -> None:
        """Choose an operation by its name."""
        script = (
            "const [select, name] = arguments; select.value = name;"
            "select.dispatchEvent(new Event('change', {bubbles: true}))"
        )
        self.browser.run(script, self.field("Operation"), operation)

    @property
    def is_complete(self) -> bool:
        """Whether all of a run that was opened is shown."""
        return self.browser.one("#main").attribute("aria-busy") == "false" and self.steps() != []

    @property
    def link(self) -> str:
        """What the page says of its way to the worker."""
        return self.text("#link")

    def steps(self) -> list[int]:
        """The steps in the history, as they stand there."""
        script = (
            "return [...document.querySelectorAll('.history tbody tr')].map((one) => Number(one.dataset.seq))"
        )
        return list(self.browser.run(script))

    def row(self, seq: int) -> str:
        """What the history shows of a step."""
        return self.text(f".history tr[data-seq='{seq}']")

    def points(self, variable: str, line: int = 0) -> list[tuple[int, float]]:
        """The points of a line of a plot, as they are drawn."""
        script = (
            "const [name, line] = arguments;"
            "const figure = [...document.querySelectorAll('figure')].find((one) => one.dataset.variable === name);"
            "return [...(figure?.querySelectorAll(`circle.l${line}`) ?? [])]"
            ".map((one) => [Number(one.dataset.step), Number(one.dataset.value)])"
        )
        return [(step, value) for step, value in self.browser.run(script, variable, line)]

    def value(self, variable: str) -> str:
        """What the table of variables shows as the value of one."""
        script = (
            "return [...document.querySelectorAll('.values tr')]"
            ".find((one) => one.dataset.variable === arguments[0]).lastChild.innerText"
        )
        return str(self.browser.run(script, variable))

    def tab_to(self, name: str, role: str, most: int = 60) -> None:
        """Press Tab until the focus is on what has this name and role."""
        script = (
            "const one = document.activeElement;"
            "return (one.ariaLabel ?? one.labels?.[0]?.innerText ?? one.innerText).includes(arguments[0])"
        )
        for _ in range(most):
            self.browser.press("Tab")
            if self.browser.run(script, name) and (self.browser.focused.role, self.browser.focused.name) == (
                role,
                name,
            ):
                return
        raise AssertionError(
            f"no {role} {name!r} within {most} presses of Tab; on {self.browser.focused.name!r}"
        )

    def shoot(self, name: str) -> None:
        """Keep a picture of what is shown."""
        self.browser.shoot(self._screenshots / f"{name}.png")


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """Debian's chromedriver."""
    absent = missing()
    if absent and os.environ.get("CI"):
        pytest.fail(f"Debian's packages {absent} are not installed")
    if absent:
        pytest.skip(f"needs Debian's packages {absent}")
    with driving(tmp_path_factory.mktemp("browser")) as driver:
        yield driver


@pytest.fixture(scope="module")
def browser(driver: Driver) -> Iterator[Browser]:
    """One browser for the tests of a module that need none of their own."""
    with driver.browser() as browser:
        yield browser


@pytest.fixture(scope="session")
def screenshots(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures are kept."""
    chosen = request.config.getoption("--screenshots")
    folder = Path(chosen) if chosen else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def daemon(make_daemon: Any, model_root: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The worker of this module, at addresses that stay its own when it starts again."""
    model_root.add("game", GAME, CONTEXT)
    model_root.add("hostile", HOSTILE)
    sockets = tmp_path_factory.mktemp("d")
    return make_daemon(model_root.path, bind=(f"ipc://{sockets}/s",), publish=f"ipc://{sockets}/e")


@pytest.fixture(scope="module")
def gateway(daemon: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The gateway of this module, at a port that stays its own when it starts again."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = ("--listen", f"127.0.0.1:{port}", "--events", daemon.events)
    gateway = Gateway(daemon.endpoint, tmp_path_factory.mktemp("gateway") / "log", arguments=arguments)
    try:
        yield gateway.start()
    finally:
        gateway.close()


@pytest.fixture(scope="module")
def api(gateway: Gateway) -> Iterator[Api]:
    """Another client than the page."""
    with ExitStack() as exits:
        api = Api(gateway.url)
        exits.enter_context(api.root)
        yield api


@pytest.fixture
def page(browser: Browser, gateway: Gateway, screenshots: Path) -> Iterator[Page]:
    """The page, asked as an author; afterwards nothing must have gone wrong in the browser."""
    page = Page(browser, gateway.url, screenshots)
    page.open()
    if browser.run("return sessionStorage.length"):
        browser.run("sessionStorage.clear()")
        page.open()
    browser.logged()
    yield page
    wrong = [line for line in browser.logged() if "Failed to load resource" not in line]
    assert wrong == []


@pytest.fixture
def make_run(api: Api) -> Callable[..., str]:
    """``make_run(*played, **fields)``: a run of the game in which this was played; its key."""

    def make(*played: int, **fields: Any) -> str:
        run_key = api.create(modelFile=fields.pop("modelFile", "game/model.py"), **fields)
        for by in played:
            play(api, run_key, by)
        return run_key

    return make


def play(api: Api, run_key: str, by: int = 1, **more: Any) -> None:
    """One step of a run, by another client than the page."""
    api.result("POST", f"/run/operation/{run_key}", {"name": "play", "arguments": [by]}, **more)
