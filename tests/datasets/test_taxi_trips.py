"""Generated taxi trips: the tariff recomputed, the dirt at its rates, the same anywhere."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from sklearn.utils._param_validation import InvalidParameterError

from raydp_ml.datasets import make_taxi_trips
from raydp_ml.datasets._taxi_zones import ZONES

N_ROWS = 20_000
AREA = {zone.number: zone.area for zone in ZONES}


@pytest.fixture(scope="module")
def trips(spark):
    return make_taxi_trips(spark, N_ROWS, 0).toPandas()


@pytest.fixture(scope="module")
def clean(trips):
    """Trips that are recorded as they were, with their areas, hours and seconds."""
    seconds = (trips.tpep_dropoff_datetime - trips.tpep_pickup_datetime).dt.total_seconds()
    kept = (trips.fare_amount > 0) & (trips.trip_distance > 0) & (seconds > 0)
    at = trips.tpep_pickup_datetime.dt
    return trips.assign(
        seconds=seconds,
        rush=(at.dayofweek < 5) & at.hour.between(16, 19),
        night=(at.hour >= 20) | (at.hour < 6),
        from_area=trips.PULocationID.map(AREA),
        to_area=trips.DOLocationID.map(AREA),
    )[kept].dropna(subset="RatecodeID")


def test_fares_follow_the_tariff(clean):
    """New York's tariff of 2012, from what the records say alone."""
    fares = []
    for trip in clean.itertuples():
        manhattan = {trip.from_area, trip.to_area} & {"C", "M"}
        if 132 in (trip.PULocationID, trip.DOLocationID) and manhattan and trip.DOLocationID != 1:
            fares.append(52.0)
            continue
        cruising = min(40, 15 + 1.5 * trip.trip_distance)
        waiting = max(0, trip.seconds - 3600 * trip.trip_distance / cruising)
        fare = 2.5 + 0.5 * np.floor(5 * trip.trip_distance + waiting / 60)
        fares.append(fare + (17.5 if trip.DOLocationID == 1 else 0))
    np.testing.assert_allclose(clean.fare_amount, fares, atol=1e-9)
    assert clean.fare_amount.min() >= 2.5


def test_surcharges_follow_hour_weekday_and_place(clean):
    jfk, newark = clean.RatecodeID == 2, clean.RatecodeID == 3
    extra = np.select([clean.rush & jfk, clean.rush, clean.night & ~jfk], [4.5, 1.0, 0.5], 0.0)
    np.testing.assert_array_equal(clean.extra, extra)
    np.testing.assert_array_equal(clean.mta_tax, np.where(newark, 0, 0.5))
    inner = (clean.from_area == "C") | (clean.to_area == "C")
    np.testing.assert_array_equal(clean.congestion_surcharge, np.where(inner, 2.5, 0))
    summands = ["fare_amount", "extra", "mta_tax", "tip_amount", "tolls_amount"]
    summands += ["improvement_surcharge", "congestion_surcharge"]
    np.testing.assert_allclose(clean.total_amount, clean[summands].sum(axis=1), atol=1e-9)
    assert set(clean.tolls_amount) == {0.0, 5.76, 12.5}
    np.testing.assert_array_equal(clean.tolls_amount == 12.5, newark)
    assert (clean.tip_amount[clean.payment_type != 1] == 0).all()
    by_card = clean[clean.payment_type == 1]
    tips = by_card.tip_amount.sum() / (by_card.fare_amount + by_card.tolls_amount).sum()
    assert abs(tips - 0.92 * 0.2) < 0.005


def test_trips_are_skewed_as_real_ones(trips, clean):
    """Shares that were counted in the real trips of March 2019."""
    shares = trips.PULocationID.value_counts(normalize=True)
    assert {161, 237} <= set(shares.index[:6])
    assert shares.iloc[:10].sum() > 0.25
    hours = trips.tpep_pickup_datetime.dt.hour.value_counts(normalize=True)
    assert hours[18] > 5 * hours[4]
    assert trips.tpep_pickup_datetime.between("2019-03-01", "2019-04-01", inclusive="left").all()
    assert 1.3 < clean.trip_distance.median() < 2.5  # 1.64
    assert 7.5 < clean.fare_amount.median() < 11  # 9.5
    speed = clean.trip_distance / clean.seconds * 3600
    assert speed[clean.night].median() > 1.1 * speed[~clean.night].median()


@pytest.mark.parametrize(
    ("rate", "is_wrong"),
    [
        (0.002, lambda t: t.fare_amount < 0),
        (0.006, lambda t: t.trip_distance == 0),
        (0.015, lambda t: t.passenger_count == 0),
        (0.001, lambda t: t.passenger_count == 200),
        (0.01, lambda t: t.passenger_count.isna() & t.RatecodeID.isna()),
        (0.001, lambda t: t.tpep_dropoff_datetime < t.tpep_pickup_datetime),
    ],
)
def test_dirt_occurs_at_its_rate(trips, rate, is_wrong):
    expected, found = rate * N_ROWS, int(is_wrong(trips).sum())
    assert found > 0
    assert abs(found - expected) < 4 * np.sqrt(expected)


def test_the_same_seed_gives_the_same_trips_in_any_partitioning(spark, trips, monkeypatch):
    few = make_taxi_trips(spark, 500, np.random.RandomState(0)).toPandas()
    assert_frame_equal(few, trips[:500])
    whole = type(spark).range
    monkeypatch.setattr(type(spark), "range", lambda *given: whole(*given[:2], numPartitions=7))
    again = make_taxi_trips(spark, N_ROWS, 0)
    assert again.rdd.getNumPartitions() == 7
    assert_frame_equal(again.toPandas(), trips)
    other = make_taxi_trips(spark, 500, 1).toPandas()
    assert (other.trip_distance == few.trip_distance).mean() < 0.05


def test_bad_arguments_are_refused(spark):
    with pytest.raises(InvalidParameterError, match="'n_rows' parameter of make_taxi_trips must"):
        make_taxi_trips(spark, 0)
    with pytest.raises(InvalidParameterError, match="'random_state' parameter of make_taxi_trips"):
        make_taxi_trips(spark, 10, "zero")
    with pytest.raises(InvalidParameterError, match=r"must be a SparkSession.*Got 10 instead"):
        make_taxi_trips(10, 10)
    with pytest.raises(InvalidParameterError, match=r"must be a SparkSession.*Got Empty DataFrame"):
        make_taxi_trips(pd.DataFrame(), 10)
