"""A round trip through every layer, step by step, each compared with an independent answer.

As a program of its own (`main`) it writes its reports, one JSON object a line, to a descriptor.
"""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydp_ml.diagnosis.report import Check, failure, not_tried, ok, warning

if TYPE_CHECKING:
    import numpy as np
    from pyspark.sql import DataFrame, SparkSession

Step = tuple[str, Callable[[], Check]]

_ROWS = 1000
_FEATURES = ["a", "b"]
_FRAME = ("id", "CAST(id % 7 AS double) AS a", "sin(id) AS b", "id % 7 + 2 * sin(id) AS y")
_SEVERAL_TIMES_SLOWER = "through Spark's Python workers"
_CLOSE = 1e-9
_END_SECONDS = 10.0
_SINGLE = 1e-4  # XGBoost computes in single precision

STARTS = ("start Ray", "start Spark")
SETTLED = ("from_spark", "to_spark", "StandardScaler", "XGBRegressor", "predict")
STOP = "stop_spark"

_SEE_RAY = "The logs in Ray's folder (/tmp/ray/session_latest/logs) say more."
_REMEDIES = {
    "start Ray": "Do what the error says; end a Ray that was left running (`ray stop`), or other "
    f"work that takes memory and processes. {_SEE_RAY}",
    "start Spark": "Do what the error says, and look at java, memory and loopback above.",
    "from_spark": "Do what the error says, and look at temporary files and open files above. "
    + _SEE_RAY,
    "to_spark": f"Do what the error says. {_SEE_RAY}",
    "StandardScaler": "Do what the error says, and look at the versions above.",
    "XGBRegressor": f"Do what the error says, and look at memory and xgboost above. {_SEE_RAY}",
    "predict": "Do what the error says, and look at the versions above.",
    STOP: "End what is named here, and report it: a session leaves nothing.",
}


class MismatchError(Exception):
    """A layer gave another answer than the independent one: a fault of raydp_ml's."""


def expect(condition: bool, what: str) -> None:
    """Raise `MismatchError` unless `condition`."""
    if not condition:
        raise MismatchError(f"{what}. Report it, with the versions above.")


class Trip:
    """The steps, with what each leaves to the next.

    Parameters
    ----------
    spark : pyspark.sql.SparkSession, optional
        A session that is live; otherwise one is started, and stopped at the end.
    """

    def __init__(self, spark: SparkSession | None = None) -> None:
        self._spark = spark
        self._df: DataFrame | None = None
        self._blocks: Any = None
        self._model: Any = None

    def steps(self) -> Iterator[Step]:
        """Give the steps in their order."""
        if self._spark is None:
            yield from zip(STARTS, (_start_ray, self._start_spark), strict=True)
        settled = (self._export, self._import, self._scale, self._fit, self._predict)
        yield from zip(SETTLED, settled, strict=True)

    def _start_spark(self) -> Check:
        from raydp_ml.session import init_spark

        self._spark = init_spark("raydp_ml doctor")
        return ok(f"Spark {self._spark.version}, mode='local'")

    @property
    def _frame(self) -> DataFrame:
        if self._df is None:
            assert self._spark is not None
            self._df = self._spark.range(0, _ROWS, 1, 2).selectExpr(*_FRAME)
        return self._df

    def _export(self) -> Check:
        import numpy as np

        from raydp_ml.exchange import from_spark

        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            self._blocks = from_spark(self._frame)
        table = self._blocks.to_arrow()
        expect(table.num_rows == _ROWS, f"{table.num_rows} of {_ROWS} rows came to Ray")
        for name, values in _known().items():
            same = np.allclose(table.column(name).to_numpy(), values, rtol=_CLOSE)
            expect(same, f"the column {name!r} came to Ray with other values")
        found = f"{self._blocks.num_rows:,} rows, {self._blocks.nbytes:,} bytes"
        slow = [str(item.message) for item in said if _SEVERAL_TIMES_SLOWER in str(item.message)]
        if slow:
            return warning(f"{found}; {slow[0]}", "Install the Spark that raydp_ml's jar is for.")
        return ok(found)

    def _import(self) -> Check:
        import numpy as np

        from raydp_ml.exchange import to_spark

        frame = to_spark(self._blocks, self._spark)
        count, total = frame.selectExpr("count(1)", "sum(y)").collect()[0]
        known = float(_known()["y"].sum())
        expect(count == _ROWS, f"{count} of {_ROWS} rows came back to Spark")
        expect(np.isclose(total, known, rtol=_CLOSE), f"their sum is {total}, not {known}")
        self._blocks.free()
        return ok(f"{count:,} rows")

    def _scale(self) -> Check:
        import numpy as np

        from raydp_ml.preprocessing import StandardScaler

        scaler = StandardScaler().fit(self._frame.select(*_FEATURES, "y"), "y")
        known = np.column_stack([_known()[name] for name in _FEATURES])
        made = np.array([scaler.mean_, scaler.scale_])
        close = np.allclose(made, [known.mean(axis=0), known.std(axis=0)], rtol=_CLOSE)
        expect(close, f"means and scales, {made.tolist()}, are not NumPy's")
        return ok("means and scales are NumPy's")

    def _fit(self) -> Check:
        from raydp_ml.xgboost import XGBRegressor

        if find_spec("xgboost") is None:
            return not_tried("xgboost")
        model = XGBRegressor(n_estimators=5, num_workers=1, cpus_per_worker=1)
        self._model = model.fit(self._frame.select(*_FEATURES, "y"), "y")
        return ok(f"{_ROWS:,} rows on one worker")

    def _predict(self) -> Check:
        if self._model is None:
            return not_tried("XGBRegressor")
        import numpy as np
        import pandas as pd
        import xgboost

        rows = self._model.predict(self._frame).select("id", "prediction").collect()
        made = np.array([row.prediction for row in sorted(rows)])
        known = pd.DataFrame(_known())
        plain = xgboost.XGBRegressor(n_estimators=5, n_jobs=1)
        plain.fit(known[_FEATURES], known["y"])
        difference = float(np.abs(made - plain.predict(known[_FEATURES])).max())
        expect(difference < _SINGLE, f"predictions differ from plain xgboost's by {difference:g}")
        return ok("predictions are plain xgboost's")


def _start_ray() -> Check:
    from raydp_ml.session import ray_runtime

    ray_runtime.ensure_ray()
    import ray

    return ok(f"Ray {ray.__version__}, {ray.cluster_resources().get('CPU', 0):g} CPUs")


def _stop() -> Check:
    """End the session, and look for what is left of it."""
    from raydp_ml.session import ray_runtime, stop_spark

    own_ray = ray_runtime.is_ours()
    stop_spark()
    expect(not own_ray or not ray_runtime.connection(), "Ray did not end")
    deadline = time.monotonic() + _END_SECONDS
    while (left := _children()) and time.monotonic() < deadline:
        time.sleep(0.05)
    expect(not left, f"these processes did not end: {', '.join(left)}")
    return ok("nothing is left")


def _children() -> list[str]:
    """Names of the living processes that this one started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name, _, rest = (folder / "stat").read_text().partition("(")[2].rpartition(")")
        except OSError:  # it has ended meanwhile
            continue
        state, parent = rest.split()[:2]
        if int(parent) == os.getpid() and state != "Z":
            found.append(name)
    return found


def _known() -> dict[str, np.ndarray]:
    """Compute the rows without Spark."""
    import numpy as np

    ids = np.arange(_ROWS)
    columns = {"a": (ids % 7).astype(float), "b": np.sin(ids)}
    return {**columns, "y": columns["a"] + 2 * columns["b"]}


def report(name: str, step: Callable[[], Check]) -> Check:
    """Do a step; whatever it raises is a failure."""
    begun = time.perf_counter()
    try:
        check = step()
    except Exception as error:
        check = failure(f"{type(error).__name__}: {error}", _REMEDIES[name])
    return replace(check, name=name, seconds=round(time.perf_counter() - begun, 3))


def reports(steps: Iterator[Step]) -> Iterator[Check]:
    """Do steps until one fails; those after it are not tried."""
    failed = ""
    for name, step in steps:
        check = not_tried(failed, name) if failed else report(name, step)
        failed = failed or (name if check.status == "failure" else "")
        yield check


def main(descriptor: int) -> None:
    """Make the trip with a session of its own, and write the reports."""
    os.set_inheritable(descriptor, False)
    with os.fdopen(descriptor, "w", buffering=1) as out:
        for check in reports(Trip().steps()):
            out.write(json.dumps(asdict(check)) + "\n")
        out.write(json.dumps(asdict(report(STOP, _stop))) + "\n")
