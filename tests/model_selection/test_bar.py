"""The bar of a search shows its fits."""

from __future__ import annotations

import re

import pytest

from raydp_ml import bars, progress_bars
from raydp_ml.model_selection import GridSearchCV, OptunaSearchCV, cross_val_score
from raydp_ml.xgboost import XGBRegressor
from tests.test_bars import states, threads


@pytest.fixture
def at_once(at_once, monkeypatch):
    monkeypatch.setattr(bars, "_TICK_SECONDS", 0.02)


def counts(err, what):
    """How many steps of how many the bars of `what` have shown."""
    shown = [state for state in states(err) if state.startswith(f"{what}: ")]
    found = [re.search(r" (\d+)/(\d+) \[", state) for state in shown]
    return [(int(match[1]), int(match[2])) for match in found if match]


@pytest.mark.slow
def test_searches_and_cross_validation_show_their_fits(spark, at_once, capsys):
    df = spark.range(200).selectExpr("id % 17 AS x", "rand(1) AS z", "(id % 17) * 2D AS y")
    model = XGBRegressor(n_estimators=20, num_workers=1)
    optuna = {"max_depth": [1, 2, 3]}
    with progress_bars(True):
        found = GridSearchCV(model, {"max_depth": [1, 2, 3]}, cv=2).fit(df, "y")
        OptunaSearchCV(model, optuna, n_trials=4, batch_size=2, cv=2, random_state=0).fit(df, "y")
        cross_val_score(model, df, "y", cv=2)
    err = capsys.readouterr().err
    quiet = GridSearchCV(model, {"max_depth": [1, 2, 3]}, cv=2).fit(df, "y")
    assert capsys.readouterr().err == ""
    assert found.best_params_ == quiet.best_params_
    for what, total in (("GridSearchCV", 6), ("OptunaSearchCV", 8), ("cross-validation", 2)):
        steps = counts(err, what)
        assert {of for _, of in steps} == {total}, what
        assert [done for done, _ in steps] == sorted(done for done, _ in steps)
        assert steps[-1][0] > 0
    assert counts(err, "XGBRegressor")  # the best one, fitted on all rows
    assert threads() == []


def test_a_search_that_fails_ends_its_bar(spark, at_once, capsys):
    df = spark.range(40).selectExpr("id % 7 AS x", "(id % 7) * 2D AS y")
    model = XGBRegressor(n_estimators=2, num_workers=1, objective="reg:gamma")
    search = GridSearchCV(model, {"max_depth": [1]}, cv=2, error_score="raise")
    with progress_bars(True), pytest.raises(Exception, match="base_score"):
        search.fit(df.selectExpr("x", "-1 - y AS y"), "y")
    assert capsys.readouterr().err.split("\r")[-2].isspace()
    assert threads() == []
