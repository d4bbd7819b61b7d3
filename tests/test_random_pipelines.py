"""Random Pipelines on random frames: fitted on Spark, the same predictions in every way.

Nobody chose the cases. Each is predicted on Spark and in memory, as fitted, saved and loaded, and
pickled; all six agree to 1e-6, or raise the same kind of error.
"""

from __future__ import annotations

import pickle
import warnings
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from pyspark.errors import PySparkException
from pyspark.ml.linalg import DenseVector, SparseVector, VectorUDT
from pyspark.sql.types import StructField, StructType
from scipy import sparse
from sklearn.base import clone

import raydp_ml
from raydp_ml.compose import ColumnTransformer
from raydp_ml.decomposition import PCA, TruncatedSVD
from raydp_ml.feature_selection import (
    SelectKBest,
    SelectPercentile,
    VarianceThreshold,
    f_classif,
    f_regression,
)
from raydp_ml.impute import SimpleImputer
from raydp_ml.pipeline import FeatureUnion, Pipeline, make_pipeline
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
from raydp_ml.torch import TorchRegressor
from raydp_ml.xgboost import XGBClassifier, XGBRegressor

NUMBERS = {
    "double": lambda rng, n: rng.normal(size=n).round(2) * 10,
    "float": lambda rng, n: rng.normal(size=n).astype(np.float32).round(1),
    "int": lambda rng, n: rng.integers(-5, 5, n),
    "bigint": lambda rng, n: rng.integers(0, 3, n) * 10**6,
    "boolean": lambda rng, n: rng.random(n) < 0.5,
    "decimal(10,2)": lambda rng, n: [Decimal(int(i)) / 4 for i in rng.integers(-40, 40, n)],
    "tinyint": lambda rng, n: np.full(n, 3),  # constant
}
CATEGORIES = {
    "string": lambda rng, n: rng.choice(["a", "b", "B", "é", ""], n),
    "int": lambda rng, n: rng.integers(0, 4, n),
    "boolean": NUMBERS["boolean"],
    "float": lambda rng, n: rng.choice([0.1, 0.3, 0.7], n).astype(np.float32),
    "decimal(20,0)": lambda rng, n: [Decimal(10**18) + int(i) for i in rng.integers(0, 4, n)],
}


@dataclass(frozen=True)
class Column:
    name: str
    kind: str
    missing: bool


@dataclass(frozen=True)
class Case:
    """What can be made again from what it prints."""

    seed: int
    rows: int
    columns: tuple[Column, ...]
    vectors: str | None
    pipeline: Any


def numbers(draw):
    """Draw a transformer of columns of numbers into such, or into a vector."""
    pick = lambda *values: draw(st.sampled_from(values))  # noqa: E731
    makers = [
        lambda: SimpleImputer(
            strategy=pick("mean", "median", "most_frequent"), add_indicator=pick(True, False)
        ),
        lambda: StandardScaler(with_mean=pick(True, False), with_std=pick(True, False)),
        lambda: MinMaxScaler(clip=pick(True, False)),
        lambda: MaxAbsScaler(),
        lambda: RobustScaler(with_centering=pick(True, False)),
        lambda: Normalizer(norm=pick("l1", "l2", "max")),
        lambda: Binarizer(threshold=pick(0.0, 0.5)),
        lambda: QuantileTransformer(n_quantiles=5, output_distribution=pick("uniform", "normal")),
        lambda: PowerTransformer(standardize=pick(True, False)),
        lambda: PolynomialFeatures(interaction_only=pick(True, False)),
        lambda: SplineTransformer(n_knots=3, degree=2, include_bias=pick(True, False)),
        lambda: KBinsDiscretizer(
            n_bins=3,
            encode=pick("onehot", "onehot-dense", "ordinal"),
            strategy=pick("uniform", "quantile"),
            quantile_method="averaged_inverted_cdf",
        ),
        lambda: FunctionTransformer(pick(np.abs, np.sin, np.cbrt), feature_names_out="one-to-one"),
        lambda: FeatureUnion([("one", MinMaxScaler()), ("other", MaxAbsScaler())]),
        lambda: PCA(n_components=1),
        lambda: TruncatedSVD(n_components=1),
        lambda: VarianceThreshold(),
        lambda: SelectKBest(pick(f_regression, f_classif), k=1),
        lambda: SelectPercentile(f_regression, percentile=50),
    ]
    return pick(*makers)()


def of_vectors(draw):
    pick = lambda *values: draw(st.sampled_from(values))  # noqa: E731
    makers = [
        lambda: StandardScaler(with_mean=False),
        lambda: MaxAbsScaler(),
        lambda: Normalizer(),
        lambda: VarianceThreshold(),
        lambda: TruncatedSVD(n_components=1),
        lambda: SelectKBest(f_classif, k=2),
    ]
    return pick(*makers)()


def encoder(draw):
    pick = lambda *values: draw(st.sampled_from(values))  # noqa: E731
    makers = [
        lambda: OneHotEncoder(
            handle_unknown=pick("ignore", "infrequent_if_exist", "error"),
            sparse_output=pick(True, False),
            min_frequency=pick(None, 4),
            drop=pick(None, "if_binary"),
        ),
        lambda: OrdinalEncoder(
            handle_unknown="use_encoded_value",
            unknown_value=-1,
            encoded_missing_value=pick(np.nan, -2),
        ),
        lambda: TargetEncoder(cv=2, target_type="continuous", random_state=0),
    ]
    return pick(*makers)()


def makes_vectors(step):
    last = step[-1] if isinstance(step, Pipeline) else step
    if isinstance(last, ColumnTransformer):
        return any(makes_vectors(item) for _, item, _ in last.transformers)
    return last._is_vector() if hasattr(last, "_is_vector") else False


def chain(draw, steps, count, of_vector):
    """Add transformers until there are `count`, each of what the one before it makes."""
    while len(steps) < count:
        step = of_vectors(draw) if of_vector else numbers(draw)
        of_vector = (of_vector or makes_vectors(step)) and not isinstance(step, TruncatedSVD)
        steps.append(step)
    return steps, of_vector


@st.composite
def cases(draw):
    rows = draw(st.integers(20, 60))
    seed = draw(st.integers(0, 10**6))
    layout = draw(st.sampled_from(["table", "table", "numbers", "numbers", "vectors"]))
    missing = draw(st.booleans())
    columns, vectors = [], None
    if layout != "vectors":
        for index in range(draw(st.integers(1, 3))):
            kind = draw(st.sampled_from(sorted(NUMBERS)))
            columns.append(Column(f"n{index}", kind, missing and draw(st.booleans())))
    count = draw(st.integers(2, 5))
    held = any(column.missing for column in columns)
    imputed = held and draw(st.integers(0, 9)) > 0  # most cannot have missing values
    first = [SimpleImputer()] if imputed else []
    if layout == "vectors":
        vectors = draw(st.sampled_from(["dense", "sparse", "mixed"]))
        steps, _ = chain(draw, [], count, of_vector=True)
    elif layout == "numbers":
        steps, _ = chain(draw, first, count, of_vector=False)
    else:
        inside = draw(st.integers(1, count - 1))
        numeric, _ = chain(draw, first, max(inside, len(first)), of_vector=False)
        kinds = draw(st.lists(st.sampled_from(sorted(CATEGORIES)), min_size=1, max_size=2))
        categories = [
            Column(f"c{index}", kind, missing and draw(st.booleans()))
            for index, kind in enumerate(kinds)
        ]
        parts = [
            ("numbers", make_pipeline(*numeric), [column.name for column in columns]),
            ("categories", encoder(draw), [column.name for column in categories]),
        ]
        columns += categories
        remainder = draw(st.sampled_from(["drop", "passthrough"]))
        joined = ColumnTransformer(parts, remainder=remainder, sparse_threshold=1.0)
        steps, _ = chain(draw, [joined], count - inside, makes_vectors(joined))
    final = draw(st.sampled_from(["XGBRegressor", "XGBRegressor", "XGBClassifier", "Torch"]))
    model = {
        "XGBRegressor": XGBRegressor(n_estimators=3, max_depth=3, num_workers=0, n_jobs=1),
        "XGBClassifier": XGBClassifier(n_estimators=3, max_depth=3, num_workers=0, n_jobs=1),
        "Torch": TorchRegressor(
            hidden_layer_sizes=(4,), max_epochs=1, num_workers=0, random_state=0
        ),
    }[final]
    return Case(seed, rows, tuple(columns), vectors, make_pipeline(*steps, model))


def make_rows(case):
    """Return the values of a case's columns by their names, and their types in SQL."""
    rng = np.random.default_rng(case.seed)
    made, types = {}, {}
    for column in case.columns:
        draws = NUMBERS if column.name.startswith("n") else CATEGORIES
        values = list(draws[column.kind](rng, case.rows))
        values = [value.item() if isinstance(value, np.generic) else value for value in values]
        if column.missing:
            gone = rng.random(case.rows)
            absent = float("nan") if column.kind in {"double", "float"} else None
            values = [
                None if g < 0.1 else absent if g < 0.2 else value
                for g, value in zip(gone, values, strict=True)
            ]
        made[column.name], types[column.name] = values, column.kind
    if case.vectors:
        matrix = rng.integers(-2, 3, (case.rows, 3)).astype(float)
        kinds = {"dense": [False], "sparse": [True], "mixed": [True, False]}[case.vectors]
        chosen = rng.choice(kinds, case.rows)
        made["v"] = [
            SparseVector(3, np.flatnonzero(row).tolist(), row[row != 0].tolist())
            if is_sparse
            else DenseVector(row)
            for row, is_sparse in zip(matrix, chosen, strict=True)
        ]
        types["v"] = StructField("v", VectorUDT())
    made["y"], types["y"] = rng.integers(0, 3, case.rows).astype(float).tolist(), "double"
    made["row"], types["row"] = list(range(case.rows)), "int"
    return made, types


def make_frame(spark, case):
    """Make the DataFrame of a case, whose roles say what is label and what is no feature."""
    made, types = make_rows(case)
    schema = StructType()
    for name, kind in types.items():
        schema.add(StructType.fromDDL(f"{name} {kind}")[0] if isinstance(kind, str) else kind)
    rows = spark.sparkContext.parallelize(list(zip(*made.values(), strict=True)), 1)
    df = raydp_ml.set_roles(spark.createDataFrame(rows, schema), label="y", ignore="row")
    return df.cache()


def in_memory(df, case):
    """Return the features, as pandas has them, and vectors as a matrix."""
    frame = df.drop("y", "row").toPandas()
    if not case.vectors:
        return frame
    matrix = np.array([vector.toArray() for vector in frame["v"]])
    return sparse.csr_array(matrix) if case.seed % 2 else matrix


def on_spark(model, df):
    rows = model.predict(df).select("row", "prediction").collect()
    return [row["prediction"] for row in sorted(rows, key=lambda row: row["row"])]


def outcome(predict, *arguments):
    """Return the predictions, or the name of the kind of error."""
    try:
        return np.asarray(predict(*arguments), dtype=float)
    except ValueError:
        return "ValueError"
    except PySparkException as error:
        # What a query raises is no exception of ours, and says what it would be in memory.
        if error.getCondition() == "USER_RAISED_EXCEPTION" or "ValueError" in str(error):
            return "ValueError"
        raise


def check(spark, folder, case):
    df = make_frame(spark, case)
    seen = df.where(f"row < {case.rows * 3 // 4}")  # the rest may have values of its own
    model = case.pipeline
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                model.fit(seen)
            except ValueError:
                y = [row["y"] for row in seen.select("y").collect()]
                with pytest.raises(ValueError, match=r"."):
                    clone(model).fit(in_memory(seen, case), y)
                return
            raydp_ml.save(model, folder / "model")
            models = [model, raydp_ml.load(folder / "model"), pickle.loads(pickle.dumps(model))]
            X = in_memory(df, case)
            found = [outcome(item.predict, X) for item in models]
            found += [outcome(on_spark, item, df) for item in models]
    finally:
        df.unpersist()
    for other in found[1:]:
        if isinstance(found[0], str) or isinstance(other, str):
            assert type(found[0]) is type(other), (found[0], other)
        else:
            np.testing.assert_allclose(other, found[0], rtol=1e-6, atol=1e-6)


FEW = settings(
    max_examples=30,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # each step of shrinking would be a fit
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)


@pytest.mark.slow
@FEW
@given(case=cases())
def test_random_pipelines(spark, tmp_path_factory, case):
    check(spark, tmp_path_factory.mktemp("saved"), case)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "part", [1, *(pytest.param(part, marks=pytest.mark.grid) for part in range(2, 10))]
)
def test_more_random_pipelines(spark, tmp_path_factory, part):
    @seed(part)
    @settings(FEW, derandomize=False)
    @given(case=cases())
    def thirty(case):
        check(spark, tmp_path_factory.mktemp("saved"), case)

    thirty()
