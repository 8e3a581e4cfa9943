"""The smallest model that does something: one counter."""

count = 0


def step(by=1):
    global count
    count += by
    return count


def look():
    return count
