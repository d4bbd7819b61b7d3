"""`make_light_curves` and `read_light_curves`."""

from __future__ import annotations

import math
import os
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils._param_validation import Interval, validate_params

from raydp_ml.datasets._draws import Draws, seed_of
from raydp_ml.datasets._light_curve_kinds import KINDS, PERIODS, shapes
from raydp_ml.datasets._record_files import check_columns, read_records
from raydp_ml.exchange.jvm import check_session
from raydp_ml.exchange.sql_text import select
from raydp_ml.spark_jobs.expressions import array_of, position

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_DEEP_SHARE, _DEEP_VISITS, _VISITS = 0.25, 54, 21
_DEEP_FIELDS = [(9.45, -44.0), (35.71, -4.75), (53.125, -28.1), (59.0, -49.3), (150.1, 2.18)]
_DEPTHS = np.array([23.9, 25.0, 24.7, 24.0, 23.3, 22.1])  # magnitudes at 5 sigma, u to y
_EXTINCTIONS = [4.145, 3.237, 2.273, 1.684, 1.323, 1.088]
_ZERO_POINT = 27.5
_POLE_RA, _POLE_DECL, _POLE_L = 192.85948, 27.12825, 122.93192


@validate_params(
    {"n_objects": [Interval(Integral, 1, None, closed="left")], "random_state": ["random_state"]},
    prefer_skip_nested_validation=True,
)
def make_light_curves(
    spark: SparkSession,
    n_objects: int = 1000,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[DataFrame, DataFrame]:
    """Generate light curves in the two tables of the PLAsTiCC challenge.

    A light curve is the brightness of an object in the sky at many times, here in six bands over
    three years. The 14 classes occur in the proportions of the challenge's training set: 7,848
    objects are exactly as many of each class. There are about 175 observations an object.

    Parameters
    ----------
    spark : pyspark.sql.SparkSession
        The session that generates the tables, lazily.
    n_objects : int, default=1000
        Number of objects.
    random_state : int, RandomState instance or None, default=None
        An int gives the same tables on any cluster, in any partitioning.

    Returns
    -------
    observations : pyspark.sql.DataFrame
        ``object_id``, ``mjd`` (time in days, modified Julian date, 59580 to 60675), ``passband``
        (0 to 5 for u, g, r, i, z, y), ``flux`` and its standard deviation ``flux_err`` (relative
        to a reference image; zero point 27.5 mag), ``detected`` (0 or 1).
    metadata : pyspark.sql.DataFrame of n_objects rows
        ``object_id``, ``ra``, ``decl``, ``gal_l``, ``gal_b`` (degrees), ``ddf`` (1 in a deep
        drilling field), ``hostgal_specz``, ``hostgal_photoz``, ``hostgal_photoz_err`` (redshifts,
        0 within the Galaxy), ``distmod`` (magnitudes, of the photometric redshift; null within
        the Galaxy), ``mwebv`` (extinction E(B-V) by the Milky Way), ``target`` (the class).

    Raises
    ------
    InvalidParameterError
        A parameter is of the wrong type or out of range.
    SessionError
        The session was stopped.

    See Also
    --------
    read_light_curves : The challenge's own tables, from files.
    make_taxi_trips : Taxi trips in New York's record layout.

    Notes
    -----
    *Classes* (Kessler et al. 2019, "Models and Simulations for PLAsTiCC"), of which 6, 16, 53, 65
    and 92 are within the Galaxy; t is the time since the peak or epoch, in days, a = t / (1 + z)
    the age in the rest frame, and p the phase, t / period modulo 1:

    - 6, microlensing: A(u) - 1 with A = (u^2 + 2) / (u sqrt(u^2 + 4)) and u^2 = u0^2 + (t / tE)^2
      (Paczynski 1986);
    - 15, tidal disruption: (1 + max(0, a) / fall)^(-5/3) / (1 + exp(-a / rise));
    - 42, 52, 62, 64, 67, 90 and 95, explosions: exp(-max(0, a - plateau) / fall) / (1 + exp(-a /
      rise)) (after Bazin et al. 2009), faster in bluer bands; 90 (Ia) again brighter after 25 days
      in i, z and y;
    - 16, eclipsing binary: two Gaussian eclipses, of width 0.04 in p;
    - 53, Mira: cos(2 pi p), over months;
    - 92, RR Lyrae: a rise over 0.15 of the period and a linear decline;
    - 65, M dwarf: 3 % of the quarters of a day begin with a flare that decays in 0.08 days;
    - 88, active galaxy: five sinusoids of random phases, of periods of 1000 / 2^k days and
      amplitudes of 2^(-k/2).

    *Distances* are those of a flat universe of H0 = 70 km/s/Mpc and a matter density of 0.3, by
    Pen's (1999) approximation. *Extinction* by the Milky Way is R E(B-V), with the R of Schlafly
    and Finkbeiner (2011).

    *Visits.* Each of the three years has a season of 180 days in which the object is up at night,
    with 7 visits in each band, or 18 in a deep field, at random times.

    *Noise* is normal. Its variance is that of the sky (LSST's depth of one visit; 0.4 times the
    deviation in deep fields; weather of 0.2 in its logarithm), plus half of the flux, plus 0.5 %
    of it squared. An observation is detected with probability (erf((S/N - 5.5) / 2) + 1) / 2,
    where S/N is abs(flux) / flux_err.

    Examples
    --------
    >>> from raydp_ml.datasets import make_light_curves
    >>> observations, metadata = make_light_curves(spark, 100, random_state=0)  # doctest: +SKIP
    """
    check_session(spark, "make_light_curves")
    seed = seed_of(random_state)
    draws = Draws(("object_id",), seed)
    objects = spark.range(1, n_objects + 1).withColumnRenamed("id", "object_id")
    for columns in (_class_and_field(n_objects, draws), _place(draws), _light(draws)):
        objects = select(objects, "*", *columns)
    metadata = select(objects, "*", "z as hostgal_specz", *_sky()).select(*_METADATA)
    observed = select(objects, "*", "explode(sequence(0, 6 * visits - 1)) as number")
    each = Draws(("object_id", "number"), seed)
    for columns in (_visit(each), [f"{_flux(draws)} as light"], _noise(each)):
        observed = select(observed, "*", *columns)
    observed = select(observed, "*", *_observation(each))
    return observed.select(*_OBSERVATIONS), metadata


@validate_params({"folder": [str, os.PathLike]}, prefer_skip_nested_validation=True)
def read_light_curves(
    spark: SparkSession, folder: str | os.PathLike[str]
) -> tuple[DataFrame, DataFrame]:
    """Read the training set of the PLAsTiCC challenge, as it can be downloaded.

    Parameters
    ----------
    spark : pyspark.sql.SparkSession
        The session that reads the tables: once to look at every value, then lazily.
    folder : str or path-like
        A folder on this machine that has ``training_set.csv``, the observations, and
        ``training_set_metadata.csv``.

    Returns
    -------
    observations, metadata : pyspark.sql.DataFrame
        As `make_light_curves` returns them, with null for NaN. Columns that it does not have stay
        as they are read.

    Raises
    ------
    FileNotFoundError
        A file is missing.
    SchemaError
        A file cannot be read, lacks a column that `make_light_curves` returns, or has a value
        that is no number.
    SessionError
        The session was stopped.
    InvalidParameterError
        `folder` or `spark` is of the wrong type.

    See Also
    --------
    make_light_curves : Tables in this layout that Spark generates.

    Examples
    --------
    >>> from raydp_ml.datasets import read_light_curves
    >>> observations, metadata = read_light_curves(spark, "plasticc")  # doctest: +SKIP
    """
    files = [Path(folder, name) for name in ("training_set.csv", "training_set_metadata.csv")]
    for file, needed in zip(files, (_OBSERVATIONS, _METADATA), strict=True):
        check_columns(file, needed)
    check_session(spark, "read_light_curves")
    layouts = make_light_curves(spark, 1)
    observations, metadata = (
        read_records(spark, file, layout) for file, layout in zip(files, layouts, strict=True)
    )
    return observations, metadata


_OBSERVATIONS = ["object_id", "mjd", "passband", "flux", "flux_err", "detected"]
_METADATA = ["object_id", "ra", "decl", "gal_l", "gal_b", "ddf", "hostgal_specz"]
_METADATA += ["hostgal_photoz", "hostgal_photoz_err", "distmod", "mwebv", "target"]


def _of_kind(name: str) -> str:
    """Look up a number that belongs to the row's class."""
    return f"{array_of([getattr(kind, name) for kind in KINDS])}[kind]"


def _class_and_field(n_objects: int, draws: Draws) -> list[str]:
    # A random step that shares no factor with their number shuffles the objects, so that the
    # classes have exact shares, yet no order.
    numbers = np.random.RandomState(draws.seed)
    step = int(numbers.randint(n_objects, dtype=np.int64)) + 1
    while math.gcd(step, n_objects) > 1:
        step = step % n_objects + 1
    counts = np.array([kind.objects for kind in KINDS])
    edges = np.round(np.cumsum(counts)[:-1] * n_objects / counts.sum())
    return [
        f"{position(f'(object_id * {step} % {n_objects})', edges)} as kind",
        f"int({draws.happens('deep', _DEEP_SHARE)}) as ddf",
        f"int(floor(5 * {draws.uniform('field')})) as field",
    ]


def _place(draws: Draws) -> list[str]:
    """Place, redshift, and shape of an object."""
    low, high = math.sin(math.radians(-70)), math.sin(math.radians(5))
    ra, decl = (f"{array_of(of)}[field] - 1.5D" for of in zip(*_DEEP_FIELDS, strict=True))
    across, along = draws.uniform("ra"), draws.uniform("decl")
    sine = f"{low!r}D + {high - low!r}D * {along}"  # evenly over the sphere
    z = f"{_of_kind('redshift')} * exp(0.5D * {draws.normal('redshift')})"
    shortest, longest = (
        array_of([PERIODS.get(kind.shape, (1, 1))[end] for kind in KINDS]) for end in (0, 1)
    )
    ratio = f"{longest}[kind] / {shortest}[kind]"
    return [
        f"int({_of_kind('target')}) as target",
        f"if(ddf = 1, {_DEEP_VISITS}, {_VISITS}) as visits",
        f"if(ddf = 1, {ra} + 3 * {across}, 360 * {across}) as ra",
        f"if(ddf = 1, {decl} + 3 * {along}, degrees(asin({sine}))) as decl",
        f"if({_of_kind('redshift')} = 0, 0D, least(3.5D, greatest(0.01D, {z}))) as z",
        f"{shortest}[kind] * pow({ratio}, {draws.uniform('period')}) as period",
        f"{_of_kind('rise')} as rise",
        f"{_of_kind('fall')} * exp(0.15D * {draws.normal('stretch')}) as fall",
        f"{_of_kind('plateau')} as plateau",
        f"0.05D + 0.5D * {draws.uniform('closest')} as closest",
        f"30 * exp(0.5D * {draws.normal('einstein')}) as einstein",
    ]


def distance_modulus(z: str) -> str:
    """SQL of the distance modulus at a redshift, by Pen's approximation (1999, ApJS 120, 49)."""
    matter = 0.3
    s = ((1 - matter) / matter) ** (1 / 3)
    terms = zip((4, 3, 2, 1), (1.0, -0.1540 * s, 0.4304 * s**2, 0.19097 * s**3), strict=True)
    powers = " + ".join(f"{factor!r}D * pow(1 + {z}, {power})" for power, factor in terms)
    scale = 2 * math.sqrt(s**3 + 1)
    now = scale * (1 + s * (-0.1540 + s * (0.4304 + s * (0.19097 + s * 0.066941)))) ** (-1 / 8)
    then = f"{scale!r}D * pow({powers} + {0.066941 * s**4!r}D, -0.125D)"
    hubble_distance = 299792.458 / 70  # Mpc
    return f"(25 + 5 * log10({hubble_distance!r}D * (1 + {z}) * ({now!r}D - {then})))"


_SIN_B = (
    f"(sin(radians(decl)) * sin(radians({_POLE_DECL}D)) + cos(radians(decl)) * "
    f"cos(radians({_POLE_DECL}D)) * cos(radians(ra - {_POLE_RA}D)))"
)


def _light(draws: Draws) -> list[str]:
    """Brightness, dust, and the redshift as it is estimated."""
    photoz = (
        f"greatest(0.005D, z + (1 + z) * if({draws.happens('outlier', 0.05)}, 0.3D, 0.03D) * "
        f"{draws.normal('photoz')})"
    )
    distance = f"if(z = 0, 0D, {distance_modulus('greatest(z, 0.01D)')})"
    magnitude = f"{_of_kind('magnitude')} + {_of_kind('spread')} * {draws.normal('magnitude')}"
    season = f"365 * int(floor(3 * {draws.uniform('season')})) + 185 * pmod(ra, 360D) / 360"
    dust = f"0.015D / greatest(0.05D, abs({_SIN_B}))"  # of a flat disc
    return [
        f"59580 + {season} + 180 * {draws.uniform('peak')} as peak",
        f"{magnitude} + {distance} as magnitude",
        f"least(2D, {dust} * exp(0.3D * {draws.normal('dust')})) as mwebv",
        f"if(z = 0, 0D, {photoz}) as hostgal_photoz",
        "if(z = 0, 0D, 0.03D * (1 + z)) as hostgal_photoz_err",
        f"if(z = 0, null, {distance_modulus(photoz)}) as distmod",
    ]


def _sky() -> list[str]:
    """Rotate to galactic coordinates, of the pole of J2000."""
    east = f"cos(radians(decl)) * sin(radians(ra - {_POLE_RA}D))"
    north = (
        f"sin(radians(decl)) * cos(radians({_POLE_DECL}D)) - cos(radians(decl)) * "
        f"sin(radians({_POLE_DECL}D)) * cos(radians(ra - {_POLE_RA}D))"
    )
    return [
        f"pmod({_POLE_L}D - degrees(atan2({east}, {north})), 360D) as gal_l",
        f"degrees(asin({_SIN_B})) as gal_b",
    ]


def _visit(each: Draws) -> list[str]:
    season = "365 * (int(number / 6) % 3) + 185 * pmod(ra, 360D) / 360"
    mjd = f"(59580 + {season} + 180 * {each.uniform('time')})"
    return [
        "int(number % 6) as passband",
        f"{mjd} as mjd",
        f"({mjd} - peak) / (1 + z) as age",
    ]


def _flux(draws: Draws) -> str:
    """Flux above the atmosphere: the shape in the amplitude's unit, reddened."""
    forms = shapes(draws)
    cases = " ".join(f"when {i} then {forms[kind.shape]}" for i, kind in enumerate(KINDS))
    colours = array_of([colour for kind in KINDS for colour in kind.colours])
    dust = f"mwebv * {array_of(_EXTINCTIONS)}[passband]"
    magnitude = f"magnitude + {colours}[kind * 6 + passband] + {dust}"
    return f"pow(10D, 0.4D * ({_ZERO_POINT}D - ({magnitude}))) * (case kind {cases} end)"


def _noise(each: Draws) -> list[str]:
    sky = array_of(10 ** (0.4 * (_ZERO_POINT - _DEPTHS)) / 5)
    weather = f"if(ddf = 1, 0.4D, 1D) * exp(0.2D * {each.normal('weather')})"
    variance = f"pow({sky}[passband] * {weather}, 2) + abs(light) / 2 + pow(light / 200, 2)"
    return [f"sqrt({variance}) as flux_err"]


def _observation(each: Draws) -> list[str]:
    flux = f"(light + flux_err * {each.normal('noise')})"
    # (erf(x / 2) + 1) / 2 is the probability that sqrt(2) times a normal draw is less than x.
    detected = f"sqrt(2D) * {each.normal('detection')} < abs({flux}) / flux_err - 5.5D"
    return [f"{flux} as flux", f"int({detected}) as detected"]
