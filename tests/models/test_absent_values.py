"""What a sparse row does not hold has one meaning for each model, wherever it is predicted.

A model that was fitted on a scipy matrix reads it as XGBoost does, as missing; any other, as zero.
"""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import xgboost
from numpy.testing import assert_allclose, assert_array_equal
from pyspark.ml.linalg import Vectors
from pyspark.sql import functions
from scipy.sparse import csr_matrix
from sklearn import preprocessing as plain
from sklearn.feature_extraction.text import CountVectorizer as PlainCountVectorizer
from sklearn.pipeline import make_pipeline as plain_pipeline

import raydp_ml
from raydp_ml.compose import ColumnTransformer
from raydp_ml.decomposition import TruncatedSVD
from raydp_ml.exceptions import SchemaError
from raydp_ml.feature_extraction.text import CountVectorizer
from raydp_ml.feature_selection import SelectKBest, VarianceThreshold, chi2
from raydp_ml.pipeline import make_pipeline
from raydp_ml.preprocessing import MaxAbsScaler, Normalizer, OneHotEncoder, StandardScaler
from raydp_ml.torch import TorchClassifier, TorchRegressor
from raydp_ml.xgboost import XGBClassifier, XGBRanker, XGBRegressor

WIDTH, ROWS = 4, 80
NAMES = [f"c{i}" for i in range(WIDTH)]
TREES = {"n_estimators": 8, "max_depth": 3, "n_jobs": 1, "random_state": 0}
NETWORK = {"max_epochs": 3, "random_state": 0, "hidden_layer_sizes": (8,)}
OURS = {
    "XGBRegressor": XGBRegressor(num_workers=0, **TREES),
    "XGBClassifier": XGBClassifier(num_workers=0, **TREES),
    "XGBRanker": XGBRanker(num_workers=0, **TREES),
    "TorchRegressor": TorchRegressor(num_workers=0, **NETWORK),
    "TorchClassifier": TorchClassifier(num_workers=0, **NETWORK),
}
VECTORS = ["sparse", "dense", "mixed"]
SOME = [
    ("XGBRegressor", "mixed"),
    ("XGBRegressor", "columns"),
    ("XGBRegressor", "csr"),
    ("XGBRegressor", "array"),
    ("XGBClassifier", "sparse"),
    ("XGBRanker", "pandas"),
    ("TorchRegressor", "sparse"),
]
GRID = [
    pytest.param(name, storage, marks=() if (name, storage) in SOME else pytest.mark.grid)
    for name in OURS
    for storage in [*VECTORS, "columns", "csr", "array", "pandas", "sparse pandas"]
]
pytestmark = pytest.mark.usefixtures("one_thread")


def entries(missing):
    """Rows with many zeros, which tell as much as other values; some explicit ones, some NaN."""
    rng = np.random.default_rng(3)
    X = rng.integers(-3, 4, (ROWS, WIDTH)) * (rng.random((ROWS, WIDTH)) > 0.4) * 1.0
    y = (X == 0).sum(axis=1) + X[:, 0]
    if missing:
        X[rng.random(ROWS) < 0.2, 3] = np.nan
    return X, np.clip(y, 0, 3).round()


def as_csr(X):
    """All that is not zero, and every third zero as well."""
    held = (X != 0) | (np.arange(X.size).reshape(X.shape) % 3 == 0)
    rows, columns = np.nonzero(held)
    return csr_matrix((X[rows, columns], (rows, columns)), shape=X.shape)


def as_vectors(X, storage):
    rows = as_csr(X)
    made = []
    for index, row in enumerate(X):
        part = slice(*rows.indptr[index : index + 2])
        thin = Vectors.sparse(X.shape[1], rows.indices[part].tolist(), rows.data[part].tolist())
        is_thin = storage == "sparse" or (storage == "mixed" and index % 2)
        made.append(thin if is_thin else Vectors.dense(row))
    return made


def as_sparse_pandas(frame):
    return frame.apply(lambda column: pd.arrays.SparseArray(column, fill_value=0.0))


def spark_rows(spark, X, y, kinds):
    """One row for each storage and row: its vector, its columns, label and group."""
    rows = [
        (kind, index, vector, *map(float, X[index]), float(y[index]), index // 8)
        for kind in kinds
        for index, vector in enumerate(as_vectors(X, kind))
    ]
    names = ["kind", "row", "v", *NAMES, "y", "g"]
    return spark.createDataFrame(rows, names).coalesce(1).cache()


def answer(model, made):
    """What ``predict`` of a regressor or ranker, or ``predict_proba``, gave, as an array."""
    if isinstance(made, np.ndarray):
        return made
    rows = made.orderBy("kind", "row").toPandas()
    column = "probability" if hasattr(model, "classes_") else "prediction"
    return np.array(rows[column].tolist()), rows["kind"].to_numpy()


def method(model):
    return model.predict_proba if hasattr(model, "classes_") else model.predict


def fit(model, data, y, storage):
    ranks = isinstance(model, XGBRanker)
    if storage in {*VECTORS, "columns"}:
        one = data.where(functions.col("kind") == ("dense" if storage == "columns" else storage))
        features = NAMES if storage == "columns" else ["v"]
        one = one.select(*features, "y", *(["g"] if ranks else []))
        return model.fit(one, "y", **({"group": "g"} if ranks else {}))
    return model.fit(data, y, **({"qid": np.arange(ROWS) // 8} if ranks else {}))


def reference(model, X, y):
    """XGBoost's own object on the same array, or the fitted network's own output."""
    if isinstance(model, XGBRanker):
        made = xgboost.XGBRanker(**TREES).fit(X, y, qid=np.arange(ROWS) // 8)
        return made.predict
    if hasattr(model, "to_xgboost"):
        made = getattr(xgboost, type(model).__name__)(**TREES).fit(X, y)
        return made.predict_proba if hasattr(model, "classes_") else made.predict

    def network(rows):
        import torch

        with torch.no_grad():
            output = model.to_torch()(torch.tensor(rows, dtype=torch.float32)).double()
        is_classifier = hasattr(model, "classes_")
        return torch.softmax(output, 1).numpy() if is_classifier else output.numpy().reshape(-1)

    return network


@pytest.mark.slow
@pytest.mark.parametrize(("name", "storage"), GRID)
@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names")
def test_fitted_on_one_and_predicted_on_each(spark, name, storage, tmp_path):
    model = OURS[name]
    X, y = entries(missing=not name.startswith("Torch"))
    df = spark_rows(spark, X, y, VECTORS)
    frame = pd.DataFrame(X, columns=NAMES)
    memory = {
        "csr": as_csr(X),
        "array": X,
        "pandas": frame,
        "sparse pandas": as_sparse_pandas(frame),
    }
    model = fit(model, memory.get(storage, df), y, storage)
    # To XGBoost, and to what was fitted on a matrix of scipy, only what is absent is missing.
    as_missing = storage == "csr" and name.startswith("XGB")
    want = reference(model, as_csr(X) if as_missing else X, y)
    model.save(tmp_path / "model")
    for same in (model, pickle.loads(pickle.dumps(model)), raydp_ml.load(tmp_path / "model")):
        predict = method(same)
        got = {"csr": predict(as_csr(X)), "array": predict(X)}
        assert_allclose(got["csr"], want(as_csr(X) if as_missing else X), rtol=1e-5, atol=1e-6)
        assert_allclose(got["array"], want(X), rtol=1e-5, atol=1e-6)
        if storage not in VECTORS:
            for kind in ("pandas", "sparse pandas"):
                assert_allclose(predict(memory[kind]), want(X), rtol=1e-5, atol=1e-6)
        for kind, columns in (("vectors", ["v"]), ("columns", NAMES)):
            data = df.select("kind", "row", *columns)
            if kind == ("vectors" if storage in VECTORS else "columns") and storage not in {
                "csr",
                "array",
            }:
                values, kinds = answer(same, method(same)(data))
                for found in VECTORS:
                    assert_allclose(values[kinds == found], want(X), rtol=1e-5, atol=1e-6)
                if kind == "vectors" and same is model:
                    rows = data.where("kind = 'mixed'").orderBy("row").toPandas()
                    assert_allclose(predict(rows[["v"]]), want(X), rtol=1e-5, atol=1e-6)
            else:
                with pytest.raises(SchemaError, match=r"fitted with|without column names"):
                    method(same)(data)
    df.unpersist()


@pytest.mark.parametrize("cls", [XGBRegressor, XGBClassifier], ids=lambda cls: cls.__name__)
def test_xgboosts_own_object_reads_a_sparse_matrix_as_the_model_does(spark, cls):
    X, y = entries(missing=False)
    df = spark_rows(spark, X, y, ["mixed"]).select("v", "y")
    model = cls(num_workers=0, **TREES).fit(df, "y")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        genuine = model.to_xgboost()
    want = method(model)(X)
    ask = genuine.predict_proba if hasattr(model, "classes_") else genuine.predict
    assert_allclose(ask(X), want, rtol=1e-6)
    assert_allclose(ask(as_csr(X)), want, rtol=1e-6)
    plain_one = getattr(xgboost, cls.__name__)(**TREES).fit(X, y)
    theirs = plain_one.predict_proba if hasattr(model, "classes_") else plain_one.predict
    assert not np.allclose(theirs(as_csr(X)), want)  # else it would have shown nothing
    X, y = entries(missing=True)
    model = cls(num_workers=0, **TREES).fit(
        spark_rows(spark, X, y, ["mixed"]).select("v", "y"), "y"
    )
    with pytest.warns(UserWarning, match=r"\['v'\] were fitted with missing values"):
        genuine = model.to_xgboost()
    ask = genuine.predict_proba if hasattr(model, "classes_") else genuine.predict
    assert_allclose(ask(X), method(model)(X), rtol=1e-6)


def test_evaluation_sets_in_another_storage(spark):
    X, y = entries(missing=True)
    df = spark_rows(spark, X, y, VECTORS)
    one = {kind: df.where(functions.col("kind") == kind).select("v", "y") for kind in VECTORS}
    model = XGBRegressor(num_workers=0, **TREES).fit(
        one["sparse"], "y", eval_set=[one["dense"], one["mixed"]]
    )
    want = xgboost.XGBRegressor(**TREES).fit(X, y, eval_set=[(X, y)], verbose=False)
    for scores in model.evals_result_.values():
        assert_allclose(scores["rmse"], want.evals_result()["validation_0"]["rmse"], rtol=1e-6)
    # A model of an array reads a matrix with zeros, one of a matrix reads an array as it is.
    model = XGBRegressor(**TREES).fit(X, y, eval_set=[(as_csr(X), y)])
    assert_allclose(model.evals_result_["validation_0"]["rmse"], scores["rmse"], rtol=1e-6)
    pairs = [(X, y), (as_csr(X), y)]
    model = XGBRegressor(**TREES).fit(as_csr(X), y, eval_set=pairs)
    want = xgboost.XGBRegressor(**TREES).fit(as_csr(X), y, eval_set=pairs, verbose=False)
    for name, scores in want.evals_result().items():
        assert_allclose(model.evals_result_[name]["rmse"], scores["rmse"], rtol=1e-6)
    net = TorchRegressor(**NETWORK).fit(
        entries(False)[0], y, eval_set=[(as_csr(entries(False)[0]), y)]
    )
    same = TorchRegressor(**NETWORK).fit(entries(False)[0], y, eval_set=[(entries(False)[0], y)])
    assert net.history_[-1]["validation_0_loss"] == same.history_[-1]["validation_0_loss"]
    df.unpersist()


TRANSFORMERS = [
    StandardScaler(with_mean=False),
    MaxAbsScaler(),
    Normalizer(),
    VarianceThreshold(0.1),
    TruncatedSVD(2),
    SelectKBest(chi2, k=2),
]


@pytest.mark.parametrize(
    ("step", "last"),
    [
        pytest.param(
            step, last, marks=() if (index, last) == (0, "XGBRegressor") else pytest.mark.grid
        )
        for index, step in enumerate(TRANSFORMERS)
        for last in ("XGBRegressor", "XGBClassifier", "TorchRegressor")
    ],
    ids=lambda item: str(item)[:20],
)
@pytest.mark.parametrize("storage", ["mixed", pytest.param("sparse", marks=pytest.mark.grid)])
def test_transformers_of_vectors_before_a_model(spark, step, last, storage, tmp_path):
    X, y = entries(missing=False)
    X = np.abs(X)
    df = spark_rows(spark, X, y, VECTORS)
    one = df.where(functions.col("kind") == storage).select("v", "y")
    pipe = make_pipeline(step, OURS[last]).fit(one, "y")
    want = reference(pipe[-1], np.asarray(_dense(step.transform(as_csr(X)))), y)
    raydp_ml.save(pipe, tmp_path / "pipe")
    for same in (pipe, pickle.loads(pickle.dumps(pipe)), raydp_ml.load(tmp_path / "pipe")):
        values, kinds = answer(same[-1], method(same)(df.select("kind", "row", "v")))
        expected = want(_dense(step.transform(as_csr(X))))
        for kind in VECTORS:
            assert_allclose(values[kinds == kind], expected, rtol=1e-5, atol=1e-6)
        assert_allclose(method(same)(as_csr(X)), expected, rtol=1e-5, atol=1e-6)
    df.unpersist()


def _dense(matrix):
    return matrix.toarray() if hasattr(matrix, "toarray") else matrix


@pytest.mark.slow
@pytest.mark.parametrize("last", ["XGBClassifier", "TorchClassifier"])
def test_encoders_that_make_sparse_rows(spark, last, tmp_path):
    """One-hot categories, counted words, and both beside vectors and numbers."""
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "city": rng.choice(list("abcd"), ROWS),
            "text": [" ".join(rng.choice(list("pqr"), 3).repeat(2)) for _ in range(ROWS)],
            "x": rng.normal(size=ROWS).round(2) * (rng.random(ROWS) > 0.5),
        }
    )
    frame["text"] = frame["text"].str.replace(" ", "o ")
    y = (frame["city"].isin(["a", "c"]) ^ frame["text"].str.contains("p")).astype(int)
    df = spark.createDataFrame(frame.assign(y=y)).coalesce(1).cache()
    model = OURS[last]
    pipes = {
        "city": (make_pipeline(OneHotEncoder(), model), plain.OneHotEncoder()),
        "text": (make_pipeline(CountVectorizer(), model), PlainCountVectorizer()),
    }
    for column, (pipe, theirs) in pipes.items():
        given = [column] if column == "city" else column
        data = df.select(column, "y")
        pipe.fit(data, "y")
        X = theirs.fit_transform(frame[given]).toarray()
        want = reference(pipe[-1], X, y)(X)
        got = np.array(pipe.predict_proba(data).toPandas()["probability"].tolist())
        assert_allclose(got, want, rtol=1e-5, atol=1e-6)
        assert_allclose(pipe.predict_proba(frame[given]), want, rtol=1e-5, atol=1e-6)
        assert pipe.score(data, "y") == pipe.score(frame[given], y)
    both = ColumnTransformer(
        [
            ("city", OneHotEncoder(), ["city"]),
            ("x", StandardScaler(), ["x"]),
            ("scaled", make_pipeline(OneHotEncoder(), MaxAbsScaler()), ["text"]),
        ],
        sparse_threshold=1,
    )
    pipe = make_pipeline(both, model).fit(df, "y")
    raydp_ml.save(pipe, tmp_path / "pipe")
    X = _dense(both.transform(frame))
    want = reference(pipe[-1], X, y)(X)
    for same in (pipe, raydp_ml.load(tmp_path / "pipe")):
        got = np.array(same.predict_proba(df).toPandas()["probability"].tolist())
        assert_allclose(got, want, rtol=1e-5, atol=1e-6)
        assert_allclose(same.predict_proba(frame), want, rtol=1e-5, atol=1e-6)
        assert_array_equal(same.predict(df).toPandas()["prediction"], same.predict(frame))
    df.unpersist()


def test_a_pipeline_fitted_in_memory_is_as_xgboost_has_it():
    """There a sparse encoder's zeros are missing, as to XGBoost, at fit and at predict alike."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"city": rng.choice(list("abcdefgh"), 300)})
    y = (frame["city"] < "d").astype(int)
    ours = make_pipeline(OneHotEncoder(), XGBClassifier(**TREES)).fit(frame, y)
    theirs = plain_pipeline(plain.OneHotEncoder(), xgboost.XGBClassifier(**TREES)).fit(frame, y)
    assert_allclose(ours.predict_proba(frame), theirs.predict_proba(frame), atol=1e-7)
    copy = pickle.loads(pickle.dumps(ours))
    assert_array_equal(copy.predict_proba(frame[:7]), ours.predict_proba(frame[:7]))
