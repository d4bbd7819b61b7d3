"""The taxi story: what its fares explain, beside scikit-learn on real trips; its bad arguments."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import r2_score, root_mean_squared_error

from raydp_ml.datasets import make_taxi_trips, read_taxi_trips
from tests.examples.modules import (
    REAL_TRIPS,
    execute_notebook,
    import_example,
    pictures,
    printed,
    run_main,
)
from tests.fresh_folder import assert_one_line_and_exit_code_2, run_example


def scores(text):
    """RMSE and R² by the name of the model, from what the program printed."""
    rows = re.findall(r"^(distance_only|xgboost|torch) +(\d+\.\d+) +(-?\d\.\d+)$", text, re.M)
    return {name: (float(rmse), float(r2)) for name, rmse, r2 in rows}


def assert_explains_fares(found):
    assert set(found) == {"distance_only", "xgboost", "torch"}
    for name in ("xgboost", "torch"):
        assert found[name][1] >= 0.8
    assert found["xgboost"][0] <= 0.8 * found["distance_only"][0]


@pytest.mark.slow
def test_generated_trips(tmp_path):
    done = run_example("nyc_taxi", "--rows", "8000", "--output", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert_explains_fares(scores(done.stdout))
    counts = re.search(r"8,000 trips: ([\d,]+) to learn from, ([\d,]+) held out", done.stdout)
    learnt, held_out = (int(count.replace(",", "")) for count in counts.groups())
    assert 0.92 * 8000 < learnt + held_out < 0.99 * 8000  # some 3 % of the trips are dirt
    assert abs(held_out / (learnt + held_out) - 0.2) < 0.02
    assert (tmp_path / "out" / "fares.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
@pytest.mark.skipif(not REAL_TRIPS.exists(), reason=f"not there: {REAL_TRIPS}")
def test_real_trips_beside_scikit_learn(spark):
    example = import_example("nyc_taxi")
    train, test = example.split(spark, read_taxi_trips(spark, REAL_TRIPS))
    predicted = example.learn(train, test, workers=2)
    rmse, r2 = example.score(predicted, "xgboost")
    rows, held_out = train.toPandas(), test.toPandas()
    features = [name for name in rows.columns if name != "fare"]
    peer = HistGradientBoostingRegressor(random_state=0).fit(rows[features], rows.fare)
    assert rmse <= 1.03 * root_mean_squared_error(held_out.fare, peer.predict(held_out[features]))
    assert r2 >= 0.8
    # The scores that Spark computes are scikit-learn's.
    pairs = predicted.toPandas()
    assert rmse == pytest.approx(root_mean_squared_error(pairs.fare, pairs.xgboost), rel=1e-9)
    assert r2 == pytest.approx(r2_score(pairs.fare, pairs.xgboost), rel=1e-9)
    line = np.polyfit(rows.miles, rows.fare, 1)
    np.testing.assert_allclose(pairs.distance_only, np.polyval(line, held_out.miles), rtol=1e-6)


@pytest.mark.slow
def test_features_know_nothing_of_the_fare_and_come_from_clean_trips(spark, tmp_path):
    example = import_example("nyc_taxi")
    trips = make_taxi_trips(spark, 3000, 5)
    train, test = example.split(spark, trips)
    named = {"miles", "minutes", "speed", "passengers", "from_zone", "to_zone", "jfk", "newark"}
    assert set(train.columns) == named | {"hour", "weekday", "fare"}
    rows = trips.toPandas()
    seconds = (rows.tpep_dropoff_datetime - rows.tpep_pickup_datetime).dt.total_seconds()
    clean = (rows.fare_amount > 0) & (rows.trip_distance > 0) & rows.passenger_count.between(1, 9)
    clean = rows[clean & seconds.between(60, 3 * 3600) & rows.RatecodeID.notna()]
    ours = pd.concat([train.toPandas(), test.toPandas()])
    for name, theirs in {
        "fare": clean.fare_amount,
        "miles": clean.trip_distance,
        "minutes": seconds[clean.index] / 60,
        "weekday": clean.tpep_pickup_datetime.dt.dayofweek,
        "to_zone": clean.DOLocationID,
        "jfk": ((clean.PULocationID == 132) | (clean.DOLocationID == 132)).astype(int),
    }.items():
        np.testing.assert_allclose(np.sort(ours[name]), np.sort(theirs), rtol=1e-9, err_msg=name)
    # CSV and Parquet files give the same features as the trips that were written to them.
    rows.to_csv(tmp_path / "trips.csv", index=False)
    rows.to_parquet(tmp_path / "trips.parquet", coerce_timestamps="us")  # as the city's
    for path in tmp_path.iterdir():
        again, _ = example.split(spark, read_taxi_trips(spark, path))
        assert again.exceptAll(train).count() == train.exceptAll(again).count() == 0


def test_bad_arguments(tmp_path):
    (tmp_path / "text.parquet").write_text("no Parquet")
    pd.DataFrame({"fare_amount": [1.0]}).to_csv(tmp_path / "narrow.csv", index=False)
    for arguments, text in {
        ("--data", "none.csv"): "nyc_taxi.py: error: there is no file or folder none.csv",
        ("--data", "text.parquet"): "error: cannot read text.parquet as Parquet: ",
        ("--data", "narrow.csv"): "'DOLocationID']; it has ['fare_amount']",
        ("--rows", "0"): "--rows and --workers must be at least 1",
        ("--rows", "x"): "error: argument --rows: invalid int value: 'x'",
    }.items():
        done = run_main("nyc_taxi", *arguments, "--output", "out", cwd=tmp_path)
        assert_one_line_and_exit_code_2(done, text)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_too_few_clean_trips_are_said_to_be_too_few(spark, tmp_path):
    done = run_main("nyc_taxi", "--rows", "30", "--output", "out", cwd=tmp_path, spark=spark)
    assert done.returncode == 2
    assert "at least 20 clean trips to learn from and 20 to test are needed; got [2" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_notebook(tmp_path):
    notebook = execute_notebook("nyc_taxi", tmp_path)
    assert_explains_fares(scores(printed(notebook)))
    assert pictures(notebook) == 1
    assert not list(tmp_path.iterdir())
