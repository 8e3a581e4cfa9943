"""Counts; what it answers tells whether anything happened to it."""

count = 0


def tick():
    global count
    count += 1
    return count
