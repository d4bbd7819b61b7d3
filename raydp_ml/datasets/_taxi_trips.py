"""`make_taxi_trips` and `read_taxi_trips`."""

from __future__ import annotations

import os
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils._param_validation import Interval, validate_params

from raydp_ml.datasets._draws import Draws, seed_of
from raydp_ml.datasets._record_files import check_columns, read_records
from raydp_ml.datasets._taxi_zones import JFK, NEWARK, ZONES
from raydp_ml.exchange.jvm import check_session
from raydp_ml.exchange.sql_text import select
from raydp_ml.spark_jobs.expressions import array_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# Pick-ups per 1,000 by hour, and how much waiting the traffic of an hour causes, from 0 to 23.
_WEEKDAY = "22 10 10 6 5 9 26 42 58 54 52 41 48 45 52 53 54 61 70 64 59 61 51 47"
_WEEKEND = "54 33 30 22 18 6 10 16 28 40 51 57 59 58 63 48 47 55 54 61 54 41 48 45"
_WEEKDAY_JAM = ".5 .4 .3 .3 .2 .2 .4 .7 1.1 1.2 1.2 1.2 1.2 1.2 1.2 1.1 1.2 1.1 1.1 1 .9 .8 .7 .7"
_WEEKEND_JAM = ".7 .6 .5 .5 .4 .2 .2 .2 .4 .5 .7 .9 .9 1 1.1 1 1.1 1 1 1 .8 .8 .8 .6"
_PASSENGERS = [0.71, 0.15, 0.04, 0.02, 0.05, 0.03]  # 1 to 6

DIRT = {
    "negative": 0.002,
    "no distance": 0.006,
    "nobody": 0.015,
    "crowd": 0.001,
    "unrecorded": 0.01,
    "clock": 0.001,
}
"""Shares of the trips that are recorded wrongly; each kind is drawn independently."""


@validate_params(
    {"n_rows": [Interval(Integral, 1, None, closed="left")], "random_state": ["random_state"]},
    prefer_skip_nested_validation=True,
)
def make_taxi_trips(
    spark: SparkSession,
    n_rows: int = 100_000,
    random_state: int | np.random.RandomState | None = None,
) -> DataFrame:
    """Generate taxi trips in the record layout of New York's public trip records.

    The trips are of March 2019, when the tariff of 2012 was in force, with the surcharges of
    2019. They are recorded as carelessly as real ones: see Notes.

    Parameters
    ----------
    spark : pyspark.sql.SparkSession
        The session that generates the trips, lazily.
    n_rows : int, default=100_000
        Number of trips.
    random_state : int, RandomState instance or None, default=None
        An int gives the same trips on any cluster, in any partitioning.

    Returns
    -------
    pyspark.sql.DataFrame of n_rows rows
        ``VendorID`` (1 or 2), ``tpep_pickup_datetime`` and ``tpep_dropoff_datetime`` (local time,
        without zone), ``passenger_count``, ``trip_distance`` (miles), ``RatecodeID`` (1 standard,
        2 JFK, 3 Newark), ``store_and_fwd_flag``, ``PULocationID``, ``DOLocationID`` (taxi zones),
        ``payment_type`` (1 card, 2 cash, 3 no charge, 4 dispute) and, in dollars,
        ``fare_amount``, ``extra``, ``mta_tax``, ``tip_amount``, ``tolls_amount``,
        ``improvement_surcharge``, ``total_amount`` and ``congestion_surcharge``.

    Raises
    ------
    InvalidParameterError
        A parameter is of the wrong type or out of range.
    SessionError
        The session was stopped.

    See Also
    --------
    read_taxi_trips : Real trips, from files.
    make_light_curves : Light curves of astronomical objects.

    Notes
    -----
    *Route.* Pick-ups fall on zones as often as real ones. Of the zones for the drop-off, each has a
    probability in proportion to its frequency times exp(-s / 1.5), where s is the straight distance
    in miles (times 1 / 12 for trips from or to an airport). The distance driven is
    (0.4 + 1.3 s) exp(0.2 n) with a standard normal n, rounded to 0.01.

    *Time.* A taxi cruises at min(40, 15 + 1.5 d) miles an hour on a trip of d miles, and waits
    (2.5 + 1.1 d) c exp(0.35 n) minutes, where c is the traffic of the hour: 0.2 at five in the
    morning, 1.2 on a working day at noon.

    *Fare* (New York City TLC, taxi fare of 2012), of the distance d and the seconds t that are
    recorded: $2.50, and $0.50 for each full unit of 1/5 mile or 60 seconds of waiting, that is for
    floor(5 d + w / 60) with w = max(0, t - 3600 d / cruising speed). It is $52 between Manhattan
    and JFK; to Newark Airport, $17.50 are added. ``extra`` is $1 on working days from 16 to 20
    o'clock ($4.50 at the rate to JFK) and $0.50 from 20 to 6 o'clock (not at the rate to JFK).
    ``mta_tax`` is $0.50 but to Newark, ``improvement_surcharge`` $0.30, ``congestion_surcharge``
    $2.50 for trips that begin or end in Manhattan south of 96th Street. Tolls of $5.76 are paid on
    60 % of the trips between Manhattan and an airport and 15 % of those between Manhattan and
    another borough, and $12.50 to Newark. Of those who pay by card, 92 % tip about 20 %.
    ``total_amount`` is the sum.

    *Dirt*, drawn independently: 0.2 % have all their amounts negated (refunds), 0.6 % no distance,
    1.5 % nobody and 0.1 % 200 passengers, 1 % null passengers, rate code and flag, and 0.1 % end
    an hour before they begin. The fare is always that of the true trip.

    Examples
    --------
    >>> from raydp_ml.datasets import make_taxi_trips
    >>> trips = make_taxi_trips(spark, n_rows=1000, random_state=0)  # doctest: +SKIP
    >>> trips.where("fare_amount > 0").groupBy("RatecodeID").avg("fare_amount")  # doctest: +SKIP
    """
    check_session(spark, "make_taxi_trips")
    draws = Draws(("id",), seed_of(random_state))
    trips = spark.range(n_rows)
    for columns in (_when_and_where(draws), _ROUTE, _journey(draws), _METER, _charges(draws)):
        trips = select(trips, "*", *columns)
    return select(trips, *_record(draws))


_NEEDED = ["tpep_pickup_datetime", "tpep_dropoff_datetime", "passenger_count", "trip_distance"]
_NEEDED += ["RatecodeID", "PULocationID", "DOLocationID", "fare_amount"]


@validate_params({"path": [str, os.PathLike]}, prefer_skip_nested_validation=True)
def read_taxi_trips(spark: SparkSession, path: str | os.PathLike[str]) -> DataFrame:
    """Read New York's public trip records of yellow taxis, as they can be downloaded.

    Parameters
    ----------
    spark : pyspark.sql.SparkSession
        The session that reads the trips. It looks at the columns whose type is another in the
        file at once (in CSV: all), and reads the rest lazily.
    path : str or path-like
        A file or folder on this machine; CSV with a header if its name ends in ``.csv``
        (``.csv.gz``, ...), else Parquet.

    Returns
    -------
    pyspark.sql.DataFrame
        The file's columns. Those that `make_taxi_trips` has too are of the types that they have
        there, with null for NaN.

    Raises
    ------
    FileNotFoundError
        There is no such file or folder.
    SchemaError
        It cannot be read, or lacks one of the two times, ``passenger_count``,
        ``trip_distance``, ``RatecodeID``, ``PULocationID``, ``DOLocationID`` and
        ``fare_amount``, or has a value that is no time or no number.
    SessionError
        The session was stopped.
    InvalidParameterError
        `path` or `spark` is of the wrong type.

    See Also
    --------
    make_taxi_trips : Trips in this layout that Spark generates.

    Examples
    --------
    >>> from raydp_ml.datasets import read_taxi_trips
    >>> trips = read_taxi_trips(spark, "yellow_tripdata_2019-03.parquet")  # doctest: +SKIP
    """
    check_columns(Path(path), _NEEDED)
    check_session(spark, "read_taxi_trips")
    return read_records(spark, Path(path), make_taxi_trips(spark, 1))


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.split()]


def _miles() -> np.ndarray:
    """Straight distance between any two zones: a degree of latitude is 69 miles."""
    latitude, longitude = np.array([(zone.latitude, zone.longitude) for zone in ZONES]).T
    east = np.subtract.outer(longitude, longitude) * np.cos(np.radians(40.75))
    return 69 * np.hypot(np.subtract.outer(latitude, latitude), east)


def _when_and_where(draws: Draws) -> list[str]:
    frequency = np.array([zone.frequency for zone in ZONES])
    airport = np.array([zone.area in "AN" for zone in ZONES])
    nearness = np.where(airport[:, None] | airport, 1 / 12, np.exp(-_miles() / 1.5))
    np.fill_diagonal(nearness, np.where(airport, 0, 1))
    # A New York taxi takes nobody from Newark.
    pickups = frequency * [zone.number != NEWARK for zone in ZONES]
    hours = [_numbers(_WEEKDAY), _numbers(_WEEKEND)]
    day = f"int(floor(31 * {draws.uniform('day')}))"
    weekend = f"int(({day} + 4) % 7 >= 5)"  # 1 March 2019 was a Friday
    pickup = draws.index("pickup", pickups)
    return [
        f"{day} as day",
        f"{weekend} as weekend",
        f"{draws.index('hour', hours, weekend)} as hour",
        f"int(floor(3600 * {draws.uniform('second')})) as second",
        f"{pickup} as pickup",
        f"{draws.index('dropoff', nearness * frequency, pickup)} as dropoff",
    ]


_AREAS = f"split('{','.join(zone.area for zone in ZONES)}', ',')"
_JAMS = array_of(_numbers(_WEEKDAY_JAM) + _numbers(_WEEKEND_JAM))
_ROUTE = [
    f"{array_of(_miles().ravel())}[pickup * {len(ZONES)} + dropoff] as straight",
    f"{_JAMS}[weekend * 24 + hour] as traffic",
    f"{array_of([zone.number for zone in ZONES])}[pickup] as from_zone",
    f"{array_of([zone.number for zone in ZONES])}[dropoff] as to_zone",
    f"array({_AREAS}[pickup], {_AREAS}[dropoff]) as areas",
    "weekend = 0 and hour between 16 and 19 as rush",
]


def _journey(draws: Draws) -> list[str]:
    miles = f"round((0.4D + 1.3D * straight) * exp(0.2D * {draws.normal('detour')}), 2)"
    return [
        f"{miles} as miles",
        f"least(40D, 15 + 1.5D * {miles}) as speed",
        f"(2.5D + 1.1D * {miles}) * traffic * exp(0.35D * {draws.normal('waiting')}) as waiting",
        "arrays_overlap(areas, array('C', 'M')) as manhattan",
        f"case when to_zone = {NEWARK} then 3 when {JFK} in (from_zone, to_zone) "
        "and arrays_overlap(areas, array('C', 'M')) then 2 else 1 end as rate",
    ]


_METER = ["int(round(3600 * miles / speed + 60 * waiting)) as seconds"]


def _charges(draws: Draws) -> list[str]:
    """Amounts of money, in dollars."""
    units = "floor(5 * miles + greatest(0D, seconds - 3600 * miles / speed) / 60)"
    toll = (
        "case when rate = 3 then 12.5D when not manhattan then 0D "
        f"when array_contains(areas, 'A') then 5.76D * int({draws.happens('bridge', 0.6)}) "
        f"when array_contains(areas, 'O') then 5.76D * int({draws.happens('tunnel', 0.15)}) "
        "else 0D end"
    )
    fare = f"if(rate = 2, 52D, 2.5D + 0.5D * {units} + if(rate = 3, 17.5D, 0D))"
    by_card = f"{draws.uniform('payment')} < 0.71D"
    generosity = f"greatest(0D, 0.2D + 0.05D * {draws.normal('generosity')})"
    tip = f"if({by_card} and {draws.happens('tips', 0.92)}, {generosity} * ({fare} + {toll}), 0D)"
    return [
        f"{fare} as fare",
        "case when rush then if(rate = 2, 4.5D, 1D) "
        "when rate != 2 and (hour >= 20 or hour < 6) then 0.5D else 0D end as extra",
        "if(rate = 3, 0D, 0.5D) as tax",
        f"round({tip}, 2) as tip",
        f"{toll} as toll",
        "0.3D as improvement",
        "if(array_contains(areas, 'C'), 2.5D, 0D) as congestion",
    ]


_AMOUNTS = {
    "fare": "fare_amount",
    "extra": "extra",
    "tax": "mta_tax",
    "tip": "tip_amount",
    "toll": "tolls_amount",
    "improvement": "improvement_surcharge",
    "fare + extra + tax + tip + toll + improvement + congestion": "total_amount",
    "congestion": "congestion_surcharge",
}
"""What is computed, and under which name it is published."""


def _record(draws: Draws) -> list[str]:
    """Columns as the city publishes them, with the mistakes of drivers and meters."""
    wrong = {kind: draws.happens(kind, share) for kind, share in DIRT.items()}
    start = "timestamp_ntz'2019-03-01' + make_dt_interval(day, hour, 0, second)"
    late = f"if({wrong['clock']}, -3600, seconds)"
    people = (
        f"case when {wrong['unrecorded']} then null when {wrong['crowd']} then 200 "
        f"when {wrong['nobody']} then 0 else 1 + {draws.index('passengers', _PASSENGERS)} end"
    )
    payment = (
        f"case when {wrong['negative']} then 4 when {draws.uniform('payment')} < 0.71D then 1 "
        f"when {draws.uniform('payment')} < 0.99D then 2 "
        f"when {draws.uniform('payment')} < 0.995D then 3 else 4 end"
    )
    return [
        f"if({draws.happens('vendor', 0.34)}, 1, 2) as VendorID",
        f"{start} as tpep_pickup_datetime",
        f"{start} + make_dt_interval(0, 0, 0, {late}) as tpep_dropoff_datetime",
        f"{people} as passenger_count",
        f"if({wrong['no distance']}, 0D, miles) as trip_distance",
        f"if({wrong['unrecorded']}, null, rate) as RatecodeID",
        f"if({wrong['unrecorded']}, null, if({draws.happens('flag', 0.004)}, 'Y', 'N')) "
        "as store_and_fwd_flag",
        "int(from_zone) as PULocationID",
        "int(to_zone) as DOLocationID",
        f"{payment} as payment_type",
        *(
            f"round(if({wrong['negative']}, -1, 1) * ({amount}), 2) as {name}"
            for amount, name in _AMOUNTS.items()
        ),
    ]
