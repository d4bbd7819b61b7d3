"""Data sets that Spark generates itself, for examples, tests and measurements of any size."""

from __future__ import annotations

from raydp_ml.datasets._light_curves import make_light_curves
from raydp_ml.datasets._taxi_trips import make_taxi_trips

__all__ = ["make_light_curves", "make_taxi_trips"]
