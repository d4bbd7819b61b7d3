"""Rows of two numbers and a carrier, with labels that depend on them."""

from __future__ import annotations

import numpy as np
import pandas as pd

FEATURES = ["x", "z"]


def carrier_rows():
    """Make 240 rows: features, carrier, the labels y (numbers) and late, and the row's number."""
    draws = np.random.default_rng(0)
    frame = pd.DataFrame(draws.normal(size=(240, 2)), columns=FEATURES)
    frame["carrier"] = np.array(["AA", "DL", "UA"])[draws.integers(3, size=len(frame))]
    frame["y"] = 2 * frame.x - frame.z + (frame.carrier == "DL")
    frame["late"] = frame.y > 0
    return frame.assign(id=np.arange(len(frame)))
