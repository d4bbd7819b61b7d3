"""Over Spark Connect all is as with a JVM in this process: rows, statistics, models, scores."""

from __future__ import annotations

import threading

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sklearn.metrics
import sklearn.model_selection
import xgboost
from pyspark.sql import functions
from sklearn import compose, decomposition, impute, inspection, preprocessing

import raydp_ml
from raydp_ml.compose import ColumnTransformer
from raydp_ml.decomposition import PCA
from raydp_ml.exceptions import SchemaError, SessionError
from raydp_ml.impute import SimpleImputer
from raydp_ml.inspection import partial_dependence, permutation_importance
from raydp_ml.metrics import report
from raydp_ml.model_selection import GridSearchCV, PredefinedSplit, train_test_split
from raydp_ml.pipeline import make_pipeline
from raydp_ml.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)
from raydp_ml.sql import SQLTransformer
from raydp_ml.torch import TorchClassifier
from raydp_ml.xgboost import (
    XGBClassifier,
    XGBRanker,
    XGBRegressor,
    jvm_shapley,
    jvm_trees,
)
from tests.carriers import FEATURES, carrier_rows
from tests.parity import assert_same_attributes

pytestmark = [pytest.mark.slow, pytest.mark.modes("connect")]

SMALL = {"n_estimators": 4, "max_depth": 3}


@pytest.fixture(scope="module")
def rows():
    return carrier_rows().assign(fold=lambda frame: frame.id % 3)


@pytest.fixture(scope="module")
def df(spark, rows):
    return spark.createDataFrame(rows).repartition(3, "id").cache()


def by_id(df):
    return df.toPandas().sort_values("id", ignore_index=True)


def matrix(column):
    return np.array(column.tolist())


# ------------------------------------------------------------------------ exchange


def test_rows_go_to_blocks_and_back(spark, df, rows):
    with raydp_ml.from_spark(df) as blocks:
        there = blocks.to_arrow().to_pandas().sort_values("id", ignore_index=True)
        back = by_id(raydp_ml.to_spark(blocks, spark))
    pd.testing.assert_frame_equal(there, rows, check_dtype=False)
    pd.testing.assert_frame_equal(back, rows, check_dtype=False)


def test_vectors_are_lists_of_one_length(spark, df):
    from pyspark.ml.functions import array_to_vector

    vectors = df.select("id", array_to_vector(functions.array("x", "z")).alias("v"))
    with raydp_ml.from_spark(vectors) as blocks:
        assert blocks.schema.field("v").type == pa.list_(pa.field("element", pa.float64()), 2)
        back = raydp_ml.to_spark(blocks, spark)
        assert back.schema["v"].dataType == vectors.schema["v"].dataType
        assert by_id(back).v.tolist() == by_id(vectors).v.tolist()


def test_another_thread_finds_the_session(df):
    found = []
    table = pa.table({"a": [1, 2]})
    thread = threading.Thread(target=lambda: found.append(raydp_ml.to_spark(table).count()))
    thread.start()
    thread.join(timeout=120)
    assert found == [2]


# ------------------------------------------------------------------------ transformers

TRANSFORMERS = {
    "standard": (StandardScaler(), preprocessing.StandardScaler()),
    "min max": (MinMaxScaler(), preprocessing.MinMaxScaler()),
    "robust": (RobustScaler(), preprocessing.RobustScaler()),
    "quantile": (
        QuantileTransformer(n_quantiles=20),
        preprocessing.QuantileTransformer(n_quantiles=20),
    ),
    "power": (PowerTransformer(), preprocessing.PowerTransformer()),
    "imputer": (SimpleImputer(), impute.SimpleImputer()),
    "components": (PCA(1), decomposition.PCA(1)),
    "bins": (
        KBinsDiscretizer(4, encode="ordinal", strategy="uniform"),
        preprocessing.KBinsDiscretizer(4, encode="ordinal", strategy="uniform"),
    ),
}
TOLERANCE = {"power": 1e-5}


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_a_transformer_learns_what_scikit_learns_does(name, df, rows):
    ours, own = TRANSFORMERS[name]
    ours.fit(df.select(*FEATURES))
    own.fit(rows[FEATURES])
    tolerance = TOLERANCE.get(name, 1e-9)
    if name != "power":  # (whose lambdas scikit-learn finds by steps)
        assert_same_attributes(ours, own)
    found = by_id(ours.transform(df.select(*FEATURES, "id"))).drop(columns="id")
    np.testing.assert_allclose(found, own.transform(rows[FEATURES]), tolerance, tolerance)


@pytest.mark.parametrize(
    ("ours", "own"),
    [
        (OneHotEncoder(sparse_output=False), preprocessing.OneHotEncoder(sparse_output=False)),
        (OrdinalEncoder(), preprocessing.OrdinalEncoder()),
    ],
    ids=["one-hot", "ordinal"],
)
def test_an_encoder_learns_what_scikit_learns_does(ours, own, df, rows):
    ours.fit(df.select("carrier"))
    assert_same_attributes(ours, own.fit(rows[["carrier"]]))
    found = by_id(ours.transform(df.select("carrier", "id"))).drop(columns="id")
    np.testing.assert_array_equal(found, own.transform(rows[["carrier"]]))


def test_a_target_encoder_learns_what_scikit_learns_does(df, rows):
    ours = TargetEncoder().fit(df.select("carrier", "y"), "y")
    own = preprocessing.TargetEncoder().fit(rows[["carrier"]], rows.y)
    found = by_id(ours.transform(df.select("carrier", "id")))
    np.testing.assert_allclose(found[["carrier"]], own.transform(rows[["carrier"]]), rtol=1e-9)


# ------------------------------------------------------------------------ models


def of_xgboost(cls, rows, label, **params):
    return cls(**SMALL, tree_method="hist", **params).fit(rows[FEATURES], rows[label])


def in_the_jvm(df, capsys):
    """Whether no Python worker computes a DataFrame."""
    df.explain()
    return "Python" not in capsys.readouterr().out


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("path", ["jar", "python"])
def test_a_regressor_is_xgboosts(path, num_workers, df, rows, monkeypatch, capsys):
    if path == "python":  # as where the server was not given our jar
        monkeypatch.setattr(jvm_trees, "server_column", lambda *_: None)
        monkeypatch.setattr(jvm_shapley, "server_column", lambda *_: None)
    model = XGBRegressor(**SMALL, num_workers=num_workers).fit(df.select(*FEATURES, "y"), "y")
    own = of_xgboost(xgboost.XGBRegressor, rows, "y")
    X = rows[FEATURES]
    data = xgboost.DMatrix(X)
    booster = model.get_booster()

    predicted = model.predict(df)
    found = by_id(predicted)

    assert in_the_jvm(predicted, capsys) == (path == "jar")
    np.testing.assert_allclose(found.prediction, own.predict(X), rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(found.prediction.astype("float32"), booster.predict(data))
    score = sklearn.metrics.r2_score(rows.y, found.prediction)
    assert model.score(df, "y") == pytest.approx(score, rel=1e-9)
    assert in_the_jvm(model.explain(df), capsys) == (path == "jar")
    leaves = matrix(by_id(model.apply(df)).leaves)
    np.testing.assert_array_equal(leaves, booster.predict(data, pred_leaf=True))
    contributions = matrix(by_id(model.explain(df)).contributions)
    expected = booster.predict(data, pred_contribs=True)
    np.testing.assert_allclose(contributions, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("label", ["late", "carrier"])
def test_a_classifier_is_xgboosts(label, df, rows):
    model = XGBClassifier(**SMALL, num_workers=0).fit(df.select(*FEATURES, label), label)
    own = model.to_xgboost()
    shares = own.predict_proba(rows[FEATURES])

    found = by_id(model.predict(model.predict_proba(df)))

    np.testing.assert_allclose(matrix(found.probability), shares, rtol=1e-5, atol=1e-6)
    assert found.prediction.tolist() == model.classes_[shares.argmax(axis=1)].tolist()
    right = float((found.prediction == rows[label]).mean())
    assert model.score(df, label) == pytest.approx(right, rel=1e-9)


def test_a_session_whose_sql_means_something_else_predicts_in_python(spark, df, rows, capsys):
    model = XGBRegressor(**SMALL).fit(rows[FEATURES], rows.y)
    spark.conf.set("spark.sql.ansi.enabled", "false")
    try:
        predicted = model.predict(df)
        assert not in_the_jvm(predicted, capsys)
        found = by_id(predicted).prediction
    finally:
        spark.conf.unset("spark.sql.ansi.enabled")
    np.testing.assert_array_equal(found, model.predict(rows[FEATURES]))


def test_what_a_client_collects_is_fitted_without_a_warning(df):
    collected = df.select(*FEATURES, "y").toPandas()
    assert collected.attrs  # (objects, which Arrow cannot keep)
    XGBRegressor(**SMALL).fit(collected, "y")


def test_a_ranker_and_a_network_learn(df, rows):
    ranker = XGBRanker(**SMALL, num_workers=0)
    ranker.fit(df.select(*FEATURES, "late", "fold"), "late", group="fold")
    scores = by_id(ranker.predict(df)).prediction
    groups = [rows.fold == fold for fold in range(3)]
    expected = [
        sklearn.metrics.ndcg_score([rows.late[of].astype(float)], [scores[of]]) for of in groups
    ]
    assert ranker.score(df, "late", group="fold") == pytest.approx(np.mean(expected), rel=1e-9)
    network = TorchClassifier(max_epochs=3, num_workers=0, random_state=0)
    network.fit(df.select(*FEATURES, "late"), "late")
    found = by_id(network.predict_proba(df))
    np.testing.assert_allclose(
        matrix(found.probability), network.predict_proba(rows[FEATURES]), rtol=1e-5, atol=1e-6
    )


def mixed(df):
    """A step of the user's own: a column by its DataFrame, a star, rows that go."""
    return df.where(df["x"] > -1).select("*", (df["x"] + df["z"]).alias("w")).drop("z")


PIPELINES = {
    "scaler": lambda: [StandardScaler()],
    "chain": lambda: [StandardScaler(), QuantileTransformer(n_quantiles=9), PCA(2)],
    "function": lambda: [StandardScaler(), FunctionTransformer(mixed)],
}


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_gives_back_the_columns_that_it_got(name, df, rows):
    model = make_pipeline(*PIPELINES[name](), XGBRegressor(**SMALL, num_workers=0))
    model.fit(df.select(*FEATURES, "y"), "y")
    given = raydp_ml.set_roles(df, label="y", ignore=["carrier", "late", "id", "fold"])

    found = model.predict(given)

    assert found.columns == [*df.columns, "prediction"]
    assert found.schema["y"].metadata == given.schema["y"].metadata
    kept = by_id(found)
    same = rows[rows.id.isin(kept.id)].reset_index(drop=True)
    assert len(kept) > 100
    pd.testing.assert_frame_equal(kept.drop(columns="prediction"), same, check_dtype=False)
    transformed = by_id(model[:-1].transform(given))
    own = xgboost.DMatrix(transformed[model[-1].feature_names_in_])
    np.testing.assert_allclose(kept.prediction, model[-1].get_booster().predict(own), rtol=1e-6)


def test_an_aggregated_step_gives_nothing_back(df):
    def mean(df):
        means = (functions.avg(name).alias(name) for name in [*FEATURES, "y"])
        return df.groupBy("fold").agg(*means)

    step = FunctionTransformer(mean)
    model = make_pipeline(step, XGBRegressor(**SMALL, num_workers=0))
    model.fit(df.select(*FEATURES, "fold", "y"), "y")
    found = model.predict(df.select(*FEATURES, "fold", "y"))
    assert found.columns[-1] == "prediction"
    assert found.count() == 3


def test_columns_go_their_own_ways(df, rows):
    one_hot = OneHotEncoder(sparse_output=False)
    parts = [("scale", StandardScaler(), FEATURES), ("one", one_hot, ["carrier"])]
    found = ColumnTransformer(parts).fit(df.select(*FEATURES, "carrier"))
    own = compose.ColumnTransformer(
        [
            ("scale", preprocessing.StandardScaler(), FEATURES),
            ("one", preprocessing.OneHotEncoder(sparse_output=False), ["carrier"]),
        ]
    ).fit(rows[[*FEATURES, "carrier"]])
    made = by_id(found.transform(df.select(*FEATURES, "carrier", "id"))).drop(columns="id")
    np.testing.assert_allclose(made, own.transform(rows), rtol=1e-9, atol=1e-12)
    assert list(made.columns) == own.get_feature_names_out().tolist()


# ------------------------------------------------------------------------ metrics, searches


def test_metrics_are_scikit_learns(df, rows):
    model = XGBClassifier(**SMALL, num_workers=0).fit(df.select(*FEATURES, "late"), "late")
    scored = model.predict(model.predict_proba(df))
    kept = by_id(scored)
    shares = matrix(kept.probability)
    found = report(scored, ["roc_auc", "log_loss", "f1", "average_precision"], y_true="late")
    expected = {
        "roc_auc": sklearn.metrics.roc_auc_score(rows.late, shares[:, 1]),
        "log_loss": sklearn.metrics.log_loss(rows.late, shares),
        "f1": sklearn.metrics.f1_score(rows.late, kept.prediction),
        "average_precision": sklearn.metrics.average_precision_score(rows.late, shares[:, 1]),
    }
    assert found == pytest.approx(expected, rel=1e-9)


def test_a_search_chooses_as_scikit_learns(df, rows):
    grid = {"max_depth": [1, 3]}
    ours = GridSearchCV(
        XGBClassifier(n_estimators=4, num_workers=0), grid, cv=PredefinedSplit("fold")
    )
    ours.fit(df.select(*FEATURES, "fold", "late"), "late")
    folds = sklearn.model_selection.PredefinedSplit(rows.fold)
    own = sklearn.model_selection.GridSearchCV(
        xgboost.XGBClassifier(n_estimators=4, tree_method="hist"), grid, cv=folds
    )
    own.fit(rows[FEATURES], rows.late)
    assert ours.best_params_ == own.best_params_
    np.testing.assert_allclose(
        ours.cv_results_["mean_test_score"], own.cv_results_["mean_test_score"], atol=0.02
    )
    assert ours.score(df, "late") == pytest.approx(own.score(rows[FEATURES], rows.late), abs=0.02)
    assert ours.predict(df).columns == [*df.columns, "prediction"]


def test_splits_are_disjoint_and_complete(df):
    train, test = train_test_split(df, test_size=0.25, random_state=0)
    parts = [set(by_id(part).id) for part in (train, test)]
    assert [len(part) for part in parts] == [180, 60]
    assert parts[0] | parts[1] == set(range(240))


def test_a_model_is_inspected(df, rows):
    model = XGBRegressor(**SMALL, num_workers=0).fit(df.select(*FEATURES, "y"), "y")
    narrow = df.select(*FEATURES, "y")
    found = partial_dependence(model, narrow, ["x"], grid_resolution=5)
    expected = inspection.partial_dependence(
        model.to_xgboost(), rows[FEATURES], ["x"], grid_resolution=5
    )
    np.testing.assert_allclose(found["grid_values"][0], expected["grid_values"][0], rtol=1e-6)
    np.testing.assert_allclose(found["average"], expected["average"], rtol=1e-5)
    importances = permutation_importance(model, narrow, "y", n_repeats=2, random_state=0)
    assert importances.importances_mean[0] > importances.importances_mean[1] > 0


# ------------------------------------------------------------------------ what cannot be


def test_what_needs_a_jvm_of_its_own_says_so(spark, df):
    with pytest.raises(SessionError, match=r"client of a Spark Connect server.*another Python"):
        raydp_ml.init_spark("tests", mode="native")
    with pytest.raises(SessionError, match=r"Java part.*needs a classic session"):
        SQLTransformer("select x from __THIS__").fit(df)
    vectors = make_pipeline(OneHotEncoder(), StandardScaler(with_mean=False))
    with pytest.raises(SessionError, match=r"Vectors as features need raydp_ml's Java part"):
        vectors.fit(df.select("carrier"))


def test_a_mistake_is_found_at_once(df):
    with pytest.raises(SchemaError, match=r"'carrier' .*"):
        XGBRegressor(num_workers=0).fit(df.select("x", "carrier", "y"), "y")
    with pytest.raises(SchemaError, match="idd"):
        raydp_ml.from_spark(df, ["idd"])
