"""A session is its user's: whatever it sets and registers, values are scikit-learn's own.

`spark.newSession()` has settings and functions of its own, so that the shared session stays clean.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn import preprocessing as sk
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

import raydp_ml
from raydp_ml.compose import ColumnTransformer
from raydp_ml.decomposition import PCA, TruncatedSVD
from raydp_ml.exceptions import SessionError
from raydp_ml.exchange import sql_text
from raydp_ml.feature_extraction.text import CountVectorizer, TfidfVectorizer
from raydp_ml.feature_selection import SelectKBest, VarianceThreshold
from raydp_ml.impute import MissingIndicator, SimpleImputer
from raydp_ml.pipeline import FeatureUnion
from raydp_ml.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    LabelEncoder,
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
from raydp_ml.torch import TorchClassifier, TorchRegressor
from raydp_ml.xgboost import XGBClassifier, XGBRanker, XGBRegressor

SETTINGS = {
    "spark.sql.ansi.doubleQuotedIdentifiers": "true",
    "spark.sql.caseSensitive": "true",
    "spark.sql.decimalOperations.allowPrecisionLoss": "false",
    "spark.sql.functionResolution.sessionOrder": "first",
    "spark.sql.legacy.createEmptyCollectionUsingStringType": "true",
    "spark.sql.legacy.exponentLiteralAsDecimal.enabled": "true",
    "spark.sql.legacy.followThreeValuedLogicInArrayExists": "false",
    "spark.sql.legacy.literal.pickMinimumPrecision": "false",
    "spark.sql.legacy.nullInEmptyListBehavior": "true",
    "spark.sql.legacy.sizeOfNull": "true",
    "spark.sql.legacy.statisticalAggregate": "true",
    "spark.sql.mapKeyDedupPolicy": "LAST_WIN",
    "spark.sql.optimizer.excludedRules": ",".join(
        f"org.apache.spark.sql.catalyst.optimizer.{rule}"
        for rule in ("ConstantFolding", "SimplifyCasts", "NullPropagation", "CollapseProject")
    ),
    "spark.sql.parser.escapedStringLiterals": "true",
    "spark.sql.parser.quotedRegexColumnNames": "true",
    "spark.sql.parser.singleCharacterPipeOperator.enabled": "false",
    "spark.sql.session.timeZone": "Asia/Kathmandu",
    "spark.sql.shuffle.partitions": "2",
}
STRICT = {
    "spark.sql.ansi.enabled": "true",
    "spark.sql.ansi.enforceReservedKeywords": "true",
    "spark.sql.storeAssignmentPolicy": "STRICT",
}
LAX = {"spark.sql.ansi.enabled": "false", "spark.sql.storeAssignmentPolicy": "LEGACY"}
# All of Spark's functions that our SQL calls.
FUNCTIONS = [
    "abs",
    "aggregate",
    "array",
    "array_max",
    "asin",
    "atan",
    "avg",
    "cbrt",
    "ceil",
    "coalesce",
    "concat",
    "corr",
    "cos",
    "cosh",
    "count",
    "count_if",
    "double",
    "element_at",
    "exists",
    "exp",
    "explode",
    "expm1",
    "floor",
    "if",
    "isnan",
    "isnotnull",
    "isnull",
    "lag",
    "lead",
    "ln",
    "log",
    "log10",
    "log1p",
    "log2",
    "max",
    "min",
    "named_struct",
    "nanvl",
    "nullif",
    "posexplode",
    "pow",
    "power",
    "raise_error",
    "rand",
    "round",
    "row_number",
    "sequence",
    "sign",
    "signum",
    "sin",
    "sinh",
    "split",
    "sqrt",
    "struct",
    "sum",
    "tan",
    "tanh",
    "transform",
    "var_pop",
]
NUMBERS = ["${x}", "a.b", "aXb", "select", "`q`", "a b"]
TEXTS = [
    "user",
    "${spark.app.name}",
    "L'Oreal",
    "C:\\x",
    "US$",
    'say "hi"',
    "two\nlines",
    "\\u0041",
]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(STRICT, id="strict"),
        pytest.param(LAX, id="lax", marks=pytest.mark.grid),
    ],
)
def session(spark, request):
    made = spark.newSession()
    for name in FUNCTIONS:
        made.udf.register(name, lambda *args: -1.0, "double")
    for key, value in {**SETTINGS, **request.param}.items():
        made.conf.set(key, value)
    return made


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    made = pd.DataFrame(rng.uniform(0.5, 9, size=(80, len(NUMBERS))), columns=NUMBERS)
    made["a b"] = rng.integers(1, 5, 80).astype(float)
    made["from"] = np.array(TEXTS)[rng.integers(0, len(TEXTS), 80)]
    made["group"] = np.array(["'", "\\", "${y}"])[np.arange(80) % 3]
    made["y"] = (made["a.b"] + made["aXb"] > 9).astype(int)
    made["name"] = np.where(made["y"] == 1, "it's $1\\", "no")
    made["w"] = rng.uniform(0.5, 2, 80)
    return made


def in_spark(session, frame, **roles):
    return raydp_ml.set_roles(session.createDataFrame(frame).coalesce(1), **roles)


def dense(values):
    values = values.toarray() if hasattr(values, "toarray") else np.asarray(values)
    return values if values.dtype.kind in "OUS" else values.astype(float)


def collected(df, names=None):
    """Return the columns (by place: names may be anything), vectors as columns of their own."""
    rows = df.collect()
    kept = [i for i, name in enumerate(df.columns) if names is None or name in names]
    parts = [
        [row[i].toArray() if hasattr(row[i], "toArray") else [row[i]] for row in rows] for i in kept
    ]
    return dense(np.hstack([np.array(part) for part in parts]))


NUMERIC = [
    StandardScaler(),
    MinMaxScaler(),
    MaxAbsScaler(),
    RobustScaler(),
    Normalizer(),
    Normalizer("l1"),
    Normalizer("max"),
    Binarizer(threshold=2),
    PolynomialFeatures(),
    SplineTransformer(n_knots=4),
    KBinsDiscretizer(3, encode="ordinal", quantile_method="averaged_inverted_cdf"),
    KBinsDiscretizer(3, strategy="uniform", encode="onehot"),
    QuantileTransformer(n_quantiles=70),
    QuantileTransformer(n_quantiles=10, output_distribution="normal"),
    PowerTransformer(),
    PowerTransformer("box-cox"),
    FunctionTransformer(np.log1p),
    FunctionTransformer(np.floor),
    SimpleImputer(),
    SimpleImputer(strategy="median"),
    PCA(2),
    TruncatedSVD(2, algorithm="arpack"),
    VarianceThreshold(),
    FeatureUnion([("a", MinMaxScaler()), ("b", Binarizer())]),
    make_pipeline(KBinsDiscretizer(3, strategy="uniform"), MaxAbsScaler()),
]


def check(transformer, df, frame, rtol=1e-9):
    """Fit on Spark; compare with the same object, and with scikit-learn's fit, in memory."""
    fitted = clone(transformer).fit(df)
    got = collected(fitted.transform(df))
    assert got.shape[0] == len(frame)
    want = dense(clone(transformer).fit(frame).transform(frame))
    if got.dtype.kind in "OUS":
        assert got.tolist() == want.tolist()
    else:
        sign = (
            np.sign(np.nansum(got * want, axis=0))
            if isinstance(transformer, (PCA, TruncatedSVD))
            else 1
        )
        np.testing.assert_allclose(got * sign, want, rtol=rtol, atol=rtol * 100)


@pytest.mark.slow
@pytest.mark.parametrize("transformer", NUMERIC, ids=lambda item: str(item)[:40])
def test_numbers(session, frame, transformer):
    numbers = frame[NUMBERS]
    rtol = 1e-5 if isinstance(transformer, PowerTransformer) else 1e-9
    check(transformer, in_spark(session, numbers), numbers, rtol)


CATEGORICAL = [
    OneHotEncoder(sparse_output=False),
    OneHotEncoder(handle_unknown="ignore", min_frequency=9),
    OrdinalEncoder(),
    SimpleImputer(strategy="most_frequent", missing_values="US$"),
    MissingIndicator(missing_values="C:\\x", features="all"),
    ColumnTransformer(
        [
            ("one", OneHotEncoder(sparse_output=False), ["from"]),
            ("ord", OrdinalEncoder(), ["group"]),
        ]
    ),
]


@pytest.mark.parametrize("transformer", CATEGORICAL, ids=lambda item: str(item)[:30])
def test_categories(session, frame, transformer):
    texts = frame[["from", "group"]].astype(object)
    check(transformer, in_spark(session, texts), texts)


def test_what_names_columns(session, frame):
    df = in_spark(session, frame[["from"]])
    encoder = OneHotEncoder(sparse_output=False).fit(df)
    assert encoder.transform(df).columns == list(encoder.get_feature_names_out())
    back = encoder.inverse_transform(encoder.transform(df))
    assert [row[0] for row in back.collect()] == frame["from"].tolist()


def test_many_categories(session):
    """So many that they are searched for in an array."""
    values = [f"{text}{i}" for i in range(20) for text in ("'", "\\", "$", '"', "${")]
    frame = pd.DataFrame({"c": values, "${n}": np.arange(100.0)})
    check(OrdinalEncoder(), in_spark(session, frame), frame)


@pytest.mark.parametrize("label", ["y", "name", "w"])
def test_supervised(session, frame, label):
    names = ["from", "group", label]
    df = in_spark(session, frame[names], label=label)
    X, y = frame[["from", "group"]].astype(object), frame[label]
    got = collected(TargetEncoder().fit(df).transform(df), {"from", "group"})
    np.testing.assert_allclose(got, sk.TargetEncoder().fit(X, y).transform(X), rtol=1e-9)
    crossed = collected(TargetEncoder().fit(df).fit_transform(df), {"from", "group"})
    assert np.isfinite(crossed).all()
    if label != "w":
        df = in_spark(session, frame[[*NUMBERS, label]], label=label)
        fitted = SelectKBest(k=2).fit(df)
        want = SelectKBest(k=2).fit(frame[NUMBERS], y)
        np.testing.assert_allclose(fitted.scores_, want.scores_, rtol=1e-9)
        only = in_spark(session, frame[[label]])
        encoder = LabelEncoder().fit(only)
        places = [row[0] for row in encoder.transform(only).collect()]
        assert places == sk.LabelEncoder().fit_transform(y).tolist()
        back = encoder.inverse_transform(encoder.transform(only)).collect()
        assert [row[0] for row in back] == y.tolist()


def test_weights(session, frame):
    numbers = [*NUMBERS, "w"]
    df = in_spark(session, frame[numbers], sample_weight="w")
    scaler = StandardScaler().fit(df)
    want = sk.StandardScaler().fit(frame[NUMBERS], sample_weight=frame["w"])
    np.testing.assert_allclose(scaler.scale_, want.scale_, rtol=1e-9)
    method = {"quantile_method": "averaged_inverted_cdf", "encode": "ordinal"}
    bins = KBinsDiscretizer(3, **method).fit(df)
    want = sk.KBinsDiscretizer(3, **method).fit(frame[NUMBERS], sample_weight=frame["w"])
    for got_edges, want_edges in zip(bins.bin_edges_, want.bin_edges_, strict=True):
        np.testing.assert_allclose(got_edges, want_edges, rtol=1e-9)


@pytest.mark.parametrize("vectorizer", [CountVectorizer(), TfidfVectorizer()], ids=str)
def test_texts(session, frame, vectorizer):
    df = in_spark(session, frame[["from"]])
    got = collected(clone(vectorizer).fit(df).transform(df))
    want = clone(vectorizer).fit(frame["from"]).transform(frame["from"])
    np.testing.assert_allclose(got, want.toarray(), rtol=1e-9)


MODELS = [
    (XGBRegressor(n_estimators=3, num_workers=0), "w"),
    (XGBClassifier(n_estimators=3, num_workers=0), "name"),
    (XGBClassifier(n_estimators=3, num_workers=0, enable_categorical=True), "y"),
    (TorchRegressor(max_epochs=2, num_workers=0, random_state=0), "w"),
    (TorchClassifier(max_epochs=2, num_workers=0, random_state=0), "name"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("model", "label"), MODELS, ids=lambda item: str(item)[:40])
def test_models(session, frame, model, label):
    names = [*NUMBERS, *(["from"] if getattr(model, "enable_categorical", False) else [])]
    df = in_spark(session, frame[[*names, label]], label=label)
    steps = [] if len(names) > len(NUMBERS) else [StandardScaler()]
    pipe = make_pipeline(*steps, clone(model)).fit(df)
    made = pipe.predict(df)
    assert made.columns == [*df.columns, "prediction"]
    assert [row[:-1] for row in made.collect()] == [tuple(row) for row in df.collect()]
    got = [row[-1] for row in made.collect()]
    want = pipe.predict(frame[names]).tolist()
    if label == "w":
        np.testing.assert_allclose(got, want, rtol=1e-5)
    else:
        assert got == want
        shares = np.array([row[-1] for row in pipe.predict_proba(df).collect()])
        np.testing.assert_allclose(shares, pipe.predict_proba(frame[names]), atol=1e-6)
    assert pipe.score(df) == pytest.approx(pipe.score(frame[names], frame[label]), rel=1e-6)


def test_ranking(session, frame):
    ranked = frame[[*NUMBERS, "y", "group"]].sort_values("group", kind="stable")
    df = in_spark(session, ranked, label="y", group="group")
    model = XGBRanker(n_estimators=3, num_workers=0).fit(df)
    groups = pd.factorize(ranked["group"])[0]
    want = model.score(ranked[NUMBERS], ranked["y"], qid=groups)
    assert model.score(df) == pytest.approx(want, rel=1e-9)


def test_vectors_cross(session, frame):
    df = in_spark(session, frame[["from"]])
    made = OneHotEncoder().fit(df).transform(df)
    with raydp_ml.from_spark(made) as blocks:
        np.testing.assert_array_equal(
            np.array(blocks.to_arrow().column(0).to_pylist()), collected(made)
        )
        back = raydp_ml.to_spark(blocks, session)
        np.testing.assert_array_equal(collected(back), collected(made))


def test_own_functions_are_for_own_queries(session, frame):
    """The user's SQL is in his own session's dialect, with his functions."""
    df = in_spark(session, frame[NUMBERS])
    made = SQLTransformer("select sqrt(`aXb`) as r from __THIS__").fit_transform(df)
    assert {row[0] for row in made.collect()} == {-1.0}


@pytest.mark.slow
@pytest.mark.parametrize("collation", ["UTF8_LCASE", "UNICODE_CI", "UTF8_BINARY_RTRIM"])
def test_collations(spark, collation):
    """Keys are told apart by their bytes, as in memory, at fit and at transform."""
    pdf = pd.DataFrame({"s": ["a", "A", "b", "a ", "A", "b"] * 4, "y": [0, 1, 0, 1, 1, 1] * 4})
    pdf["x"], pdf["g"] = np.arange(24.0), sorted(pdf["s"])
    session = spark.newSession()
    # The names of outputs differ by case as well.
    session.conf.set("spark.sql.caseSensitive", "true")
    plain = session.createDataFrame(pdf).coalesce(1)
    texts = [f"collate(`{name}`, '{collation}') AS {name}" for name in ("s", "g")]
    df = plain.selectExpr(*texts, "x", "y")
    only = df.select("s")
    for transformer in (
        OneHotEncoder(sparse_output=False),
        OrdinalEncoder(),
        SimpleImputer(strategy="most_frequent", missing_values="a"),
        MissingIndicator(missing_values="a", features="all"),
    ):
        check(transformer, only, pdf[["s"]].astype(object))
    encoder = LabelEncoder().fit(only)
    assert [row[0] for row in encoder.transform(only).collect()] == sk.LabelEncoder().fit_transform(
        pdf["s"]
    ).tolist()
    supervised = TargetEncoder().fit(df.select("s", "y"), "y")
    want = sk.TargetEncoder().fit(pdf[["s"]], pdf["y"]).transform(pdf[["s"]])
    np.testing.assert_allclose(
        collected(supervised.transform(df.select("s", "y")), {"s"}), want, rtol=1e-9
    )
    by_text = TargetEncoder().fit(df.select("s", "g"), "g")
    assert by_text.classes_.tolist() == sorted(set(pdf["g"]))
    scores = SelectKBest(k=1).fit(df.select("x", "s"), "s").scores_
    np.testing.assert_allclose(scores, SelectKBest(k=1).fit(pdf[["x"]], pdf["s"]).scores_)
    params = {"n_estimators": 2, "num_workers": 0}
    model = XGBClassifier(**params).fit(df.select("x", "s"), "s")
    assert model.classes_.tolist() == sorted(set(pdf["s"]))
    assert model.score(df, "s") == pytest.approx(model.score(pdf[["x"]], pdf["s"]))
    model = XGBClassifier(enable_categorical=True, **params).fit(df.select("s", "y"), "y")
    got = [row[-1] for row in model.predict_proba(only).collect()]
    np.testing.assert_allclose(got, model.predict_proba(pdf[["s"]]), atol=1e-6)
    ranker = XGBRanker(**params).fit(df.select("x", "y", "g"), "y", group="g")
    want = ranker.score(pdf[["x"]], pdf["y"], qid=pd.factorize(pdf["g"])[0])
    assert ranker.score(df, "y", group="g") == pytest.approx(want)


def test_constants_are_not_made_anew_for_each_row(spark):
    """On a local relation Spark evaluates projections before it folds constants."""
    frame = pd.DataFrame({"c": np.arange(3000) % 1500, "s": [f"'{i % 1500}" for i in range(3000)]})
    df = spark.createDataFrame(frame)
    encoder = OrdinalEncoder().fit(df)
    plan = encoder.transform(df)._jdf.queryExecution().analyzed().toString()
    assert "split" not in plan
    assert "array('" not in plan
    np.testing.assert_array_equal(collected(encoder.transform(df)), encoder.transform(frame))


def test_where_our_java_part_cannot_be_used(spark, frame):
    """The session's own parser has to do, as in Spark Connect."""
    session = spark.newSession()
    sql_text._known[session] = None
    texts = frame[["from", "group"]].astype(object)
    df = in_spark(session, texts)
    check(OrdinalEncoder(), df, texts)
    numbers = in_spark(session, frame[NUMBERS])
    check(StandardScaler(), numbers.drop("${x}"), frame[NUMBERS[1:]])
    with pytest.raises(SessionError, match=r"set\('spark.sql.variable.substitute', 'false'\)"):
        StandardScaler().fit(numbers)
    session.conf.set("spark.sql.variable.substitute", "false")
    check(StandardScaler(), numbers, frame[NUMBERS])
    check(OneHotEncoder(sparse_output=False), df, texts)
    session.conf.set("spark.sql.parser.escapedStringLiterals", "true")
    with pytest.raises(SessionError, match=r"set\('spark.sql.parser.escapedStringLiterals', 'f"):
        OrdinalEncoder().fit(df)
