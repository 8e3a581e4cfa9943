"""A browser as its user sees it: W3C WebDriver over HTTP to Debian's chromedriver, as much of it as these tests need."""

import base64
import contextlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import httpx

CHROMIUM: Final = "/usr/bin/chromium"
DRIVER: Final = "/usr/bin/chromedriver"
_ELEMENT: Final = "element-6066-11e4-a52e-4f735466cecf"
_ARGUMENTS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
    "--window-size=1280,900",
)
KEYS: Final = MappingProxyType(
    {
        "Tab": "\ue004",
        "Shift": "\ue008",
        "Enter": "\ue007",
        "Escape": "\ue00c",
        "Space": " ",
        "End": "\ue010",
        "Home": "\ue011",
        "ArrowUp": "\ue013",
        "ArrowDown": "\ue015",
    }
)


def missing() -> str:
    """What is not installed of what these tests need; "" where all is."""
    needed = {CHROMIUM: "chromium", DRIVER: "chromium-driver"}
    return " and ".join(package for path, package in needed.items() if shutil.which(path) is None)


class WebDriverError(Exception):
    """The driver refused; ``code`` is W3C's name for the reason."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class Element:
    """One element of the page, as long as it is in it."""

    def __init__(self, browser: "Browser", id_: str) -> None:
        self._browser = browser
        self._path = f"/element/{id_}"
        self.wire = {_ELEMENT: id_}

    def click(self) -> None:
        self._browser.ask("POST", f"{self._path}/click", {})

    def type(self, text: str) -> None:
        """Press the keys of a text, behind what stands there."""
        self._browser.ask("POST", f"{self._path}/value", {"text": text})

    def fill(self, text: str) -> None:
        """Type a text in the place of what stands there."""
        self._browser.ask("POST", f"{self._path}/clear", {})
        self.type(text)

    @property
    def text(self) -> str:
        """What is rendered of it."""
        return str(self._browser.ask("GET", f"{self._path}/text"))

    @property
    def name(self) -> str:
        """Its accessible name, as the browser computes it."""
        return str(self._browser.ask("GET", f"{self._path}/computedlabel"))

    @property
    def role(self) -> str:
        """Its role, as the browser computes it."""
        return str(self._browser.ask("GET", f"{self._path}/computedrole"))

    def attribute(self, name: str) -> str | None:
        found = self._browser.ask("GET", f"{self._path}/attribute/{name}")
        return None if found is None else str(found)

    def property(self, name: str) -> Any:
        return self._browser.ask("GET", f"{self._path}/property/{name}")

    def all(self, selector: str) -> list["Element"]:
        return self._browser.elements(f"{self._path}/elements", selector)


class Browser:
    """One browser with one window and a profile of its own."""

    def __init__(self, http: httpx.Client, session: str) -> None:
        self._http = http
        self._session = f"/session/{session}"

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One command of the session.

        Raises:
            WebDriverError: the driver's refusal.
        """
        return _command(self._http, method, self._session + path, body)

    def open(self, url: str) -> None:
        self.ask("POST", "/url", {"url": url})

    def elements(self, path: str, selector: str) -> list[Element]:
        found = self.ask("POST", path, {"using": "css selector", "value": selector})
        return [Element(self, one[_ELEMENT]) for one in found]

    def all(self, selector: str) -> list[Element]:
        """The elements that a CSS selector finds now."""
        return self.elements("/elements", selector)

    def one(self, selector: str) -> Element:
        """The only element that a CSS selector finds now."""
        (found,) = self.all(selector)
        return found

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script returns."""
        sent = [one.wire if isinstance(one, Element) else one for one in arguments]
        return self.ask("POST", "/execute/sync", {"script": script, "args": sent})

    def found(self, script: str, *arguments: Any) -> list[Element]:
        """The elements that a script returns."""
        return [Element(self, one[_ELEMENT]) for one in self.run(script, *arguments)]

    def press(self, *keys: str) -> None:
        """Press keys, one after the other: names as of ``KEYS``, "Shift+Tab", or the characters of a text."""
        actions: list[dict[str, str]] = []
        for key in keys:
            parts = [key] if key in KEYS else key.split("+") if key.startswith("Shift+") else [*key]
            if key.startswith("Shift+"):
                down = [KEYS[part] for part in parts]
                actions += [{"type": "keyDown", "value": one} for one in down]
                actions += [{"type": "keyUp", "value": one} for one in reversed(down)]
                continue
            for part in parts:
                value = KEYS.get(part, part)
                actions += [{"type": "keyDown", "value": value}, {"type": "keyUp", "value": value}]
        self.ask("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    @property
    def focused(self) -> Element:
        return Element(self, self.ask("GET", "/element/active")[_ELEMENT])

    @property
    def url(self) -> str:
        return str(self.ask("GET", "/url"))

    def resize(self, width: int, height: int) -> None:
        """The size of what is shown, also narrower than a window may be."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )

    def prefer(self, scheme: str) -> None:
        """Have the page shown "light" or "dark"."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.devtools("Emulation.setEmulatedMedia", {"features": features})

    def devtools(self, command: str, parameters: dict[str, Any]) -> Any:
        return self.ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def logged(self) -> list[str]:
        """What the console has told since the last time: errors of scripts, refusals of the policy, failed loads."""
        return [
            f"{one['level']} {one['message']}" for one in self.ask("POST", "/se/log", {"type": "browser"})
        ]

    def shoot(self, path: Path) -> None:
        """Write a picture of what is shown."""
        path.write_bytes(base64.b64decode(self.ask("GET", "/screenshot")))


@contextlib.contextmanager
def driving(profiles: Path) -> Iterator["Driver"]:
    """A chromedriver, ended with all its browsers. ``profiles``: where these keep what they write."""
    log = (profiles / "driver.log").open("w")
    process = subprocess.Popen([DRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout is not None
        port = next(found[1] for line in process.stdout if (found := re.search(r"on port (\d+)\.", line)))
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
            yield Driver(http, profiles)
    finally:
        process.terminate()
        process.wait(20)
        log.close()
        if process.stdout is not None:
            process.stdout.close()


class Driver:
    """Starts browsers."""

    def __init__(self, http: httpx.Client, profiles: Path) -> None:
        self._http = http
        self._profiles = profiles
        self._count = 0

    @contextlib.contextmanager
    def browser(self) -> Iterator[Browser]:
        """A new browser with a new, empty profile."""
        self._count += 1
        profile = self._profiles / f"profile-{self._count}"
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": {
                "binary": CHROMIUM,
                "args": [*_ARGUMENTS, f"--user-data-dir={profile}"],
            },
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        made = _command(self._http, "POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        browser = Browser(self._http, made["sessionId"])
        try:
            yield browser
        finally:
            browser.ask("DELETE", "")


def _command(http: httpx.Client, method: str, path: str, body: Any) -> Any:
    response = http.request(method, path, json=body)
    value = response.json()["value"]
    if response.status_code != 200:
        raise WebDriverError(value["error"], value["message"])
    return value
