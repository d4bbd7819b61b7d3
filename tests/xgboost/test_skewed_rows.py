"""Where the rows lie changes neither the model nor the share of a worker.

Compared are models of one, two and four workers, of skewed frames and of the same rows evenly
spread, and plain xgboost's on the collected rows.

The tolerance: XGBoost adds up gradients of single precision, in another order over other workers,
so that leaves differ by some 1e-7 of the sums' size. Predictions are sums of eight such leaves (of
up to sixty where training stops early).
"""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xgboost
from numpy.testing import assert_allclose

from raydp_ml.torch import TorchRegressor
from raydp_ml.xgboost import XGBClassifier, XGBRanker
from tests.fresh_folder import run_python
from tests.xgboost.skewed_rows import FEATURES, SHAPES, WORKERS

pytestmark = pytest.mark.slow
SUMS = {"rtol": 1e-4, "atol": 1e-5}
TREES = [name for name, (cls, *_) in SHAPES.items() if cls is not TorchRegressor]
OF_ITS_WORKERS = {"three rows and medians", "three rows and dropped trees"}
"""By XGBoost's design, a leaf is the mean of the workers' own medians, and each draws its rows."""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("skewed")
    (folder / "out").mkdir()
    root = Path(__file__).parents[2]
    program = f"import os, sys; sys.path.insert(0, {str(root)!r}); "
    program += f"os.environ['PYTHONPATH'] = {str(root)!r}; "  # for the workers
    program += "from tests.xgboost.skewed_rows import main; main('out/results')"
    done = run_python("-c", program, cwd=folder, timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    return pickle.loads((folder / "out" / "results").read_bytes())


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_skewed_frame_trains_the_model_of_a_spread_one(found, shape, workers):
    predicted, scores = found[shape]["skewed", workers]
    others, their_scores = found[shape]["spread", workers]
    if shape in OF_ITS_WORKERS:
        assert np.isfinite(predicted).all()
        return
    assert_allclose(predicted, others, **SUMS)
    if SHAPES[shape][0] is not XGBRanker:  # whose scores break ties by the order of the rows
        assert_same_scores(scores, their_scores)


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_number_of_workers_changes_nothing(found, shape, workers):
    predicted, scores = found[shape]["skewed", workers]
    alone, its_scores = found[shape]["skewed", 1]
    if shape not in OF_ITS_WORKERS:
        assert_allclose(predicted, alone, **SUMS)
        assert_same_scores(scores, its_scores)


def assert_same_scores(scores, others):
    if isinstance(scores, list):  # of a network, by epoch
        scores, others = (
            {"": pd.DataFrame(of).drop(columns=["seconds", "rows_per_second"])}
            for of in (scores, others)
        )
    for name in scores or ():
        for metric in scores[name]:
            assert_allclose(scores[name][metric], others[name][metric], **SUMS)


@pytest.mark.parametrize("shape", [name for name in TREES if "dropped" not in name])
def test_it_is_the_model_of_plain_xgboost(found, shape):
    cls, params, _ = SHAPES[shape]
    rows = found[shape]["rows"]
    if cls is XGBRanker:
        rows = rows.sort_values("q", kind="stable")
    X = rows[list(FEATURES)]
    if params.get("enable_categorical"):
        X = X.assign(c=X["c"].astype("category"))
    held = rows["v"] if "v" in rows else pd.Series(False, rows.index)
    own = {XGBClassifier: xgboost.XGBClassifier, XGBRanker: xgboost.XGBRanker}
    plain = own.get(cls, xgboost.XGBRegressor)(**params)
    kept = ~held & (rows["w"] > 0 if "w" in rows else True)
    more = {"sample_weight": rows["w"][kept]} if "w" in rows else {}
    if cls is XGBRanker:
        more["qid"] = rows["q"][kept]
    if "early_stopping_rounds" in params:
        more["eval_set"] = [(X[held], rows["y"][held])]
        more["verbose"] = False
    plain.fit(X[kept], rows["y"][kept], **more)
    predict = plain.predict_proba if cls is XGBClassifier else plain.predict
    want = pd.DataFrame(predict(X), rows.index).sort_index().to_numpy()
    predicted, scores = found[shape]["skewed", 1]
    assert_allclose(np.array(predicted).reshape(want.shape), want, **SUMS)
    if "eval_set" in more:
        assert_same_scores(scores, plain.evals_result_)
        assert len(scores["validation_0"]["rmse"]) < params["n_estimators"]


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("shape", TREES)
def test_workers_have_equal_shares(found, shape, workers):
    """Within 5 %, or within one row or group."""
    rows, counts = found[shape]["rows"], found[shape]["counts", workers]
    marked = rows["v"] if "v" in rows else np.zeros(len(rows), bool)
    # (A ranker's are those that it evaluates, some of them twice.)
    kept = pd.concat([rows, rows[marked]]) if SHAPES[shape][0] is XGBRanker else rows[~marked]
    kept = kept[kept["w"] > 0] if "w" in kept else kept
    assert sum(counts) == len(kept)
    assert len(counts) == min(workers, len(kept))
    largest = rows["q"].value_counts().max() if "q" in kept else 1
    assert max(counts) - min(counts) <= max(0.05 * len(kept) / workers, 2 * largest)
