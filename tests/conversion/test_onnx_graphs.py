"""ONNX graphs of models and Pipelines, run by onnxruntime, beside their own predictions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

import raydp_ml
from raydp_ml.compose import ColumnTransformer, TransformedTargetRegressor
from raydp_ml.conversion.onnx_nodes import as_labels
from raydp_ml.decomposition import PCA, TruncatedSVD
from raydp_ml.feature_extraction.text import CountVectorizer
from raydp_ml.feature_selection import SelectKBest, SelectPercentile, VarianceThreshold
from raydp_ml.impute import MissingIndicator, SimpleImputer
from raydp_ml.model_selection import FixedThresholdClassifier, GridSearchCV
from raydp_ml.pipeline import FeatureUnion, make_pipeline
from raydp_ml.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)
from raydp_ml.sql import SQLTransformer
from raydp_ml.torch import TorchRegressor
from raydp_ml.xgboost import (
    XGBClassifier,
    XGBRanker,
    XGBRegressor,
    XGBRFClassifier,
    XGBRFRegressor,
)

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra [onnx] and onnxruntime")

ROWS = 300
FEW = {"n_estimators": 8, "max_depth": 4, "n_jobs": 1}


def session(estimator):
    graph = raydp_ml.to_onnx(estimator).SerializeToString()
    return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])


def run(estimator, X):
    """Outputs of the estimator's graph, by name."""
    made = session(estimator)
    inputs = [item.name for item in made.get_inputs()]
    if inputs == ["X"]:
        values = np.asarray(X)
        given = {"X": values if values.dtype == object else values.astype(np.float32)}
    else:
        kinds = {"tensor(float)": np.float32, "tensor(string)": object}
        given = {
            item.name: X[[item.name]].to_numpy().astype(kinds[item.type])
            for item in made.get_inputs()
        }
    names = [item.name for item in made.get_outputs()]
    return dict(zip(names, made.run(None, given), strict=True))


@pytest.fixture(name="X", scope="module")
def matrix():
    rng = np.random.default_rng(0)
    made = (rng.random((ROWS, 4)) * [1, 10, 0.1, 3] + 0.01).astype(np.float32)
    made[rng.random(ROWS) < 0.2, 1] = np.nan
    return made


@pytest.fixture(scope="module")
def whole(X):
    return np.nan_to_num(X, nan=4.0)


@pytest.fixture(scope="module")
def label(whole):
    noise = np.random.default_rng(1).random(ROWS)
    return whole[:, 0] * 3 + whole[:, 1] / 5 - whole[:, 3] + noise


@pytest.fixture(scope="module")
def frame(whole):
    """Doubles, each a number of single precision."""
    rng = np.random.default_rng(2)
    made = pd.DataFrame(whole.astype(np.float64), columns=["a", "b", "c", "d"])
    made["word"] = rng.choice(["red", "green", "blü"], ROWS).astype(object)
    made["code"] = rng.integers(0, 4, ROWS).astype(np.float64)
    return made


REGRESSORS = {
    "defaults": XGBRegressor(**FEW),
    "base_score": XGBRegressor(base_score=7.5, **FEW),
    "dart": XGBRegressor(booster="dart", rate_drop=0.5, random_state=0, **FEW),
    "missing": XGBRegressor(missing=4.0, **FEW),
    "poisson": XGBRegressor(objective="count:poisson", **FEW),
    "gamma": XGBRegressor(objective="reg:gamma", base_score=2.0, **FEW),
    "logistic": XGBRegressor(objective="reg:logistic", **FEW),
    "quantiles": XGBRegressor(objective="reg:quantileerror", quantile_alpha=[0.1, 0.9], **FEW),
    "absolute error": XGBRegressor(objective="reg:absoluteerror", **FEW),
    "forest": XGBRFRegressor(**FEW),
    "one leaf": XGBRegressor(n_estimators=1, max_depth=2, min_child_weight=1e9, n_jobs=1),
    "two workers' worth of trees": XGBRegressor(n_estimators=100, num_parallel_tree=2, n_jobs=1),
}


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressors(X, label, name):
    y = label - label.min() + 0.1
    model = REGRESSORS[name].fit(X, y / y.max() if name == "logistic" else y)
    wanted = model.predict(X)
    made = model.to_onnx()
    assert [item.name for item in made.graph.input] == ["X"]
    assert_allclose(run(model, X)["prediction"], wanted, rtol=1e-5)


@pytest.mark.parametrize("strategy", ["one_output_per_tree", "multi_output_tree"])
def test_several_targets(X, label, strategy):
    y = np.column_stack([label, -label, label**2])
    model = XGBRegressor(multi_strategy=strategy, **FEW).fit(X, y)
    assert_allclose(run(model, X)["prediction"], model.predict(X), rtol=1e-5, atol=1e-6)


def test_early_stopping_counts_the_best_rounds_only(X, label):
    params = {"early_stopping_rounds": 2, "learning_rate": 0.9, "n_jobs": 1}
    model = XGBRegressor(n_estimators=80, **params)
    model.fit(X[:200], label[:200], eval_set=[(X[200:], label[200:])])
    assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
    assert_allclose(run(model, X)["prediction"], model.predict(X), rtol=1e-5)


CLASSIFIERS = {
    "two": (XGBClassifier(**FEW), [False, True]),
    "two words": (XGBClassifier(**FEW), ["no", "yes"]),
    "three": (XGBClassifier(**FEW), [0, 1, 2]),
    "three words": (XGBClassifier(**FEW), ["ä", "b", "c"]),
    "numbers of one's own": (XGBClassifier(**FEW), [-1, 5, 7]),
    "softmax": (XGBClassifier(objective="multi:softmax", **FEW), ["a", "b", "c"]),
    "base_score": (XGBClassifier(base_score=0.2, **FEW), [0, 1]),
    "dart": (XGBClassifier(booster="dart", rate_drop=0.5, random_state=0, **FEW), ["a", "b"]),
    "forest": (XGBRFClassifier(**FEW), ["a", "b", "c"]),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers(X, label, name):
    model, classes = CLASSIFIERS[name]
    edges = np.quantile(label, np.linspace(0, 1, len(classes) + 1)[1:-1])
    model.fit(X, np.array(classes)[np.digitize(label, edges)])
    made = run(model, X)
    assert_array_equal(made["prediction"], model.predict(X))
    assert_allclose(made["probability"], model.predict_proba(X), rtol=1e-5, atol=1e-6)


def test_a_ranker(X, label):
    ranks = np.digitize(label, np.quantile(label, [0.3, 0.7]))
    model = XGBRanker(**FEW).fit(X, ranks, qid=np.arange(ROWS) // 10)
    assert_allclose(run(model, X)["prediction"], model.predict(X), rtol=1e-5, atol=1e-6)


TRANSFORMERS = [
    Binarizer(threshold=1.0),
    FunctionTransformer(),
    FunctionTransformer(np.log1p),
    FunctionTransformer(np.expm1),
    FunctionTransformer(np.square),
    FunctionTransformer(np.sqrt),
    ColumnTransformer(
        [("a", MaxAbsScaler(), [3, 0]), ("b", "drop", [1])],
        remainder="passthrough",
        transformer_weights={"a": 2.0},
    ),
    FeatureUnion([("a", StandardScaler()), ("b", make_pipeline(MinMaxScaler(), Binarizer()))]),
    KBinsDiscretizer(4, encode="ordinal"),
    KBinsDiscretizer(4, encode="onehot-dense"),
    MaxAbsScaler(),
    MinMaxScaler(clip=True),
    Normalizer(),
    Normalizer("l1"),
    Normalizer("max"),
    PCA(2, whiten=True),
    PolynomialFeatures((2, 3), include_bias=False),
    PowerTransformer(),
    PowerTransformer("box-cox", standardize=False),
    QuantileTransformer(n_quantiles=20),
    RobustScaler(unit_variance=True),
    SelectKBest(k=2),
    SelectPercentile(percentile=60),
    StandardScaler(with_mean=False),
    TruncatedSVD(2),
    VarianceThreshold(0.1),
]


@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=lambda item: repr(item)[:40])
def test_transformers(whole, label, transformer):
    rows = whole.astype(np.float64)
    transformer.fit(rows, label > label.mean())
    made = run(transformer, whole)["transformed"]
    assert_allclose(made, transformer.transform(rows), rtol=1e-5, atol=1e-7)


@pytest.mark.filterwarnings("ignore:Skipping features without any observed values")
@pytest.mark.parametrize("strategy", ["mean", "median", "most_frequent", "constant"])
def test_missing_values(X, strategy):
    rows = np.column_stack([X, np.full(ROWS, np.nan)]).astype(np.float64)
    for step in (
        SimpleImputer(strategy=strategy, add_indicator=True),
        SimpleImputer(strategy=strategy, keep_empty_features=True),
        MissingIndicator(),
    ):
        step.fit(rows)
        assert_allclose(run(step, rows)["transformed"], step.transform(rows))
    zeros = np.nan_to_num(rows)
    step = SimpleImputer(missing_values=0.0, strategy=strategy).fit(zeros)
    assert_allclose(run(step, zeros)["transformed"], step.transform(zeros))


def test_missing_strings(frame, label):
    rows = frame[["word"]].replace("red", "?")
    pipe = make_pipeline(
        SimpleImputer(missing_values="?", strategy="most_frequent"), TargetEncoder()
    ).fit(rows, label)
    assert_allclose(run(pipe, rows)["transformed"], pipe.transform(rows))


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA], ids=str)
def test_missing_strings_as_they_are(frame, label, missing):
    """onnxruntime makes texts of them, which the graph knows."""
    rows = frame[["word"]].astype(object).where(frame[["word"]] != "red", missing)
    for step in (
        OneHotEncoder(sparse_output=False),
        OrdinalEncoder(),
        TargetEncoder(random_state=0),
        make_pipeline(
            SimpleImputer(missing_values=missing, strategy="most_frequent"),
            OneHotEncoder(sparse_output=False),
        ),
        make_pipeline(
            SimpleImputer(missing_values=missing, strategy="constant", fill_value="red"),
            OrdinalEncoder(),
        ),
    ):
        # (scikit-learn's encoders take None and NaN.)
        known = rows.fillna(np.nan) if missing is pd.NA and not hasattr(step, "steps") else rows
        made = run(step.fit(known, label), rows)["transformed"]
        assert_allclose(made, step.transform(known))


def test_none_and_nan_are_two_categories():
    rows = pd.DataFrame({"word": np.array([None, np.nan, "nan", "a"], dtype=object)})
    for step in (OrdinalEncoder(), OneHotEncoder(sparse_output=False)):
        some = rows.iloc[[0, 1, 3]]
        assert_allclose(run(step.fit(some), some)["transformed"], step.transform(some))
        # A text is itself where it is a category.
        assert_allclose(run(step.fit(rows), rows)["transformed"][2:], step.transform(rows)[2:])


def test_axes_of_single_precision(X):
    for step in (PCA(2), PCA(2, whiten=True), TruncatedSVD(2)):
        rows = np.nan_to_num(X).astype(np.float32)
        made = run(step.fit(rows), rows)["transformed"]
        assert_allclose(made, step.transform(rows), rtol=1e-4, atol=1e-5)


def test_values_beyond_those_of_fit(whole):
    rows = (3 * whole - 2).astype(np.float64)
    for step in (
        KBinsDiscretizer(4, encode="ordinal"),
        MinMaxScaler(clip=True),
        PowerTransformer(),
        QuantileTransformer(n_quantiles=20),
    ):
        step.fit(whole.astype(np.float64))
        single = rows.astype(np.float32).astype(np.float64)
        assert_allclose(run(step, rows)["transformed"], step.transform(single), rtol=1e-6)


def test_missing_numbers_are_a_category(frame, label):
    rows = frame[["code"]].replace(2.0, np.nan)
    for encoder in (OneHotEncoder(), OrdinalEncoder(encoded_missing_value=-5), TargetEncoder()):
        made = run(encoder.fit(rows, label), rows)["transformed"]
        wanted = encoder.transform(rows)
        assert_allclose(made, wanted.toarray() if hasattr(wanted, "toarray") else wanted)


@pytest.mark.parametrize(
    "encoder",
    [
        OneHotEncoder(),
        OneHotEncoder(min_frequency=90, handle_unknown="infrequent_if_exist"),
        OrdinalEncoder(max_categories=3),
        OneHotEncoder(drop="first", sparse_output=False),
        OneHotEncoder(handle_unknown="ignore"),
        OrdinalEncoder(),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
        TargetEncoder(),
    ],
    ids=lambda item: repr(item)[:40],
)
@pytest.mark.parametrize("columns", [["word"], ["code"], ["word", "code"]], ids=str)
def test_encoders(frame, label, encoder, columns):
    target = label if columns != ["word", "code"] else np.digitize(label, [1.0, 2.0])
    encoder.fit(frame[columns], target)
    known = {name: getattr(encoder, name, None) for name in ("handle_unknown", "target_type")}
    rows = frame[columns].copy()
    if (
        known["handle_unknown"] in {"ignore", "infrequent_if_exist", "use_encoded_value"}
        or known["target_type"]
    ):
        rows.iloc[0] = ["new" if name == "word" else 99.0 for name in columns]
    wanted = encoder.transform(rows)
    wanted = wanted.toarray() if hasattr(wanted, "toarray") else wanted
    assert_allclose(run(encoder, rows)["transformed"], wanted, rtol=1e-5)


def columns_of_all_kinds():
    return ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["b", "a"]),
            ("word", OneHotEncoder(), ["word"]),
            ("code", OrdinalEncoder(), ["code"]),
            ("as it is", "passthrough", ["d"]),
        ]
    )


def test_a_pipeline_of_mixed_columns(frame, label):
    late = np.where(label > label.mean(), "late", "on time")
    pipe = make_pipeline(columns_of_all_kinds(), XGBClassifier(**FEW)).fit(frame, late)
    assert [item.name for item in raydp_ml.to_onnx(pipe).graph.input] == list(frame.columns)
    made = run(pipe, frame)
    assert_array_equal(made["prediction"], pipe.predict(frame))
    assert_allclose(made["probability"], pipe.predict_proba(frame), rtol=1e-5)


def test_columns_named_like_the_nodes_of_the_graph(frame, label):
    names = ["Cast_0", "constant_1", "Gather_3_", "word", "transformed"]
    rows = frame[["a", "b", "d", "word", "code"]].set_axis(names, axis=1)
    rows["transformed"] = rows["Cast_0"]
    columns = ColumnTransformer([("word", OneHotEncoder(), ["word"])], remainder=StandardScaler())
    pipe = make_pipeline(columns, XGBRegressor(**FEW)).fit(rows, label)
    assert_allclose(run(pipe, rows)["prediction"], pipe.predict(rows), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "text"),
    [("prediction", r"'prediction' bears the name of an output"), ("", "has the empty name")],
)
def test_columns_named_like_an_output(frame, label, name, text):
    rows = frame[["a", "word"]].set_axis([name, "word"], axis=1)
    columns = ColumnTransformer([("word", OneHotEncoder(), ["word"])], remainder="passthrough")
    pipe = make_pipeline(columns, XGBRegressor(**FEW)).fit(rows, label)
    with pytest.raises(ValueError, match=text):
        raydp_ml.to_onnx(pipe)


def test_a_pipeline_of_numbers_takes_one_tensor(X, label):
    frame = pd.DataFrame(X.astype(np.float64), columns=["a", "b", "c", "d"])
    columns = ColumnTransformer([("a", SimpleImputer(), ["b", "a"])], remainder="passthrough")
    pipe = make_pipeline(columns, PCA(3), XGBRegressor(**FEW)).fit(frame, label)
    assert_allclose(run(pipe, frame)["prediction"], pipe.predict(frame), rtol=1e-5, atol=1e-6)


def test_what_a_sparse_step_leaves_out_is_missing(frame, label):
    pipe = make_pipeline(OneHotEncoder(), XGBRegressor(**FEW)).fit(frame[["word", "code"]], label)
    rows = frame[["word", "code"]]
    assert_allclose(run(pipe, rows)["prediction"], pipe.predict(rows), rtol=1e-5)


def test_a_search_is_its_best_estimator(whole, label):
    search = GridSearchCV(XGBRegressor(**FEW), {"max_depth": [1, 2]}, cv=2).fit(whole, label)
    assert_allclose(run(search, whole)["prediction"], search.predict(whole), rtol=1e-5)


def test_fitted_on_spark(spark, frame, label):
    df = spark.createDataFrame(frame.assign(y=label))
    pipe = make_pipeline(columns_of_all_kinds(), XGBRegressor(**FEW)).fit(df, "y")
    found = pipe.predict(df).toPandas()
    made = run(pipe, found[list(frame.columns)])["prediction"]
    assert_allclose(made, found["prediction"], rtol=1e-5, atol=1e-6)


def test_the_estimator_stays_as_it_was(frame, label):
    pipe = make_pipeline(columns_of_all_kinds(), XGBRegressor(**FEW)).fit(frame, label)
    before = pipe.predict(frame)
    raydp_ml.to_onnx(pipe)
    assert_array_equal(pipe.predict(frame), before)
    assert pipe[0].transformers_[0][2] == ["b", "a"]


def refused(whole, label, frame):
    numbers = pd.DataFrame(whole, columns=["a", "b", "c", "d"])
    category = frame[["a", "word"]].astype({"word": "category"})
    labels = np.column_stack([label > 2, label > 3]).astype(int)
    yield XGBRegressor(booster="gblinear", **FEW).fit(whole, label), "linear booster"
    words = r"columns of categories.*OneHotEncoder"
    yield XGBRegressor(enable_categorical=True, **FEW).fit(category, label), words
    unsplit = category.assign(word=pd.Categorical(["same"] * ROWS))
    yield XGBRegressor(enable_categorical=True, **FEW).fit(unsplit, label), words
    codes = frame[["a", "code"]].to_numpy()
    typed = XGBRegressor(enable_categorical=True, feature_types=["q", "c"], **FEW)
    yield typed.fit(codes, label + 5 * (codes[:, 1] % 2)), "splits of categories"
    yield XGBClassifier(objective="binary:hinge", **FEW).fit(whole, label > 2), "'binary:hinge'"
    yield XGBClassifier(**FEW).fit(whole, labels), "several labels"
    yield TorchRegressor(max_epochs=1).fit(whole, label), r"torch\.onnx\.export\(model\.to_torch"
    normal = QuantileTransformer(n_quantiles=9, output_distribution="normal")
    yield normal.fit(whole), "output_distribution='normal'"
    yield SplineTransformer().fit(whole), "SplineTransformer is not"
    yield FunctionTransformer(np.sinh).fit(whole), "FunctionTransformer with func="
    columns = [("count", CountVectorizer(), "word")]
    yield ColumnTransformer(columns).fit(frame), "CountVectorizer is not converted"
    yield SQLTransformer(), "SQLTransformer is not"
    yield make_pipeline(LogisticRegression()).fit(whole, label > 2), "LogisticRegression is not"
    target = TransformedTargetRegressor(XGBRegressor(**FEW), func=np.log1p, inverse_func=np.expm1)
    yield target.fit(numbers, label.clip(0)), "TransformedTargetRegressor is not"
    yield FixedThresholdClassifier(XGBClassifier(**FEW)).fit(whole, label > 2), "is not converted"


def test_what_onnx_cannot_hold_says_so(whole, label, frame):
    for estimator, text in refused(whole, label, frame):
        with pytest.raises(TypeError, match=text):
            raydp_ml.to_onnx(estimator)


def test_labels_that_onnx_does_not_know():
    assert as_labels(np.array([False, True]), "model").tolist() == [0, 1]
    assert as_labels(np.array(["a", "b"], dtype=object), "model").tolist() == ["a", "b"]
    with pytest.raises(TypeError, match=r"classes of this model, \[0\.5, 2\.0\], are neither"):
        as_labels(np.array([0.5, 2.0]), "model")


def test_before_fit():
    with pytest.raises(NotFittedError):
        XGBRegressor().to_onnx()
    with pytest.raises(NotFittedError):
        raydp_ml.to_onnx(make_pipeline(StandardScaler(), XGBRegressor()))
