"""Rows of all kinds, for the cases."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    a, b, c = rng.random((3, 160)).round(3) * np.array([[3], [1], [2]])
    holes = np.where(rng.random(160) < 0.2, np.nan, a)
    s = rng.choice(["u", "v", "ü"], 160)
    i = (a + rng.random(160) > 2).astype(int)
    word = np.where(a + b + rng.random(160) > 2.5, "yes", "no")
    t = [" ".join(rng.choice(["red", "green", "blue"], 3)) for _ in range(160)]
    y = a - 2 * b + rng.random(160)
    return pd.DataFrame(
        {"a": a, "b": b, "c": c, "holes": holes, "s": s, "i": i, "word": word, "t": t, "y": y}
    )
