"""Generated light curves: classes, times, distances, noise and detections beside closed forms."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from scipy import stats
from scipy.integrate import quad
from scipy.special import erf
from sklearn.utils._param_validation import InvalidParameterError

from raydp_ml.datasets import make_light_curves
from raydp_ml.datasets._light_curves import distance_modulus

COUNTS = {6: 151, 15: 495, 16: 924, 42: 1193, 52: 183, 53: 30, 62: 484, 64: 102, 65: 981}
COUNTS |= {67: 208, 88: 370, 90: 2313, 92: 239, 95: 175}
GALACTIC = {6, 16, 53, 65, 92}
N_OBJECTS = 785


@pytest.fixture(scope="module")
def tables(spark):
    return [table.toPandas() for table in make_light_curves(spark, N_OBJECTS, 0)]


@pytest.fixture(scope="module")
def observations(tables):
    return tables[0].merge(tables[1][["object_id", "ddf", "target"]])


@pytest.fixture(scope="module")
def metadata(tables):
    return tables[1]


def test_classes_have_the_challenges_proportions(spark, metadata):
    full = make_light_curves(spark, 7848, 3)[1].groupBy("target").count().toPandas()
    assert dict(zip(full.target, full["count"], strict=True)) == COUNTS
    found = metadata.target.value_counts()
    for target, count in COUNTS.items():
        assert abs(found[target] - count * N_OBJECTS / 7848) <= 1
    # The classes are shuffled: an object's class says nothing of the next one's.
    first = metadata.sort_values("object_id").target[: N_OBJECTS // 2].value_counts()
    assert abs(first[90] - found[90] / 2) < 40


def test_objects_of_the_galaxy_have_no_redshift(metadata):
    within = metadata.target.isin(GALACTIC)
    zero = ["hostgal_specz", "hostgal_photoz", "hostgal_photoz_err"]
    assert (metadata.loc[within, zero] == 0).all(axis=None)
    assert (metadata.loc[~within, zero] > 0).all(axis=None)
    assert (metadata.distmod.isna() == within).all()


def test_distances_are_those_of_the_integral(spark, metadata):
    def modulus(z):
        integral = quad(lambda x: (0.3 * (1 + x) ** 3 + 0.7) ** -0.5, 0, z)[0]
        return 25 + 5 * np.log10(299792.458 / 70 * (1 + z) * integral)

    rows = spark.sql("select explode(array(0.05D, 0.1D, 0.5D, 1D, 3D)) as z")
    for z, found in rows.selectExpr("z", distance_modulus("z")).collect():
        assert abs(found - modulus(z)) < 0.02  # 1 % in distance
    far = metadata[metadata.hostgal_photoz > 0.05]
    np.testing.assert_allclose(far.distmod, far.hostgal_photoz.map(modulus), atol=0.02)


def test_galactic_coordinates_are_a_rotation(metadata):
    """The matrix to galactic coordinates of J2000 (Hipparcos catalogue, volume 1, 1.5.11)."""
    rotation = np.array(
        [
            [-0.0548755604, -0.8734370902, -0.4838350155],
            [0.4941094279, -0.4448296300, 0.7469822445],
            [-0.8676661490, -0.1980763734, 0.4559837762],
        ]
    )

    def direction(longitude, latitude):
        a, b = np.radians(longitude), np.radians(latitude)
        return np.array([np.cos(a) * np.cos(b), np.sin(a) * np.cos(b), np.sin(b)])

    turned = rotation @ direction(metadata.ra, metadata.decl)
    np.testing.assert_allclose(direction(metadata.gal_l, metadata.gal_b), turned, atol=1e-6)


def test_observations_fall_into_seasons_of_three_years(observations):
    assert observations.mjd.between(59580, 60675).all()
    deep = observations.groupby("object_id").ddf.first() == 1
    assert 0.18 < deep.mean() < 0.32
    visits = observations.groupby(["object_id", "passband"]).size().unstack()
    assert set(visits.columns) == set(range(6))
    assert (visits[deep] == 54).all(axis=None)
    assert (visits[~deep] == 21).all(axis=None)
    year = (observations.mjd - 59580) // 365
    nights = observations.groupby([observations.object_id, year]).mjd
    # A season may begin late in one year of 365 days and end in it.
    assert (nights.max() - nights.min()).max() <= 365
    assert year.nunique() == 3


def test_detections_follow_their_probability(observations):
    ratio = observations.flux.abs() / observations.flux_err
    probability = (erf((ratio - 5.5) / 2) + 1) / 2
    between = probability.between(0.001, 0.999)
    for _, part in observations[between].groupby(pd.cut(ratio[between], 8), observed=True):
        expected = probability[part.index]
        spread = np.sqrt((expected * (1 - expected)).sum())
        assert abs(part.detected.sum() - expected.sum()) < 4 * spread + 1
    assert (observations.detected[ratio > 12] == 1).all()
    assert (observations.detected[ratio < 0.5] == 0).mean() > 0.999


def test_noise_is_normal_and_as_deep_as_stated(observations):
    peak = observations.loc[observations.groupby("object_id").flux.idxmax()]
    peak = peak[peak.flux > 20 * peak.flux_err].set_index("object_id").mjd  # no peak of the noise
    quiet = observations[
        observations.target.isin([42, 52, 62, 64, 67, 90, 95])
        & (observations.mjd < observations.object_id.map(peak) - 250)
    ]
    assert len(quiet) > 2000
    noise = quiet.flux / quiet.flux_err
    assert stats.kstest(noise, "norm").pvalue > 0.001
    sky = 10 ** (0.4 * (27.5 - np.array([23.9, 25.0, 24.7, 24.0, 23.3, 22.1]))) / 5
    median = quiet.groupby(["ddf", "passband"]).flux_err.median()
    np.testing.assert_allclose(median[0], sky, rtol=0.12)
    np.testing.assert_allclose(median[1], 0.4 * sky, rtol=0.12)


def test_classes_behave_as_their_kind(observations):
    """Variability all the time, once, or in short bursts: shares of observations detected."""
    share = observations.groupby(["target", "object_id"]).detected.mean().groupby("target").median()
    assert (share[[53, 92]] > 0.9).all()
    assert 0 < share[64] < 0.05  # days of three years
    assert 0 < share[65] < 0.1
    assert 0.3 < share[16] < 0.7
    mira = observations[observations.target == 53].groupby(["object_id", "passband"]).flux.std()
    assert (mira.unstack()[5] > 100 * mira.unstack()[0]).all()  # red
    flares = observations[observations.target == 65].groupby(["object_id", "passband"]).flux.max()
    assert flares.unstack()[0].median() > 3 * flares.unstack()[4].median()  # blue


def test_the_same_seed_gives_the_same_tables_in_any_partitioning(spark, tables, monkeypatch):
    whole = type(spark).range
    monkeypatch.setattr(type(spark), "range", lambda *given: whole(*given[:3], numPartitions=5))
    observations, metadata = make_light_curves(spark, N_OBJECTS, np.random.RandomState(0))
    assert observations.rdd.getNumPartitions() == 5
    assert_frame_equal(observations.toPandas(), tables[0])
    assert_frame_equal(metadata.toPandas(), tables[1])
    other = make_light_curves(spark, N_OBJECTS, 1)[1].toPandas()
    assert (other.mwebv == tables[1].mwebv).mean() < 0.01


def test_bad_arguments_are_refused(spark):
    with pytest.raises(InvalidParameterError, match="'n_objects' parameter of make_light_curves"):
        make_light_curves(spark, 2.5)
    with pytest.raises(InvalidParameterError, match="'random_state' parameter of make_light_curv"):
        make_light_curves(spark, 10, -1.5)
    with pytest.raises(InvalidParameterError, match="must be a SparkSession"):
        make_light_curves(None, 10)
