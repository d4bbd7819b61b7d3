"""Data in memory: every kind gives what plain xgboost gives on the same rows."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xgboost
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import coo_array, csc_array, csr_array, csr_matrix
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from raydp_ml.exceptions import SchemaError
from raydp_ml.preprocessing import StandardScaler
from raydp_ml.torch import TorchClassifier, TorchRegressor
from raydp_ml.xgboost import XGBClassifier, XGBRegressor, XGBRFClassifier

PARAMS = {"n_estimators": 15, "max_depth": 4, "n_jobs": 1, "random_state": 3}


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    made = pd.DataFrame(rng.normal(size=(400, 3)), columns=["a", "b", "c"])
    made.loc[::7, "b"] = np.nan
    made["y"] = 2 * made["a"] + made["c"] ** 2 + rng.normal(size=400) / 10
    made["w"] = rng.uniform(0.5, 2, size=400)
    return made


X_NAMES = ["a", "b", "c"]


@pytest.fixture(scope="module")
def plain(frame):
    model = xgboost.XGBRegressor(**PARAMS)
    return model.fit(frame[X_NAMES], frame["y"], sample_weight=frame["w"]).predict(frame[X_NAMES])


@pytest.mark.parametrize("kind", ["numpy", "pandas", "arrow", "polars", "float32"])
def test_regression_equals_plain_xgboost(frame, plain, kind):
    polars = pytest.importorskip("polars")
    make = {
        "numpy": lambda X: X.to_numpy(),
        "pandas": lambda X: X,
        "arrow": lambda X: pa.Table.from_pandas(X, preserve_index=False),
        "polars": polars.from_pandas,
        "float32": lambda X: np.asfortranarray(X.to_numpy(dtype=np.float32)),
    }[kind]
    X = make(frame[X_NAMES])
    model = XGBRegressor(**PARAMS).fit(X, frame["y"], sample_weight=frame["w"])
    got = model.predict(X)
    assert got.dtype == np.float64
    assert_allclose(got, plain, atol=1e-6)
    assert model.n_features_in_ == 3
    if kind in ("numpy", "float32"):
        assert not hasattr(model, "feature_names_in_")
    else:
        assert_array_equal(model.feature_names_in_, X_NAMES)


def test_columns_of_the_frame_may_be_given_by_name(frame, plain):
    model = XGBRegressor(**PARAMS).fit(frame, "y", sample_weight="w")
    assert_array_equal(model.feature_names_in_, X_NAMES)
    # The label and the weight may still be there, or not.
    assert_allclose(model.predict(frame), plain, atol=1e-6)
    assert_allclose(model.predict(frame[X_NAMES]), plain, atol=1e-6)
    by_name = model.score(frame, "y", "w")
    assert by_name == pytest.approx(model.score(frame[X_NAMES], frame["y"], frame["w"]))
    with pytest.raises(ValueError, match=r"column name 'y' was given, and X .ndarray. has no"):
        XGBRegressor().fit(frame.to_numpy(), "y")


def test_blocks_and_ray_datasets(spark, frame, plain):  # in its mode Ray Data has CPUs
    import ray

    from raydp_ml.exchange.blocks import put_table

    with put_table(pa.Table.from_pandas(frame, preserve_index=False), 3) as blocks:
        for data in (blocks, ray.data.from_pandas(frame)):
            for workers in (None, 1):
                model = XGBRegressor(num_workers=workers, **PARAMS)
                model.fit(data, "y", sample_weight="w")
                assert_allclose(model.predict(data), plain, atol=1e-6)


@pytest.mark.parametrize("workers", [1, 2])
def test_data_in_memory_on_actors(ray_cluster, frame, plain, workers):
    X = frame[X_NAMES]
    model = XGBRegressor(num_workers=workers, **PARAMS).fit(X, frame["y"], sample_weight=frame["w"])
    tolerance = 1e-6 if workers == 1 else 0.5
    assert_allclose(model.predict(X), plain, atol=tolerance)
    sparse = csr_matrix(np.nan_to_num(X.to_numpy()))
    on_actors = XGBRegressor(num_workers=workers, **PARAMS).fit(sparse, frame["y"])
    here = xgboost.XGBRegressor(**PARAMS).fit(sparse, frame["y"])
    assert_allclose(on_actors.predict(sparse), here.predict(sparse), atol=tolerance)


def test_sparse_matrices(frame):
    X = csr_matrix(np.where(frame[X_NAMES] > 0.5, frame[X_NAMES], 0))
    want = xgboost.XGBRegressor(**PARAMS).fit(X, frame["y"]).predict(X)
    assert_allclose(XGBRegressor(**PARAMS).fit(X, frame["y"]).predict(X), want, atol=1e-6)


@pytest.mark.parametrize("kind", [csr_array, csc_array, coo_array], ids=str)
@pytest.mark.parametrize("booster", ["gbtree", "dart", "gblinear"])
def test_sparse_arrays_are_as_good_as_matrices(frame, kind, booster):
    X = csr_matrix(np.where(frame[X_NAMES] > 0.5, frame[X_NAMES], 0))
    model = XGBRegressor(**PARAMS, booster=booster).fit(X, frame["y"])
    again = XGBRegressor(**PARAMS, booster=booster).fit(kind(X), frame["y"])
    for method in ("predict", "explain", *(["apply"] if booster != "gblinear" else [])):
        expected = getattr(model, method)(X)
        assert_array_equal(getattr(model, method)(kind(X)), expected)
        assert_array_equal(getattr(again, method)(kind(X)), expected)
    dense = XGBRegressor(**PARAMS, booster=booster).fit(X.toarray(), frame["y"])
    assert_array_equal(dense.predict(kind(X)), dense.predict(X.toarray()))


def test_several_targets(frame):
    targets = frame[["y", "w"]].to_numpy()
    for strategy in (None, "multi_output_tree"):
        params = {**PARAMS, "multi_strategy": strategy}
        want = xgboost.XGBRegressor(**params).fit(frame[X_NAMES], targets).predict(frame[X_NAMES])
        got = XGBRegressor(**params).fit(frame[X_NAMES], targets).predict(frame[X_NAMES])
        assert got.shape == (400, 2)
        assert_allclose(got, want, atol=1e-6)


@pytest.mark.parametrize(
    "labels", [["no", "yes"], [-5, 7], [False, True], ["x", "y", "zz"], [1.0, 2.0, 4.0]]
)
def test_classes_of_any_kind(frame, labels):
    codes = np.digitize(
        frame["y"], np.quantile(frame["y"], np.linspace(0, 1, len(labels) + 1)[1:-1])
    )
    y = np.array(labels)[codes]
    model = XGBClassifier(**PARAMS).fit(frame[X_NAMES], y)
    plain = xgboost.XGBClassifier(**PARAMS).fit(frame[X_NAMES], codes)
    assert_array_equal(model.classes_, labels)
    assert model.objective == "binary:logistic"
    assert_allclose(
        model.predict_proba(frame[X_NAMES]), plain.predict_proba(frame[X_NAMES]), atol=1e-6
    )
    assert_array_equal(
        model.predict(frame[X_NAMES]), np.array(labels)[plain.predict(frame[X_NAMES])]
    )
    assert model.score(frame[X_NAMES], y) == plain.score(frame[X_NAMES], codes)
    genuine = model.to_xgboost()
    assert type(genuine) is xgboost.XGBClassifier
    assert genuine.n_classes_ == len(labels)
    assert genuine.objective == plain.objective
    assert_allclose(
        genuine.predict_proba(frame[X_NAMES]), model.predict_proba(frame[X_NAMES]), atol=1e-7
    )
    assert_array_equal(genuine.predict(frame[X_NAMES]), plain.predict(frame[X_NAMES]))


def test_softmax_gives_probabilities_too(frame):
    codes = np.digitize(frame["y"], [0, 1])
    params = {**PARAMS, "objective": "multi:softmax"}
    model = XGBClassifier(**params).fit(frame[X_NAMES], codes)
    plain = xgboost.XGBClassifier(**params).fit(frame[X_NAMES], codes)
    assert_allclose(
        model.predict_proba(frame[X_NAMES]), plain.predict_proba(frame[X_NAMES]), atol=1e-6
    )
    assert_array_equal(model.predict(frame[X_NAMES]), plain.predict(frame[X_NAMES]))


def compared(model):
    """Parameters, but for the default that XGBoost 3.4 changed: categories are asked for here."""
    params = {k: v for k, v in model.get_params().items() if k != "enable_categorical"}
    return params | {"missing": str(params["missing"])}  # NaN


def test_to_xgboost_is_the_genuine_fitted_object(frame):
    X, y = frame[X_NAMES], frame["y"]
    params = {**PARAMS, "base_score": 0.5, "early_stopping_rounds": 2}
    ours = XGBRegressor(**params).fit(X[:300], y[:300], eval_set=[(X[300:], y[300:])])
    plain = xgboost.XGBRegressor(**params)
    plain.fit(X[:300], y[:300], eval_set=[(X[300:], y[300:])], verbose=False)
    genuine = ours.to_xgboost()
    assert type(genuine) is xgboost.XGBRegressor
    assert compared(genuine) == compared(plain)
    assert genuine.evals_result() == plain.evals_result()
    assert genuine.best_iteration == plain.best_iteration
    assert_allclose(genuine.predict(X), plain.predict(X))
    assert_allclose(genuine.feature_importances_, ours.feature_importances_)
    assert_array_equal(genuine.feature_names_in_, X_NAMES)


@pytest.mark.parametrize(
    ("names", "legal"),
    [(["a[0]", "b<1", "c"], ["a(0)", "b(1", "c"]), (["a[", "a<", "c"], ["f0", "f1", "f2"])],
)
def test_names_that_xgboost_does_not_allow(frame, names, legal):
    X = frame[X_NAMES].set_axis(names, axis=1)
    with pytest.raises(ValueError, match="feature_names must be string, and may not contain"):
        xgboost.XGBRegressor(**PARAMS).fit(X, frame["y"])
    ours = XGBRegressor(**PARAMS).fit(X, frame["y"])
    plain = xgboost.XGBRegressor(**PARAMS).fit(frame[X_NAMES], frame["y"])
    assert_array_equal(ours.predict(X), plain.predict(frame[X_NAMES]))
    genuine = ours.to_xgboost()
    assert genuine.feature_names_in_.tolist() == legal
    renamed = X.set_axis(genuine.feature_names_in_, axis=1)
    assert_array_equal(genuine.predict(renamed), ours.predict(X))


def test_early_stopping_equals_plain_xgboost(frame):
    X, y = frame[X_NAMES], frame["y"]
    rng = np.random.default_rng(1)
    noisy = y + rng.normal(size=len(y)) * 3
    params = {
        **PARAMS,
        "n_estimators": 200,
        "early_stopping_rounds": 3,
        "eval_metric": ["rmse", "mae"],
    }
    evals = [(X[:100], y[:100]), (X[300:], y[300:])]
    ours = XGBRegressor(**params).fit(X[:300], noisy[:300], eval_set=evals)
    plain = xgboost.XGBRegressor(**params).fit(X[:300], noisy[:300], eval_set=evals, verbose=False)
    assert ours.best_iteration == plain.best_iteration < 199
    assert ours.best_score == pytest.approx(plain.best_score)
    assert ours.evals_result_ == plain.evals_result() == ours.evals_result()
    assert list(ours.evals_result_) == ["validation_0", "validation_1"]
    assert_allclose(ours.predict(X), plain.predict(X), atol=1e-6)
    with pytest.raises(
        ValueError, match="needs rows to evaluate on, and there is no evaluation set"
    ):
        XGBRegressor(**params).fit(X, y)


def test_own_objective_and_metric(frame):
    X, y = frame[X_NAMES], frame["y"]

    def squared(y_true, y_pred, sample_weight=None):
        weight = 1.0 if sample_weight is None else sample_weight
        return (y_pred - y_true) * weight, np.ones_like(y_true) * weight

    def largest(y_true, y_pred):
        return float(np.abs(y_true - y_pred).max())

    params = {**PARAMS, "objective": squared, "eval_metric": largest}
    ours = XGBRegressor(**params).fit(X, y, eval_set=[(X, y)])
    plain = xgboost.XGBRegressor(**params).fit(X, y, eval_set=[(X, y)], verbose=False)
    assert_allclose(ours.predict(X), plain.predict(X), atol=1e-6)
    assert_allclose(
        ours.evals_result_["validation_0"]["largest"],
        plain.evals_result()["validation_0"]["largest"],
    )
    weighted = XGBRegressor(**params).fit(X, y, sample_weight=frame["w"])
    assert_allclose(
        weighted.predict(X),
        xgboost.XGBRegressor(**params).fit(X, y, sample_weight=frame["w"]).predict(X),
        atol=1e-6,
    )


@pytest.mark.parametrize(
    "params",
    [
        {"booster": "gblinear"},
        {"booster": "dart"},
        {"tree_method": "exact"},
        {"tree_method": "approx"},
    ],
)
def test_other_boosters_and_tree_methods(frame, params):
    X, y = frame[X_NAMES].fillna(0), frame["y"]
    params = {**PARAMS, **params}
    ours = XGBRegressor(**params).fit(X, y)
    plain = xgboost.XGBRegressor(**params).fit(X, y)
    assert_allclose(ours.predict(X), plain.predict(X), rtol=1e-5, atol=1e-6)
    assert_allclose(ours.feature_importances_, plain.feature_importances_, atol=1e-6)


def test_categories(frame):
    X = frame[["a", "c"]].assign(
        color=pd.Categorical(
            np.where(frame["y"] > 1, "red", np.where(frame["a"] > 0, "blue", "green"))
        ),
        text=np.where(frame["c"] > 0, "up", None),
    )
    params = {**PARAMS, "enable_categorical": True}
    model = XGBRegressor(**params).fit(X, frame["y"])
    want = X.assign(text=pd.Categorical(X["text"]))
    plain = xgboost.XGBRegressor(**params).fit(want, frame["y"])
    assert_allclose(model.predict(X), plain.predict(want), atol=1e-6)
    # The order of the dictionary at hand does not matter, and an unknown category is missing.
    reordered = X.assign(color=X["color"].cat.reorder_categories(["red", "green", "blue"]))
    assert_allclose(model.predict(reordered), model.predict(X))
    unknown = X.assign(text="sideways")
    assert_allclose(model.predict(unknown), model.predict(X.assign(text=None)))
    assert_allclose(model.to_xgboost().predict(want), plain.predict(want), atol=1e-6)
    with pytest.raises(SchemaError, match=r"'color' of type dictionary.*enable_categorical=True"):
        XGBRegressor().fit(X, frame["y"])
    with pytest.raises(SchemaError, match="category columns, which an array cannot hold"):
        model.predict(np.zeros((2, 4)))


def test_vectors_in_arrow(frame):
    matrix = frame[X_NAMES].to_numpy()
    flat = pa.array(matrix.ravel())
    table = pa.table({"v": pa.FixedSizeListArray.from_arrays(flat, 3), "x": frame["w"]})
    model = XGBRegressor(**PARAMS).fit(table, frame["y"].to_numpy())
    assert_array_equal(model.feature_names_in_, ["v_0", "v_1", "v_2", "x"])
    plain = xgboost.XGBRegressor(**PARAMS).fit(np.column_stack([matrix, frame["w"]]), frame["y"])
    assert_allclose(
        model.predict(table), plain.predict(np.column_stack([matrix, frame["w"]])), atol=1e-6
    )


def test_a_weight_of_zero_is_an_absent_row(frame):
    X, y = frame[X_NAMES], frame["y"]
    kept = np.arange(len(y)) % 3 > 0
    weighted = XGBRegressor(**PARAMS).fit(X, y, sample_weight=kept.astype(float))
    assert_allclose(weighted.predict(X), XGBRegressor(**PARAMS).fit(X[kept], y[kept]).predict(X))
    labels = np.where(kept, np.where(y > 0, "p", "n"), "gone")
    assert_array_equal(
        XGBClassifier(**PARAMS).fit(X, labels, sample_weight=kept).classes_, ["n", "p"]
    )


def test_the_same_random_state_gives_the_same_model(frame):
    X, y = frame[X_NAMES], frame["y"]
    params = {**PARAMS, "subsample": 0.5, "colsample_bynode": 0.5}
    first, second = (XGBRegressor(**params).fit(X, y) for _ in range(2))
    assert first.get_booster().save_raw() == second.get_booster().save_raw()
    other = XGBRegressor(**{**params, "random_state": 4}).fit(X, y)
    assert other.get_booster().save_raw() != first.get_booster().save_raw()
    plain = xgboost.XGBRegressor(**params).fit(X, y)
    assert_allclose(first.predict(X), plain.predict(X), atol=1e-6)


def test_parameters_are_those_of_xgboost():
    for ours, theirs in (
        (XGBRegressor, xgboost.XGBRegressor),
        (XGBClassifier, xgboost.XGBClassifier),
    ):
        params = ours().get_params()
        for name, value in compared(theirs()).items():
            assert params[name] == value or str(params[name]) == value == "nan"


def test_scikit_learn_around_it(frame):
    X, y = frame[X_NAMES], frame["y"]
    pipe = make_pipeline(StandardScaler(), XGBRegressor(**PARAMS))
    assert cross_val_score(pipe, X, y, cv=3).mean() > 0.8
    model = pickle.loads(pickle.dumps(XGBRegressor(**PARAMS).fit(X, y)))
    again = clone(model).fit(X, y)
    assert_allclose(model.predict(X), again.predict(X))
    assert "n_estimators=15" in repr(model)
    assert "XGBRegressor" in model._repr_html_()


def test_before_fit():
    model = XGBRegressor()
    for call in (
        lambda: model.predict([[1]]),
        model.get_booster,
        model.to_xgboost,
        model.evals_result,
    ):
        with pytest.raises(NotFittedError):
            call()
    assert not hasattr(model, "feature_importances_")
    fitted = XGBRegressor(n_estimators=1).fit([[1], [2]], [1, 2])
    assert not hasattr(fitted, "best_iteration")
    with pytest.raises(ValueError, match="no evaluation results, since fit had no evaluation set"):
        fitted.evals_result()


def test_bad_labels_and_weights(frame):
    X, y = frame[X_NAMES], frame["y"].to_numpy()
    with pytest.raises(SchemaError, match=r"one class only \(\[0\]\)|one class only \(\['a'\]\)"):
        XGBClassifier().fit(X, ["a"] * len(y))
    with pytest.raises(ValueError, match="Input y contains NaN"):
        XGBRegressor().fit(X, np.where(y > 1, np.nan, y))
    with pytest.raises(ValueError, match="infinity"):
        XGBRegressor().fit(X, np.where(y > 1, np.inf, y))
    with pytest.raises(ValueError, match="Negative values in data"):
        XGBRegressor().fit(X, y, sample_weight=-np.ones(len(y)))
    with pytest.raises(SchemaError, match=r"features \['a'\] hold infinite values"):
        XGBRegressor().fit(X.assign(a=np.inf), y)
    labels = np.where(y > 0, "p", "n")
    with pytest.raises(SchemaError, match=r"evaluation set 0 holds labels.*\['q'\].*\['n', 'p'\]"):
        XGBClassifier().fit(X, labels, eval_set=[(X, ["q"] * len(y))])
    with pytest.raises(ValueError, match="at most one function"):
        XGBRegressor(eval_metric=[len, max]).fit(X, y)


TIMES = {
    "datetimes": lambda late: np.datetime64("2026-01-01") + late.astype(int),
    "durations": lambda late: pd.to_timedelta(late.astype(int), unit="D"),
    "of a zone": lambda late: pd.to_datetime(late.astype(int), unit="D", utc=True),
    "categories": lambda late: pd.Categorical(pd.to_datetime(late.astype(int), unit="D")),
    "Arrow's": lambda late: pa.array(late.astype("datetime64[s]")),
}


@pytest.mark.parametrize("kind", TIMES)
@pytest.mark.parametrize(
    "estimator", [XGBClassifier, XGBRFClassifier, TorchClassifier, XGBRegressor, TorchRegressor]
)
def test_times_are_no_labels(frame, kind, estimator):
    """Nor are they in Spark, where they would be predicted as texts of nanoseconds."""
    y = TIMES[kind](frame["y"].to_numpy() > 0)
    with pytest.raises(SchemaError, match=r"labels are of type .*, and must be numbers or strings"):
        estimator().fit(frame[["a"]], y)


def test_a_missing_xgboost_says_how_to_get_it(monkeypatch, frame):
    import sys

    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(ImportError, match=r"pip install raydp_ml\[xgboost\]"):
        XGBRegressor().fit(frame[X_NAMES], frame["y"])


def test_missing_values_may_be_a_number(frame):
    X, y = frame[X_NAMES].fillna(-999.0), frame["y"]
    params = {**PARAMS, "missing": -999.0}
    want = xgboost.XGBRegressor(**params).fit(X, y).predict(X)
    for data in (X, X.to_numpy()):
        assert_allclose(XGBRegressor(**params).fit(data, y).predict(data), want, atol=1e-6)


@pytest.mark.parametrize("kind", [np.asarray, csr_matrix, pd.DataFrame, "named"], ids=str)
@pytest.mark.parametrize("missing", [np.float32(-1), np.float64(-1), np.int64(-1), -1])
def test_numbers_of_numpy_as_parameters(frame, kind, missing):
    X = np.where(frame[X_NAMES] > 1, -1.0, frame[X_NAMES].fillna(-1.0))
    data = pd.DataFrame(X, columns=X_NAMES) if kind == "named" else kind(X)
    own = xgboost.XGBRegressor(**PARAMS, missing=-1.0).fit(data, frame["y"])
    params = {**PARAMS, "n_jobs": np.int64(2), "max_depth": np.int32(4)}
    model = XGBRegressor(**params, missing=missing).fit(data, frame["y"])
    assert_array_equal(model.predict(data), own.predict(data))
    assert_array_equal(model.apply(data), own.apply(data))
    matrix = xgboost.DMatrix(data, missing=-1.0)
    expected = own.get_booster().predict(matrix, pred_contribs=True)
    assert_allclose(model.explain(data), expected, rtol=0, atol=1e-6)
    assert_array_equal(model.to_xgboost().predict(data), own.predict(data))


@pytest.mark.parametrize("infinity", [np.inf, -np.inf, np.float32(np.inf)])
def test_an_infinite_value_may_stand_for_a_missing_one(frame, infinity):
    named = frame[X_NAMES].fillna(infinity)
    X = named.to_numpy()
    own = xgboost.XGBRegressor(**PARAMS, missing=np.nan).fit(frame[X_NAMES].to_numpy(), frame["y"])
    gaps = frame[X_NAMES].to_numpy()
    matrix = xgboost.DMatrix(gaps)
    contributions = own.get_booster().predict(matrix, pred_contribs=True)
    for data in (named, X, X.astype(np.float32), csr_matrix(X)):
        model = XGBRegressor(**PARAMS, missing=infinity).fit(data, frame["y"])
        assert_array_equal(model.predict(data), own.predict(gaps))
        assert_array_equal(model.apply(data), own.apply(gaps))
        assert_allclose(model.explain(data), contributions, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="infinity"):
        XGBRegressor(**PARAMS).fit(X, frame["y"])


def test_what_is_infinite_as_a_float_has_leaves(frame):
    X = frame[X_NAMES].to_numpy()
    model = XGBRegressor(**PARAMS).fit(X, frame["y"])
    X[:, 0] = np.resize([1e39, -1e39], len(X))
    assert_array_equal(model.apply(X), model.apply(np.clip(X, -1e30, 1e30)))
