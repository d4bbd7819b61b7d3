"""How a cost grows: the exponent of the power law that fits it best."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Return b of ``cost = a * size ** b``, by least squares of the logarithms.

    Raises
    ------
    ValueError
        For fewer than two different sizes, or anything that has no logarithm.
    """
    if len(set(sizes)) < 2 or len(sizes) != len(costs) or min(*sizes, *costs) <= 0:
        raise ValueError(f"no power law goes through the sizes {sizes} and costs {costs}")
    slope, _ = np.polyfit(np.log(sizes), np.log(costs), 1)
    return float(slope)


def last_exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Return the exponent between the two greatest sizes, where fixed costs weigh least."""
    pairs = sorted(zip(sizes, costs, strict=True))[-2:]
    return exponent(*zip(*pairs, strict=True))
