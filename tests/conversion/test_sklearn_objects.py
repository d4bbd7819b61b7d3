"""What `to_sklearn` returns is unpickled where there is no raydp_ml, and answers the same."""

from __future__ import annotations

import importlib
import inspect
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
import sklearn.base
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

import raydp_ml
from raydp_ml import model_selection
from raydp_ml.compose import ColumnTransformer, make_column_selector
from raydp_ml.pipeline import Pipeline, make_pipeline
from raydp_ml.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    StandardScaler,
)
from raydp_ml.sql import SQLTransformer
from raydp_ml.torch import TorchClassifier, TorchRegressor
from raydp_ml.xgboost import (
    XGBRanker,
)
from tests.conversion.cases import CASES, NUMBERS, answers, classifier, fitted_in_memory, regressor
from tests.fresh_folder import without
from tests.test_public_api import MODULES

SPLITTERS = [
    model_selection.GroupKFold(2),
    model_selection.KFold(2),
    model_selection.PredefinedSplit([0, 1, 0, 1]),
    model_selection.ShuffleSplit(2, random_state=0),
    model_selection.StratifiedGroupKFold(2),
    model_selection.StratifiedKFold(2),
    model_selection.TimeSeriesSplit(2, time="t"),
]
REFUSED = ["OptunaSearchCV", "SQLTransformer", "TorchClassifier", "TorchRegressor"]
NO_ESTIMATORS = {"Blocks", "Check", "Diagnosis", "make_column_selector"}

WITHOUT = """
import json, pickle, warnings
warnings.simplefilter("error")
# Between steps that were fitted on Spark there were names, and arrays have none.
warnings.filterwarnings("ignore", "X does not have valid feature names")
import numpy as np

found = {}
for name, (estimator, X, wanted) in pickle.load(open("cases.pickle", "rb")).items():
    try:
        estimator, X = pickle.loads(estimator), pickle.loads(X)
        for method, values in wanted.items():
            made = getattr(estimator, method)(X)
            made = made.toarray() if hasattr(made, "toarray") else np.asarray(made)
            if name == "TransformedTargetRegressor":
                # What xgboost's own object predicts is of single precision, and inverted so.
                np.testing.assert_allclose(made, values, rtol=1e-5)
            else:
                np.testing.assert_array_equal(made, values, err_msg=method)
        found[name] = "the same"
    except Exception as error:
        found[name] = repr(error)
assert not any(name.partition(".")[0] == "raydp_ml" for name in sys.modules)
print(json.dumps(found))
"""


def judged(fitted, rows, folder):
    """For each case, what a process without raydp_ml says of it."""
    cases = {}
    for name, estimator in fitted.items():
        X = rows[CASES[name].columns]
        plain = raydp_ml.to_sklearn(estimator)
        cases[name] = (pickle.dumps(plain), pickle.dumps(X), answers(estimator, X))
    (folder / "cases.pickle").write_bytes(pickle.dumps(cases))
    done = subprocess.run(
        [sys.executable, "-c", without("raydp_ml", "pyspark", "ray") + WITHOUT],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def in_memory(rows):
    return {name: fitted_in_memory(case, rows) for name, case in CASES.items()}


@pytest.fixture(scope="module")
def verdicts(in_memory, rows, tmp_path_factory):
    return judged(in_memory, rows, tmp_path_factory.mktemp("plain"))


@pytest.mark.cluster
@pytest.mark.parametrize("name", CASES)
def test_fitted_in_memory(verdicts, name):
    assert verdicts[name] == "the same"


@pytest.fixture(scope="module")
def on_spark(spark, rows):
    df = spark.createDataFrame(rows).repartition(2).cache()
    fitted = {}
    for name, case in CASES.items():
        if case.in_spark:
            columns = [case.columns] if isinstance(case.columns, str) else case.columns
            estimator = clone(case.estimator)
            if isinstance(estimator, XGBRanker):
                chosen = df.selectExpr(*columns, case.label, "int(a * 3) AS q")
                fitted[name] = estimator.fit(chosen, case.label, group="q")
            else:
                chosen = df.select(*columns, *([case.label] if case.label else []))
                fitted[name] = estimator.fit(chosen, case.label)
    return fitted


@pytest.fixture(scope="module")
def spark_verdicts(on_spark, rows, tmp_path_factory):
    return judged(on_spark, rows, tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.in_spark])
def test_fitted_on_spark(spark_verdicts, name):
    assert spark_verdicts[name] == "the same"


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.in_spark])
def test_what_spark_fitted_holds_what_scikit_learn_sets(on_spark, in_memory, name):
    made, own = raydp_ml.to_sklearn(on_spark[name]), raydp_ml.to_sklearn(in_memory[name])
    assert type(made) is type(own)
    # XGBoost makes its objects whole; of columns without a frame, only Spark knows the name.
    named = set() if isinstance(CASES[name].columns, list) else {"feature_names_in_"}
    # What scikit-learn's vectorizers set when they transform.
    extra = vars(made).keys() - vars(own).keys() - named - {"_stop_words_id"}
    assert not extra, sorted(extra)


def test_every_public_estimator_is_tested():
    public = {
        name
        for module in map(importlib.import_module, MODULES)
        for name in module.__all__
        if inspect.isclass(getattr(module, name))
        and not issubclass(getattr(module, name), Exception)
        and not name.endswith("Display")
    }
    splitters = {type(splitter).__name__ for splitter in SPLITTERS}
    assert public - NO_ESTIMATORS == {
        *(name for name in CASES if name.isidentifier()), *splitters, *REFUSED
    }  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_unfitted(name):
    estimator = CASES[name].estimator
    plain = raydp_ml.to_sklearn(estimator)
    assert b"raydp_ml" not in pickle.dumps(plain)
    for key, value in plain.get_params(deep=False).items():
        given = estimator.get_params(deep=False)[key]
        assert type(value).__name__ == type(given).__name__
        assert hasattr(value, "get_params") or isinstance(value, list) or repr(value) == repr(given)


@pytest.mark.parametrize("splitter", SPLITTERS, ids=lambda item: type(item).__name__)
def test_splitters(splitter):
    plain = raydp_ml.to_sklearn(splitter)
    assert type(plain) is getattr(sklearn.model_selection, type(splitter).__name__)
    assert b"raydp_ml" not in pickle.dumps(plain)
    X, y = np.zeros((4, 1)), [0, 1, 0, 1]
    groups = [0, 0, 1, 1] if "Group" in type(splitter).__name__ else None
    pairs = zip(plain.split(X, y, groups), splitter.split(X, y, groups), strict=True)
    for one, other in pairs:
        assert [part.tolist() for part in one] == [part.tolist() for part in other]


def test_what_is_held_twice_stays_one(rows):
    scaler = StandardScaler()
    plain = raydp_ml.to_sklearn([scaler, scaler, classifier()])
    assert plain[0] is plain[1]
    model = regressor()
    pair = raydp_ml.to_sklearn((model, model))
    assert pair[0] is pair[1]


def test_the_copy_is_no_view(rows):
    scaler = StandardScaler().fit(rows[NUMBERS])
    plain = raydp_ml.to_sklearn(scaler)
    plain.mean_[:] = 0
    assert (scaler.mean_ != 0).all()


def test_a_selector_of_columns_and_a_frozen_estimator(rows):
    chosen = ColumnTransformer([("a", MinMaxScaler(), make_column_selector("^[abc]$"))])
    made = FrozenEstimator(make_pipeline(chosen, regressor()).fit(rows, rows["y"]))
    plain = raydp_ml.to_sklearn(made)
    assert b"raydp_ml" not in pickle.dumps(plain)
    np.testing.assert_array_equal(plain.predict(rows), made.predict(rows))


def test_functions_of_the_user_stay(rows):
    plain = raydp_ml.to_sklearn(FunctionTransformer(lambda X: X + 1).fit(rows[NUMBERS]))
    np.testing.assert_array_equal(plain.transform(rows[NUMBERS]), rows[NUMBERS] + 1)


def test_the_result_is_fitted_again_by_scikit_learn(rows):
    pipe = make_pipeline(StandardScaler(), classifier()).fit(rows[NUMBERS], rows["word"])
    plain = raydp_ml.to_sklearn(pipe)
    again = clone(plain).fit(rows[NUMBERS], rows["word"])
    np.testing.assert_array_equal(again.predict(rows[NUMBERS]), pipe.predict(rows[NUMBERS]))
    assert again.classes_.tolist() == ["no", "yes"]


def test_what_has_no_counterpart_says_what_to_do():
    for cls in (TorchClassifier, TorchRegressor):
        with pytest.raises(TypeError, match=rf"is a {cls.__name__}\. to_torch\(\) returns"):
            raydp_ml.to_sklearn(make_pipeline(StandardScaler(), cls()))
    with pytest.raises(TypeError, match=r"own that is a SQLTransformer\. Take it out"):
        raydp_ml.to_sklearn(Pipeline([("sql", SQLTransformer())]))
    with pytest.raises(TypeError, match="convert best_estimator_"):
        raydp_ml.to_sklearn(model_selection.OptunaSearchCV(regressor(), {}))
    with pytest.raises(TypeError, match=r"raydp_ml\.sql\.\w+.* is code of raydp_ml"):
        raydp_ml.to_sklearn(FunctionTransformer(raydp_ml.sql._first_line))
