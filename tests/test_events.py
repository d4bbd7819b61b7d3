"""What the logger says at INFO, with the numbers that are true."""

from __future__ import annotations

import logging
import subprocess
import sys

import numpy as np
import pytest

import raydp_ml
from raydp_ml.events import Stopwatch
from tests.log_lines import facts


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.INFO, logger="raydp_ml")
    return caplog


def test_a_line_has_its_facts_and_the_seconds_last(log):
    logger = logging.getLogger("raydp_ml.test")
    Stopwatch().tell(
        logger, "event", rows=3, name="a b", share=0.25, nothing=None, url="http://h:1"
    )
    (line,) = log.messages
    begin, _, seconds = line.rpartition(" seconds=")
    assert begin == 'event rows=3 name="a b" share=0.25 url=http://h:1'
    assert 0 <= float(seconds) < 60


def test_nothing_is_spelled_where_nobody_listens():
    class Unspeakable:
        def __str__(self):
            raise AssertionError("spelled")

    logger = logging.getLogger("raydp_ml.test")
    assert not logger.isEnabledFor(logging.INFO)
    Stopwatch().tell(logger, "event", value=Unspeakable())


def test_a_program_sees_warnings_by_default_and_information_when_it_asks():
    program = """
import logging, sys
from raydp_ml.events import Stopwatch
logger = logging.getLogger("raydp_ml.test")
if sys.argv[1:]:
    logging.basicConfig(format="%(name)s %(message)s")
    logging.getLogger("raydp_ml").setLevel("INFO")
Stopwatch().tell(logger, "event", rows=1)
logger.warning("careful")
"""

    def said(*arguments):
        command = [sys.executable, "-c", program, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stderr

    assert said() == "careful\n"
    first, second = said("ask").splitlines()
    assert first.startswith("raydp_ml.test event rows=1 seconds=")
    assert second == "raydp_ml.test careful"


def test_a_fit_in_this_process(log):
    from raydp_ml.xgboost import XGBRegressor

    X = np.arange(60.0).reshape(20, 3)
    XGBRegressor(n_estimators=2, n_jobs=1).fit(X, X[:, 0])
    (fit,) = facts(log, "fit")
    assert (fit["estimator"], fit["rows"], fit["features"]) == ("XGBRegressor", "20", "3")
    assert (fit["workers"], fit["retries"]) == ("0", "0")


def test_exchanges_and_fits_of_spark(spark, log):
    from raydp_ml.preprocessing import StandardScaler
    from raydp_ml.xgboost import XGBRegressor

    df = spark.range(0, 900, 1, 3).selectExpr("CAST(id AS double) AS x", "id % 5 AS z", "2D * id y")
    blocks = raydp_ml.from_spark(df)
    (out,) = facts(log, "from_spark")
    assert {name: int(out[name]) for name in ("rows", "bytes", "blocks", "retries")} == {
        "rows": 900,
        "bytes": blocks.nbytes,
        "blocks": len(blocks.refs),
        "retries": 0,
    }
    assert int(out["bytes"]) == 900 * 3 * 8
    made = raydp_ml.to_spark(blocks, spark)
    (back,) = facts(log, "to_spark")
    assert (int(back["rows"]), int(back["bytes"])) == (900, blocks.nbytes)
    assert int(back["partitions"]) == made.rdd.getNumPartitions()
    log.clear()

    StandardScaler().fit(df, "y")
    XGBRegressor(n_estimators=2, num_workers=2, cpus_per_worker=1).fit(df, "y")
    scaler, model = facts(log, "fit")
    assert (scaler["estimator"], scaler["features"]) == ("StandardScaler", "2")
    assert model["estimator"] == "XGBRegressor"
    assert {name: int(model[name]) for name in ("rows", "bytes", "features", "workers")} == {
        "rows": 900,
        "bytes": blocks.nbytes,
        "features": 2,
        "workers": 2,
    }
    assert (model["cpus_per_worker"], model["retries"]) == ("1", "0")
    assert len(facts(log, "from_spark")) == 1
    blocks.free()


@pytest.mark.cluster
def test_a_fit_of_a_network(ray_cluster, log):
    from raydp_ml.torch import TorchRegressor

    X = np.linspace(-1, 1, 40).reshape(20, 2)
    network = TorchRegressor(max_epochs=1, num_workers=1, cpus_per_worker=1, random_state=0)
    network.fit(X, X[:, 0])
    (fit,) = facts(log, "fit")
    assert (fit["estimator"], fit["rows"], fit["workers"]) == ("TorchRegressor", "20", "1")


def test_a_search_counts_its_candidates_folds_and_failures(spark, log):
    from sklearn.exceptions import FitFailedWarning

    from raydp_ml.model_selection import GridSearchCV
    from raydp_ml.xgboost import XGBRegressor

    df = spark.range(60).selectExpr("CAST(id AS double) AS x", "2D * id AS y")
    estimator = XGBRegressor(n_estimators=2, num_workers=1)
    # A negative depth is refused by XGBoost itself, in each of the two folds.
    search = GridSearchCV(estimator, {"max_depth": [2, -1, 3]}, cv=2)
    with pytest.warns(FitFailedWarning):
        search.fit(df, "y")
    (line,) = facts(log, "search")
    assert (line["estimator"], line["of"]) == ("GridSearchCV", "XGBRegressor")
    assert {name: int(line[name]) for name in ("rows", "candidates", "folds", "failed")} == {
        "rows": 60,
        "candidates": 3,
        "folds": 2,
        "failed": 2,
    }
    assert len(search.cv_results_["params"]) == 3
