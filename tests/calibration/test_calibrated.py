"""`CalibratedClassifierCV` in Spark, beside scikit-learn's around xgboost."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn.calibration
import sklearn.model_selection
import xgboost
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.utils._param_validation import InvalidParameterError

import raydp_ml
from raydp_ml.calibration import CalibratedClassifierCV
from raydp_ml.exceptions import ResourceError, SchemaError
from raydp_ml.model_selection import (
    GridSearchCV,
    PredefinedSplit,
    ShuffleSplit,
    StratifiedKFold,
    TunedThresholdClassifierCV,
    cross_validate,
)
from raydp_ml.pipeline import make_pipeline
from raydp_ml.preprocessing import StandardScaler
from raydp_ml.torch import TorchClassifier
from raydp_ml.xgboost import XGBClassifier

SMALL = {"n_estimators": 6, "max_depth": 3, "random_state": 0, "n_jobs": 1}
NUMBERS = ["a", "b.c", "holes"]
FOLDS = PredefinedSplit("fold")
METHODS = ["sigmoid", "isotonic", "temperature"]


class DoubleXGBClassifier(xgboost.XGBClassifier):
    """xgboost's, whose probabilities are doubles.

    scikit-learn calibrates in the precision that it is given, and iterations in single precision
    end wherever rounding and the order of the rows lets them.
    """

    def predict_proba(self, X, **kwargs):
        return super().predict_proba(X, **kwargs).astype(np.float64)


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    n = 450
    made = pd.DataFrame(rng.normal(size=(n, 3)), columns=NUMBERS)
    said = made.a + 0.5 * made["b.c"] + rng.normal(size=n)
    made.loc[rng.random(n) < 0.1, "holes"] = np.nan
    return made.assign(
        two=np.where(said > 0, "yes", "no"),
        three=np.digitize(said, [-0.7, 0.9]) + 1,
        w=1.0 + np.arange(n) % 3,
        fold=rng.integers(0, 3, n).astype(np.int32),
        late=rng.random(n) < 0.2,
    )


@pytest.fixture(scope="module")
def df(spark, frame):
    return spark.createDataFrame(frame).coalesce(1).cache()


def columns(df, *names):
    return df.select(*(f"`{name}`" for name in [*NUMBERS, *names]))


def own_fit(frame, label, model=None, weight=None, **params):
    """scikit-learn's on the collected rows, and its probabilities of them."""
    codes = np.unique(frame[label], return_inverse=True)[1]
    own = sklearn.calibration.CalibratedClassifierCV(
        DoubleXGBClassifier(**SMALL) if model is None else model,
        **{"cv": sklearn.model_selection.PredefinedSplit(frame.fold), **params},
    ).fit(frame[NUMBERS], codes, sample_weight=None if weight is None else frame[weight])
    return own, own.predict_proba(frame[NUMBERS])


def shares(made, name="probability"):
    return np.array(made.toPandas()[name].tolist())


@pytest.mark.parametrize("label", ["two", "three"])
@pytest.mark.parametrize("ensemble", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("method", METHODS)
def test_calibrated(df, frame, method, ensemble, label):
    data, params = columns(df, label, "fold"), {"method": method, "ensemble": ensemble}
    ours = CalibratedClassifierCV(XGBClassifier(**SMALL), cv=FOLDS, **params).fit(data, label)
    own, expected = own_fit(frame, label, **params)
    rows = data.drop("fold")
    made = ours.predict_proba(rows)
    assert made.columns == [*rows.columns, "probability"]
    assert made.drop("probability").schema == rows.schema
    assert_allclose(shares(made), expected, atol=1e-7)
    assert_allclose(ours.predict_proba(frame[NUMBERS]), shares(made), rtol=1e-12)
    assert set(vars(ours)) == set(vars(own))
    assert_array_equal(ours.classes_, np.unique(frame[label]))
    assert list(ours.feature_names_in_) == list(own.feature_names_in_) == NUMBERS
    classes = ours.classes_[own.predict(frame[NUMBERS])]
    predicted = ours.predict(rows)
    assert predicted.columns == [*rows.columns, "prediction"]
    assert predicted.schema["prediction"].dataType == rows.schema[label].dataType
    assert_array_equal(predicted.toPandas().prediction, classes)
    assert_array_equal(ours.predict(frame[NUMBERS]), classes)
    assert ours.score(rows, label) == pytest.approx(np.mean(classes == frame[label]))
    # xgboost's own probabilities, of single precision.
    _, single = own_fit(frame, label, model=xgboost.XGBClassifier(**SMALL), **params)
    assert_allclose(shares(made), single, atol=1e-6 if method == "isotonic" else 3e-4)


@pytest.mark.slow
@pytest.mark.parametrize("partitions", [1, 7])
def test_folds_of_a_number(df, partitions):
    """The folds are those of StratifiedKFold, and each of the partitions has its rows."""
    data = columns(df, "two").repartition(partitions).cache()
    ours = CalibratedClassifierCV(XGBClassifier(**SMALL), method="isotonic", cv=3).fit(data, "two")
    found = StratifiedKFold(3).fold_column(data, "two").toPandas()
    _, expected = own_fit(found, "two", method="isotonic")
    assert_allclose(shares(ours.predict_proba(data)), expected, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_weights(df, frame, method):
    """By name and by role; to the fits and to the calibrators."""
    _, expected = own_fit(frame, "two", weight="w", method=method, ensemble=False)
    data = columns(df, "two", "fold", "w")
    model = CalibratedClassifierCV(
        XGBClassifier(**SMALL), method=method, cv=FOLDS, ensemble=False, n_jobs=1
    )
    named = clone(model).fit(data, "two", "w")
    roles = raydp_ml.set_roles(data, label="two", sample_weight="w")
    for ours in (named, clone(model).fit(roles)):
        assert_allclose(shares(ours.predict_proba(data)), expected, atol=1e-7)
        assert list(ours.feature_names_in_) == NUMBERS


def test_validation_rows_are_in_no_fold(df, frame):
    data = raydp_ml.set_roles(columns(df, "two", "fold", "late"), validation="late")
    held = frame[~frame.late]
    stopping = XGBClassifier(**{**SMALL, "n_estimators": 40}, early_stopping_rounds=2)
    ours = CalibratedClassifierCV(stopping, method="isotonic", cv=FOLDS).fit(data, "two")
    assert len(ours.calibrated_classifiers_) == 3
    for fold, pair in enumerate(ours.calibrated_classifiers_):
        assert pair.estimator.best_iteration < 39
        tested = held[held.fold == fold]
        p = pair.estimator.predict_proba(tested[NUMBERS])[:, 1]
        own = sklearn.isotonic.IsotonicRegression(out_of_bounds="clip").fit(p, tested.two == "yes")
        assert_allclose(pair.calibrators[0].X_thresholds_, own.X_thresholds_, rtol=1e-6)
        assert_allclose(pair.calibrators[0].y_thresholds_, own.y_thresholds_, rtol=1e-6)


@pytest.mark.parametrize("ensemble", ["auto", True])
def test_frozen(df, frame, ensemble):
    """What is fitted already is calibrated on all rows, or on those of each fold."""
    data = columns(df, "three", "fold")
    model = XGBClassifier(**SMALL).fit(data.drop("fold").where("a > 0"), "three")
    part, codes = frame[frame.a > 0], frame.three - 1
    own_model = DoubleXGBClassifier(**SMALL).fit(part[NUMBERS], codes[frame.a > 0])
    _, expected = own_fit(frame, "three", model=FrozenEstimator(own_model), ensemble=ensemble)
    ours = CalibratedClassifierCV(FrozenEstimator(model), cv=FOLDS, ensemble=ensemble)
    ours.fit(data, "three")
    assert len(ours.calibrated_classifiers_) == (1 if ensemble == "auto" else 3)
    assert_allclose(shares(ours.predict_proba(data)), expected, atol=1e-7)
    assert_allclose(ours.predict_proba(frame[NUMBERS]), expected, atol=1e-7)


@pytest.mark.slow
def test_frozen_network(df, frame):
    """Another library's probabilities, by Spark's Python workers."""
    X = frame[["a", "b.c"]].astype(np.float32)
    network = FrozenEstimator(TorchClassifier(max_epochs=1, random_state=0).fit(X, frame.two))
    data = df.selectExpr("float(a) AS a", "float(`b.c`) AS `b.c`", "two")
    ours = CalibratedClassifierCV(network, cv=3).fit(data, "two")
    own = sklearn.calibration.CalibratedClassifierCV(network, cv=3).fit(X, frame.two)
    assert_allclose(shares(ours.predict_proba(data)), own.predict_proba(X), atol=1e-5)


@pytest.mark.slow
def test_pipelines(df, frame):
    _, expected = own_fit(frame, "two", method="isotonic")
    data = columns(df, "two", "fold")
    model = XGBClassifier(**SMALL, probability_col="p", prediction_col="said")
    made = CalibratedClassifierCV(model, method="isotonic", cv=FOLDS)
    inside = CalibratedClassifierCV(
        make_pipeline(StandardScaler(), model), method="isotonic", cv=FOLDS
    ).fit(data, "two")
    assert_allclose(shares(inside.predict_proba(data), "p"), expected, atol=1e-5)
    # The scaler must not see the folds.
    roles = raydp_ml.set_roles(data, label="two", ignore=["fold"])
    piped = make_pipeline(StandardScaler(), made).fit(roles)
    found = piped.predict_proba(roles)
    assert found.columns == [*data.columns, "p"]
    assert_allclose(shares(found, "p"), expected, atol=1e-5)
    assert_allclose(found.toPandas().a, frame.a)  # as it was given
    assert piped.predict(roles).columns == [*data.columns, "said"]
    assert piped.score(roles) == pytest.approx(
        np.mean(np.unique(frame.two)[expected.argmax(axis=1)] == frame.two)
    )
    with pytest.raises(SchemaError, match="already has a column 'p'"):
        piped.predict_proba(found)


@pytest.mark.slow
def test_plans_have_no_python(df, capsys):
    data = columns(df, "two")
    ours = CalibratedClassifierCV(XGBClassifier(**SMALL), method="isotonic", cv=2).fit(data, "two")
    capsys.readouterr()
    ours.predict_proba(data).explain()
    plan = capsys.readouterr().out
    assert "probability" in plan
    assert "Python" not in plan


def test_in_memory_and_then_on_spark(df, frame):
    ours = CalibratedClassifierCV(XGBClassifier(**SMALL), method="isotonic", cv=3)
    ours.fit(frame[NUMBERS], frame.two)
    own = sklearn.calibration.CalibratedClassifierCV(
        XGBClassifier(**SMALL), method="isotonic", cv=3
    ).fit(frame[NUMBERS], frame.two)
    expected = own.predict_proba(frame[NUMBERS])
    assert_array_equal(ours.predict_proba(frame[NUMBERS]), expected)
    assert_allclose(shares(ours.predict_proba(df)), expected, rtol=1e-12)


@pytest.mark.slow
def test_blocks(df):
    data = columns(df, "two")
    model = CalibratedClassifierCV(XGBClassifier(**SMALL), cv=2)
    expected = clone(model).fit(data, "two")
    with raydp_ml.from_spark(data) as blocks:
        ours = model.fit(blocks, "two")
        assert ours.score(blocks, "two") == expected.score(data, "two")
    with raydp_ml.from_spark(data, NUMBERS) as blocks:
        made = ours.predict_proba(blocks)
    assert_allclose(made, shares(expected.predict_proba(data)), rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("ensemble", [True, False])
@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_a_class_that_a_fold_is_not_trained_on(df, frame, method, ensemble):
    """As scikit-learn around the same classifier: xgboost's own takes no such labels."""
    held = frame.assign(fold=np.where(frame.three == 3, 0, frame.fold).astype(np.int32))
    data = df.sparkSession.createDataFrame(held[[*NUMBERS, "three", "fold"]]).coalesce(1)
    params = {"method": method, "ensemble": ensemble}
    ours = CalibratedClassifierCV(XGBClassifier(**SMALL), cv=FOLDS, **params)
    if ensemble:
        ours.fit(data, "three")
    else:
        with pytest.warns(RuntimeWarning, match=r"training fold \(2\).*classes \(3\)"):
            ours.fit(data, "three")
    own = sklearn.calibration.CalibratedClassifierCV(
        XGBClassifier(**SMALL), cv=sklearn.model_selection.PredefinedSplit(held.fold), **params
    )
    with pytest.warns(RuntimeWarning) if not ensemble else pytest.MonkeyPatch.context():
        own.fit(held[NUMBERS], held.three)
    expected = own.predict_proba(held[NUMBERS])
    assert_allclose(shares(ours.predict_proba(data)), expected, atol=1e-6)
    if ensemble:
        ours.set_params(method="temperature")
        with pytest.raises(SchemaError, match=r"knows 2 of the 3 classes.*StratifiedKFold"):
            ours.fit(data, "three")


@pytest.mark.slow
def test_save_load_pickle(df, frame, tmp_path):
    data = raydp_ml.set_roles(columns(df, "three", "fold"), ignore=["fold"])
    pipe = make_pipeline(StandardScaler(), XGBClassifier(**SMALL))
    fitted = pipe.fit(data.drop("fold"), "three")
    models = [
        CalibratedClassifierCV(XGBClassifier(**SMALL), method=method, cv=FOLDS)
        for method in METHODS
    ]
    models.append(CalibratedClassifierCV(clone(pipe), cv=StratifiedKFold(2), ensemble=False))
    models.append(CalibratedClassifierCV(FrozenEstimator(fitted), method="isotonic", cv=2))
    for index, model in enumerate(models):
        model.fit(data, "three")
        expected = model.predict_proba(frame[NUMBERS])
        model.save(tmp_path / f"model{index}")
        for again in (
            raydp_ml.load(tmp_path / f"model{index}"),
            pickle.loads(pickle.dumps(model)),
        ):
            assert repr(again) == repr(model)
            assert set(vars(again)) == set(vars(model))
            assert_array_equal(again.predict_proba(frame[NUMBERS]), expected)
            assert_array_equal(again.classes_, model.classes_)
        again = raydp_ml.load(tmp_path / f"model{index}")
        assert_allclose(shares(again.predict_proba(data)), expected, rtol=1e-9)
    # What it was made of is no more fitted than it was.
    assert not hasattr(raydp_ml.load(tmp_path / "model0").estimator, "classes_")
    piped = make_pipeline(StandardScaler(), models[0])
    piped.fit(data, "three")
    raydp_ml.save(piped, tmp_path / "pipe")
    assert_array_equal(
        raydp_ml.load(tmp_path / "pipe").predict(frame[NUMBERS]), piped.predict(frame[NUMBERS])
    )
    linear = CalibratedClassifierCV(LogisticRegression(), cv=2).fit(frame[["a"]], frame.two)
    with pytest.raises(ValueError, match="LogisticRegression cannot be saved"):
        linear.save(tmp_path / "linear")


@pytest.mark.slow
def test_within_others(df, frame):
    data = columns(df, "two", "fold")
    model = CalibratedClassifierCV(XGBClassifier(**SMALL), cv=2)
    scores = cross_validate(model, data, "two", cv=FOLDS, scoring=["neg_log_loss", "roc_auc"])
    assert np.all(scores["test_roc_auc"] > 0.6)
    search = GridSearchCV(model, {"method": ["sigmoid", "isotonic"]}, cv=FOLDS).fit(data, "two")
    assert search.predict_proba(data).columns == [*data.columns, "probability"]
    tuned = TunedThresholdClassifierCV(model, cv=FOLDS).fit(data, "two")
    p = shares(tuned.predict_proba(data))[:, 1]
    expected = np.where(p >= tuned.best_threshold_, "yes", "no")
    assert_array_equal(tuned.predict(data).toPandas().prediction, expected)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["decimal(20, 0)", "float", "smallint", "boolean"])
def test_types_of_labels(df, frame, kind):
    """The prediction is of the label's type, and the classes are as close as those of any."""
    data = columns(df, "three").where("three < 3")
    data = data.withColumn("three", (data.three - 1).cast("int").cast(kind))
    model = CalibratedClassifierCV(XGBClassifier(**SMALL), method="temperature", cv=2)
    made = model.fit(data, "three").predict(data)
    assert made.schema["prediction"].dataType == data.schema["three"].dataType
    found = made.selectExpr("avg(int(prediction = three)) AS p").first()
    assert found.p > 0.7
    assert model.score(data, "three") == pytest.approx(found.p)


def test_refusals(df, frame):
    data, model = columns(df, "two", "fold"), XGBClassifier(**SMALL)
    for refused in (LogisticRegression(), FrozenEstimator(LogisticRegression()), None):
        with pytest.raises(TypeError, match="With a Spark DataFrame, the estimator of Calibrated"):
            CalibratedClassifierCV(refused).fit(data, "two")
    with pytest.raises(InvalidParameterError, match="The 'method' parameter of Calibrated"):
        CalibratedClassifierCV(model, method="platt").fit(data, "two")
    with pytest.raises(sklearn.exceptions.NotFittedError, match="XGBClassifier"):
        CalibratedClassifierCV(FrozenEstimator(model)).fit(data, "two")
    with pytest.raises(sklearn.exceptions.NotFittedError, match="CalibratedClassifierCV"):
        CalibratedClassifierCV(model).predict(data)
    with pytest.raises(TypeError, match=r"y is the name of one of its columns\. Got Series"):
        CalibratedClassifierCV(model).fit(data, frame.two)
    with pytest.raises(SchemaError, match="'tow'"):
        CalibratedClassifierCV(model).fit(data, "tow")
    with pytest.raises(ValueError, match="y to be passed"):
        CalibratedClassifierCV(model).fit(data)
    with pytest.raises(TypeError, match="LeaveOneOut"):
        CalibratedClassifierCV(model, cv=sklearn.model_selection.LeaveOneOut()).fit(data, "two")
    rare = data.selectExpr(*(f"`{c}`" for c in NUMBERS), "if(a > 2.5, 'rare', two) AS two")
    with (
        pytest.raises(ValueError, match="Requesting 30-fold cross-validation but provided less"),
        pytest.warns(UserWarning, match="least populated class"),
    ):
        CalibratedClassifierCV(model, cv=30).fit(rare, "two")
    for cv in (ShuffleSplit(2, random_state=0), PredefinedSplit("some")):
        some = data.selectExpr("*", "if(fold = 2, -1, fold) AS some")
        with pytest.raises(ValueError, match="only works for partitions"):
            CalibratedClassifierCV(model, cv=cv, ensemble=False).fit(some, "two")
    bad = data.selectExpr("*", "-1.0D AS w")
    with pytest.raises(SchemaError, match="The weights 'w' hold 450 null, NaN, negative"):
        CalibratedClassifierCV(model, cv=FOLDS).fit(bad, "two", sample_weight="w")
    null = data.selectExpr(*(f"`{c}`" for c in [*NUMBERS, "fold"]), "if(a > 1, null, two) AS two")
    with pytest.raises(SchemaError, match="The label 'two' holds"):
        CalibratedClassifierCV(model, cv=FOLDS).fit(null, "two")
    three = XGBClassifier(**SMALL).fit(columns(df, "three"), "three")
    some = columns(df, "three").where("three < 3")
    with pytest.raises(ValueError, match="previously unseen labels"):
        CalibratedClassifierCV(FrozenEstimator(three), cv=2).fit(some, "three")
    two = XGBClassifier(**SMALL).fit(some, "three")
    with pytest.raises(SchemaError, match=r"\[1, 2, 3\].*knows \[1, 2\] only"):
        CalibratedClassifierCV(FrozenEstimator(two), cv=2).fit(columns(df, "three"), "three")


def test_more_rows_than_a_worker_holds(df, monkeypatch):
    data = columns(df, "two")
    model = XGBClassifier(**SMALL).fit(data, "two")
    monkeypatch.setattr(raydp_ml.session.memory, "available_mib", lambda: 0.01)
    with pytest.raises(ResourceError, match=r"450 rows \(0.0 GB\) are too many.*df.sample"):
        CalibratedClassifierCV(FrozenEstimator(model), cv=2).fit(data, "two")


def test_temperature_knows_places(df, frame):
    """Labels that scikit-learn would take for places among the classes."""
    model = CalibratedClassifierCV(XGBClassifier(**SMALL), method="temperature", cv=3)
    with pytest.raises(ValueError, match=r"numbers 0, 1, .* Got the classes \[1, 2, 3\]"):
        model.fit(frame[NUMBERS], frame.three)
    for good in (frame.three - 1, frame.three.astype(str), frame.two == "yes"):
        assert clone(model).fit(frame[NUMBERS], good).predict_proba(frame[NUMBERS]).max() > 0.6
