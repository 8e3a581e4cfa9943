"""What becomes of the page while the worker or the gateway is away, and when they are back."""

import itertools
from typing import Any

from tests.browser.conftest import Page, play
from tests.gateway.conftest import Api, Gateway

_KEYS = itertools.count(1)


def opened(page: Page, api: Api, *played: int) -> str:
    """A run that the page shows."""
    run_key = api.create(modelFile="game/model.py", trackingKey=f"disturbed-{next(_KEYS)}")
    for by in played:
        play(api, run_key, by)
    page.open(run_key)
    page.wait(lambda: page.steps()[0] == len(played) + 1, "the run")
    page.browser.run("window.loaded = 'once'")
    return run_key


def shows(page: Page, levels: list[int]) -> None:
    """Until history and plot have these steps, each once, in the page that was loaded before."""
    page.wait(lambda: page.steps() == list(range(len(levels) + 1, 0, -1)), f"{len(levels)} steps")
    page.wait(lambda: [value for _, value in page.points("level")] == [0, *levels], f"levels {levels}")
    assert page.browser.run("return window.loaded") == "once"


def test_a_worker_that_was_away_is_told_and_the_page_goes_on_by_itself(
    page: Page, api: Api, daemon: Any
) -> None:
    run_key = opened(page, api, 1)
    daemon.kill()
    page.wait(lambda: page.link == "Worker away", "that the worker is away")
    page.sees("What is shown is as of", "#banner")
    assert page.steps() == [2, 1]
    page.field("by").fill("5")
    page.click("Call")
    page.sees("WORKER_UNREACHABLE", ".result")
    page.sees("model-worker serve", ".result .advice")
    page.shoot("worker-away")
    daemon.start()
    page.wait(lambda: page.link == "Connected", "that it is back")
    assert page.text("#banner") == ""
    page.click("Send again", ".result")
    page.sees('"level": 6', ".result")
    shows(page, [1, 6])
    play(api, run_key, 10)
    shows(page, [1, 6, 16])


def test_nothing_is_lost_or_repeated_while_the_gateway_is_away(
    page: Page, api: Api, gateway: Gateway, daemon: Any
) -> None:
    run_key = opened(page, api, 1)
    for level in (2, 4):
        gateway.close()
        page.wait(lambda: page.link == "Gateway away", "that the gateway is away")
        with daemon.client() as client:
            client.call_operation(run_key, "play", [1])
            client.call_operation(run_key, "play", [1])
        gateway.start()
        page.wait(lambda: page.link == "Connected", "that it is back")
        shows(page, list(range(1, level + 2)))
    play(api, run_key, 1)
    shows(page, [1, 2, 3, 4, 5, 6])


def test_a_call_whose_answer_was_lost_is_sent_again_and_acts_once(
    page: Page, api: Api, gateway: Gateway, daemon: Any
) -> None:
    run_key = opened(page, api)
    page.field("by").fill("7")
    # The answer is lost where the request went through: the browser reaches nobody while it waits.
    page.browser.run(
        "const real = window.fetch; window.fetch = async (url, options) => {"
        " if (!String(url).includes('/run/operation/')) return real(url, options);"
        " window.fetch = real; await real(url, options); throw new TypeError('lost'); }"
    )
    page.click("Call")
    page.sees("GATEWAY_UNREACHABLE", ".result")
    shows(page, [7])
    page.click("Send again", ".result")
    page.sees('"level": 7', ".result")
    shows(page, [7])
    assert api.result("GET", f"/run/{run_key}")["seq"] == 2
