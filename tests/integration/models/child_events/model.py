import random

from epicenter import Epicenter

events = []


def handler(name):
    def handle():
        events.append([name, random.random()])
        print("handling", name)
        Epicenter.record("events", events)
        if name == "onCloned":
            raise ValueError("bad clone")

    return handle


for name in ("onInitialized", "onRestored", "onCloned"):
    Epicenter.subscribe(name, print)
    Epicenter.subscribe(name, handler(name))
Epicenter.subscribe("onRestored", None)
print("body")


def draw():
    print("drawing")
    return random.random()


def again():
    return Epicenter.publish("onRestored"), Epicenter.publish("nothing")
