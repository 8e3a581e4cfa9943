"""A small numpy model."""

import numpy as np

state = np.zeros(100)


def step():
    global state
    state = state + np.random.normal(size=100)
    return float(state.mean())
