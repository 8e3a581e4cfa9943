"""A model that has used numpy and pandas."""

import numpy as np
import pandas as pd

frame = pd.DataFrame({"x": np.arange(200.0)})


def step():
    return float(frame["x"].rolling(7).mean().sum())
