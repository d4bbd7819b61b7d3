"""pandas and polars frames as Spark DataFrames, beside what Spark itself makes of them."""

from __future__ import annotations

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest

from raydp_ml import to_spark
from raydp_ml.exceptions import SchemaError

DAY, TIME = datetime.date(2020, 2, 29), datetime.datetime(2021, 3, 4, 5, 6, 7, 89)


@pytest.fixture(scope="module")
def columns():
    return {
        "i": [1, 2, 3],
        "x": [0.5, np.nan, -0.0],
        "s": ["a", None, "ü"],
        "b": [True, False, True],
        "d": [DAY, None, DAY],
        "t": [TIME, None, TIME],
        "m": [Decimal("1.25"), None, Decimal("-3.50")],
        "v": [[1.0, 2.0], None, []],
    }


def test_pandas(spark, columns):
    frame = pd.DataFrame(columns, index=[7, 7, 9])
    frame["small"] = frame["i"].astype("int8")
    frame["when"] = pd.to_datetime(frame["t"])
    df = to_spark(frame, spark)
    own = spark.createDataFrame(frame.drop(columns="m"))
    # Spark reads times without a zone in its own zone, and prints the same ones.
    assert [kind.replace("_ntz", "") for _, kind in df.drop("m").dtypes] == [
        kind for _, kind in own.dtypes
    ]
    assert df.drop("m").collect() == own.collect()
    assert df.schema["m"].dataType.simpleString() == "decimal(3,2)"
    assert [row[0] for row in df.select("m").collect()] == columns["m"]


def test_pandas_categories_are_strings(spark):
    frame = pd.DataFrame({"c": pd.Categorical(["u", None, "v"])})
    df = to_spark(frame, spark)
    assert df.dtypes == [("c", "string")]
    assert [row[0] for row in df.collect()] == ["u", None, "v"]


@pytest.mark.parametrize("lazy", [False, True], ids=["frame", "lazy"])
def test_polars(spark, columns, lazy):
    frame = pl.DataFrame({**columns, "c": pl.Series(["u", None, "u"], dtype=pl.Categorical)})
    df = to_spark(frame.lazy() if lazy else frame, spark)
    kinds = ["bigint", "double", "string", "boolean", "date", "timestamp_ntz"]
    assert [kind for _, kind in df.dtypes][:6] == kinds
    assert dict(df.dtypes)["v"] == "array<double>"
    assert dict(df.dtypes)["c"] == "string"
    rows = [row.asDict() for row in df.collect()]
    assert str(rows[1].pop("x")) == "nan"  # polars tells NaN from null
    wanted = frame.rows(named=True)
    del wanted[1]["x"]
    assert rows == wanted


def test_an_empty_frame(spark):
    df = to_spark(pd.DataFrame({"x": np.zeros(0), "s": pd.Series([], dtype=str)}), spark)
    assert (df.count(), df.columns) == (0, ["x", "s"])


def test_other_objects_are_refused(spark):
    with pytest.raises(SchemaError, match=r"a pandas or a polars DataFrame; got builtins\.list"):
        to_spark([[1]], spark)
    with pytest.raises(SchemaError, match="Arrow cannot take"):
        to_spark(pd.DataFrame({"x": [1, "a"]}), spark)
    with pytest.raises(SchemaError, match=r"several columns named \['x'\]. Rename them"):
        to_spark(pd.DataFrame([[1, 2]], columns=["x", "x"]), spark)


def test_polars_types_that_arrow_has_not(spark):
    frame = pl.DataFrame({"n": [1, 2], "o": pl.Series([object(), {"a": 1}], dtype=pl.Object)})
    with pytest.raises(SchemaError, match=r"'o' of the polars DataFrame has the type Object.*'o'"):
        to_spark(frame, spark)
    mended = frame.select("n", pl.col("o").map_elements(repr, return_dtype=pl.String))
    assert to_spark(mended, spark).collect()[1].o == "{'a': 1}"
    for kind in (pl.Int128, pl.UInt128):
        wide = pl.DataFrame({"i": pl.Series([2**100, None], dtype=kind)})
        nested = wide.select(pl.struct("i").alias("s"), pl.concat_list("i").alias("l"))
        for data in (wide, wide.lazy(), nested.select("s"), nested.select("l")):
            with pytest.raises(SchemaError, match=r"Int128.*Arrow has not.*pl\.Decimal\(38, 0\)"):
                to_spark(data, spark)
        rows = to_spark(wide.with_columns(pl.col("i").cast(pl.Decimal(38, 0))), spark).collect()
        assert [row.i for row in rows] == [2**100, None]
    named = pl.DataFrame({"e": pl.Series(["Object"], dtype=pl.Enum(["Object", "Int128"]))})
    assert [row.e for row in to_spark(named, spark).collect()] == ["Object"]
