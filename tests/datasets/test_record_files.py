"""Files in the layouts of the data sets: they read as what was written, or say what is wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from sklearn.utils._param_validation import InvalidParameterError

from raydp_ml.datasets import (
    make_light_curves,
    make_taxi_trips,
    read_light_curves,
    read_taxi_trips,
)
from raydp_ml.exceptions import SchemaError
from tests.examples.modules import REAL_TRIPS, write_challenge


@pytest.fixture(scope="module")
def trips(spark):
    return make_taxi_trips(spark, 2000, 3).toPandas()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["my trips.csv", "trips.csv.gz", "trips.parquet"])
def test_trips_read_as_they_were_written(spark, trips, tmp_path, name):
    rows = trips.assign(color="yellow")
    rows = rows.astype({"payment_type": float})  # as pandas has whole numbers where some are null
    if name.endswith("parquet"):
        rows.to_parquet(tmp_path / name, coerce_timestamps="us")  # as the city's
    else:
        rows.to_csv(tmp_path / name, index=False)
    read = read_taxi_trips(spark, tmp_path / name)
    assert read.dtypes == [*make_taxi_trips(spark, 1).dtypes, ("color", "string")]
    order = ["tpep_pickup_datetime", "trip_distance"]
    found, expected = (
        frame.sort_values(order, ignore_index=True)
        for frame in (read.toPandas(), trips.assign(color="yellow"))
    )
    assert_frame_equal(found, expected)


@pytest.mark.skipif(not REAL_TRIPS.exists(), reason=f"not there: {REAL_TRIPS}")
def test_real_trips_read_as_pandas_reads_them(spark):
    expected = pd.read_csv(
        REAL_TRIPS, parse_dates=["tpep_pickup_datetime", "tpep_dropoff_datetime"]
    )
    found = read_taxi_trips(spark, str(REAL_TRIPS)).toPandas()
    assert list(found.columns) == list(expected.columns)
    own = [name for name, _ in make_taxi_trips(spark, 1).dtypes]
    assert_frame_equal(found[own], expected[own], check_dtype=False)
    assert found.fare_amount.dtype == np.float64


def test_light_curves_read_as_they_were_written(spark, tmp_path):
    tables = [table.toPandas() for table in make_light_curves(spark, 30, 2)]
    write_challenge(tables, tmp_path, na_rep="NaN")
    for read, table in zip(read_light_curves(spark, tmp_path), tables, strict=True):
        keys = [name for name in ("object_id", "passband", "mjd") if name in table]
        found, expected = (
            each.sort_values(keys, ignore_index=True) for each in (read.toPandas(), table)
        )
        assert_frame_equal(found, expected, rtol=1e-15)
    assert read.where("distmod is null").count() == table.distmod.isna().sum() > 0


def test_files_that_do_not_fit_are_refused(spark, trips, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file or folder .*none\.parquet"):
        read_taxi_trips(spark, tmp_path / "none.parquet")
    text = tmp_path / "text.parquet"
    text.write_text("no Parquet")
    with pytest.raises(SchemaError, match=r"cannot read .*text\.parquet as Parquet: "):
        read_taxi_trips(spark, text)
    narrow = tmp_path / "narrow.csv"
    trips.drop(columns=["RatecodeID", "fare_amount"]).to_csv(narrow, index=False)
    with pytest.raises(SchemaError, match=r"narrow\.csv lacks the columns \['RatecodeID', 'fare_a"):
        read_taxi_trips(spark, narrow)
    wrong = trips[:3].assign(fare_amount=["1", "much", "NaN"], tpep_pickup_datetime="noon")
    wrong.to_csv(tmp_path / "wrong.csv", index=False)
    text = (
        r"wrong\.csv: column 'tpep_pickup_datetime' has 'noon', and must be of type timestamp_ntz; "
    )
    text += "column 'fare_amount' has 'much', and must be of type double$"
    with pytest.raises(SchemaError, match=text):
        read_taxi_trips(spark, tmp_path / "wrong.csv")
    wrong = trips[:3].assign(passenger_count=[1.0, None, 1e12])
    wrong.to_parquet(tmp_path / "wrong.parquet", coerce_timestamps="us")
    text = (
        r"wrong\.parquet: column 'passenger_count' has 1000000000000\.0, and must be of type int$"
    )
    with pytest.raises(SchemaError, match=text):
        read_taxi_trips(spark, tmp_path / "wrong.parquet")

    tables = [table.drop("target").toPandas() for table in make_light_curves(spark, 3)]
    write_challenge(tables, tmp_path)
    with pytest.raises(SchemaError, match=r"metadata\.csv lacks the columns \['target'\]; it has"):
        read_light_curves(spark, tmp_path)
    (tmp_path / "training_set_metadata.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"no file or folder .*training_set_metadata\.csv"):
        read_light_curves(spark, str(tmp_path))


def test_bad_arguments_are_refused(spark, trips, tmp_path):
    with pytest.raises(InvalidParameterError, match="'path' parameter of read_taxi_trips must be"):
        read_taxi_trips(spark, 10)
    with pytest.raises(InvalidParameterError, match="'folder' parameter of read_light_curves must"):
        read_light_curves(spark, None)
    trips.to_parquet(tmp_path / "trips.parquet")
    with pytest.raises(InvalidParameterError, match=r"must be a SparkSession.*Got None instead"):
        read_taxi_trips(None, tmp_path / "trips.parquet")
