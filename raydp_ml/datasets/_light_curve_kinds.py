"""Classes of variable objects: how many, how bright, how far, and how their brightness changes."""

from __future__ import annotations

from typing import NamedTuple

from raydp_ml.datasets._draws import Draws


class Kind(NamedTuple):
    """A class of objects.

    `objects` are how many the challenge's training set has. `magnitude` and `spread` are of the
    amplitude in the band r: absolute, or apparent for objects of the Galaxy, whose `redshift` (a
    median) is 0. `rise`, `fall` and `plateau` are rest-frame days; `colours` are magnitudes
    relative to r, from u to y.
    """

    target: int
    objects: int
    shape: str
    magnitude: float
    spread: float
    redshift: float
    colours: tuple[float, float, float, float, float, float]
    rise: float = 1
    fall: float = 1
    plateau: float = 0


KINDS = [
    Kind(6, 151, "lensed", 21, 1.2, 0, (1, 0.4, 0, -0.2, -0.3, -0.35)),
    Kind(15, 495, "disrupted", -19.9, 0.7, 0.3, (-0.4, -0.3, 0, 0.1, 0.2, 0.3), 12, 45),
    Kind(16, 924, "eclipsing", 18, 1.2, 0, (0.8, 0.4, 0, -0.1, -0.2, -0.2)),
    Kind(42, 1193, "exploding", -17.3, 0.8, 0.18, (1.2, 0.3, 0, 0, 0, 0.1), 3, 25, 80),
    Kind(52, 183, "exploding", -17.4, 0.7, 0.15, (1.5, 0.4, 0, 0, 0.1, 0.2), 4, 16),
    Kind(53, 30, "pulsating", 15.5, 1, 0, (5, 2.2, 0, -2, -3, -3.4)),
    Kind(62, 484, "exploding", -17.6, 0.7, 0.16, (1.8, 0.7, 0, -0.1, -0.1, 0), 5, 22),
    Kind(64, 102, "exploding", -15.8, 0.6, 0.03, (1.5, 0.6, 0, -0.4, -0.6, -0.7), 0.4, 3),
    Kind(65, 981, "flaring", 19.5, 1.3, 0, (-1.5, -0.6, 0, 0.8, 1.4, 1.8)),
    Kind(67, 208, "exploding", -17.9, 0.4, 0.15, (2.2, 0.9, 0, -0.2, -0.2, -0.3), 5, 14),
    Kind(88, 370, "flickering", -21, 1, 0.9, (-0.2, -0.1, 0, 0, 0, 0)),
    Kind(90, 2313, "rebounding", -19.3, 0.2, 0.35, (1.5, 0.2, 0, 0.2, 0.3, 0.4), 4, 20),
    Kind(92, 239, "ringing", 17.5, 1, 0, (0.5, -0.1, 0, 0.1, 0.15, 0.2)),
    Kind(95, 175, "exploding", -21.6, 0.6, 0.8, (0.5, 0, 0, 0.1, 0.2, 0.3), 14, 50),
]

# Shortest and longest periods, in days, of the shapes that repeat.
PERIODS = {"eclipsing": (0.3, 8.0), "pulsating": (120.0, 500.0), "ringing": (0.35, 0.85)}

_TURNS = "(mjd - peak) / period"
_RISING = "(1 + exp(-age / rise))"
_SLOWER = "array(0.6D, 0.8D, 1D, 1.15D, 1.25D, 1.3D)[passband]"  # redder light falls slower
_FALLING = f"exp(-greatest(age - plateau, 0) / (fall * {_SLOWER})) / {_RISING}"
_REBOUND = "if(passband > 2, 0.35D * exp(-pow((age - 25) / 8, 2) / 2), 0D)"
_LENS = "(pow(closest, 2) + pow((mjd - peak) / einstein, 2))"
_FROM_ECLIPSE = f"({_TURNS} - round({_TURNS}))"


def shapes(draws: Draws) -> dict[str, str]:
    """Brightness at ``mjd`` in the amplitude's unit, by the name of a shape.

    The formulas are in `make_light_curves`. Of a band, ``passband`` is the number; ``age`` is in
    rest-frame days since ``peak``.
    """
    turns = [f"{2.0**k!r}D * age / 1000 + {draws.uniform(f'wave {k}')}" for k in range(5)]
    waves = [f"{2 ** (-k / 2)!r}D * sin(2 * pi() * ({turn}))" for k, turn in enumerate(turns)]
    block = Draws((*draws.keys, "int(floor(mjd * 4))"), draws.seed)
    flare = f"exp(-pmod(mjd, 0.25D) / 0.08D + 0.7D * {block.normal('flare')})"
    from_second = f"(pmod({_TURNS}, 1) - 0.5D)"
    depth = draws.uniform("second eclipse")
    second = f"{depth} * exp(-pow({from_second} / 0.04D, 2) / 2)"
    return {
        "lensed": f"({_LENS} + 2) / sqrt({_LENS} * ({_LENS} + 4)) - 1",
        "disrupted": f"pow(1 + greatest(age, 0) / fall, -5 / 3D) / {_RISING}",
        "eclipsing": f"-exp(-pow({_FROM_ECLIPSE} / 0.04D, 2) / 2) - {second}",
        "exploding": _FALLING,
        "rebounding": f"{_FALLING} + {_REBOUND}",
        "pulsating": f"cos(2 * pi() * {_TURNS})",
        "ringing": f"least(pmod({_TURNS}, 1) / 0.15D, (1 - pmod({_TURNS}, 1)) / 0.85D) - 0.5D",
        "flaring": f"if({block.happens('flares', 0.03)}, {flare}, 0D)",
        "flickering": " + ".join(waves),
    }
