"""What nobody should pass: each call raises at once, says what was wrong, and does no harm.

A call is Python, so that the table can be read as a user would write it. Nothing that it names as
SQL or as a command of a shell is run, and the driver takes no memory for it.
"""

from __future__ import annotations

import re
import tempfile

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pytest

import raydp_ml
import raydp_ml.serve
from raydp_ml import (
    calibration,
    compose,
    datasets,
    decomposition,
    feature_selection,
    impute,
    inspection,
    metrics,
    model_selection,
    pipeline,
    preprocessing,
    sql,
)
from raydp_ml import torch as torch_estimators
from raydp_ml import xgboost as xgboost_estimators
from tests.peak_memory import Peak

MOST_MEMORY = 64 << 20
EVIL = "a`); DROP TABLE t; --"

# By error: a call, and a piece of what the error says.
CALLS = {
    "InvalidParameterError": [
        ("raydp_ml.init_spark(mode='cluster')", "'mode' parameter of init_spark"),
        ("raydp_ml.init_spark(num_executors=0)", "'num_executors' parameter of init_spark"),
        ("raydp_ml.init_spark(num_executors=-3, mode='native')", "'num_executors' parameter of"),
        ("raydp_ml.init_spark(num_executors=1.5, mode='native')", "'num_executors' parameter of"),
        ("raydp_ml.init_spark(executor_memory='lots', mode='native')", "'executor_memory' param"),
        ("raydp_ml.init_spark(executor_memory=-1, mode='native')", "'executor_memory' parameter"),
        ("raydp_ml.init_spark(driver_memory='1g; touch RAN')", "'driver_memory' parameter of in"),
        ("raydp_ml.init_spark(configs=5)", "'configs' parameter of init_spark"),
        ("raydp_ml.init_spark(configs={'spark.x': object()})", "'configs' parameter of init_spa"),
        ("raydp_ml.init_spark(configs={5: 'x'})", "'configs' parameter of init_spark"),
        ("raydp_ml.init_spark(timeout=-1)", "'timeout' parameter of init_spark"),
        ("raydp_ml.init_spark(timeout='long')", "'timeout' parameter of init_spark"),
        ("raydp_ml.init_spark(timeout=float('nan'))", "'timeout' parameter of init_spark"),
        ("raydp_ml.init_spark(None)", "'app_name' parameter of init_spark"),
        ("raydp_ml.init_spark(placement_group_strategy='ALL', mode='native')", "'placement_grou"),
        ("raydp_ml.init_spark(executor_resources={'GPU': -1}, mode='native')", "'executor_resou"),
        ("raydp_ml.init_spark(executor_resources='GPU', mode='native')", "'executor_resources'"),
        ("raydp_ml.to_spark(pa.table({'a': [1]}), 7)", "'spark' parameter of to_spark"),
        ("XGBRegressor(num_workers=-1).fit(df, 'y')", "'num_workers' parameter of XGBRegressor"),
        ("XGBRegressor(num_workers=1.5).fit(df, 'y')", "'num_workers' parameter of XGBRegressor"),
        ("XGBRegressor(num_workers='2').fit(df, 'y')", "'num_workers' parameter of XGBRegressor"),
        ("XGBRegressor(cpus_per_worker=-1).fit(df, 'y')", "'cpus_per_worker' parameter of XGBRe"),
        ("XGBRegressor(resources_per_worker={'memory': -1}).fit(df, 'y')", "amounts of at least"),
        ("XGBRegressor(resources_per_worker=5).fit(df, 'y')", "'resources_per_worker' parameter"),
        ("XGBRegressor(max_retries=-1).fit(df, 'y')", "'max_retries' parameter of XGBRegressor"),
        ("XGBRegressor(n_estimators=-1).fit(df, 'y')", "'n_estimators' parameter of XGBRegresso"),
        ("XGBRegressor(n_estimators='many').fit(df, 'y')", "'n_estimators' parameter of XGBRegr"),
        ("XGBRegressor(max_depth=-5).fit(df, 'y')", "'max_depth' parameter of XGBRegressor"),
        ("XGBRegressor(max_depth=10**12).fit(df, 'y')", "XGBoost refuses the parameters of this"),
        ("XGBRegressor(objective='no:such').fit(df, 'y')", "XGBoost refuses the parameters of t"),
        ("XGBRegressor(booster='no').fit(df, 'y')", "'booster' parameter of XGBRegressor"),
        ("XGBRegressor(tree_method='x; touch RAN').fit(df, 'y')", "'tree_method' parameter of X"),
        ("XGBRegressor(no_such_parameter=5).fit(df, 'y')", "XGBRegressor has no parameter 'no_s"),
        ("XGBRegressor(missing='x').fit(df, 'y')", "'missing' parameter of XGBRegressor"),
        ("XGBRegressor(max_bin=0).fit(df, 'y')", "'max_bin' parameter of XGBRegressor"),
        ("XGBRegressor(learning_rate=float('nan')).fit(df, 'y')", "'learning_rate' parameter of"),
        ("XGBRegressor(callbacks=5).fit(df, 'y')", "'callbacks' parameter of XGBRegressor"),
        ("XGBRegressor(callbacks=['x']).fit(df, 'y')", "'callbacks' parameter of XGBRegressor"),
        ("XGBClassifier(num_class=99).fit(df, 'c')", "XGBoost refuses the parameters of this XG"),
        ("XGBRegressor(random_state='x').fit(df, 'y')", "'random_state' parameter of XGBRegress"),
        ("XGBRegressor(n_jobs='x').fit(df, 'y')", "'n_jobs' parameter of XGBRegressor"),
        ("XGBRegressor(verbosity=99).fit(df, 'y')", "'verbosity' parameter of XGBRegressor"),
        ("XGBRegressor(external_memory='yes').fit(df, 'y')", "'external_memory' parameter of XG"),
        ("XGBRegressor(elastic='yes').fit(df, 'y')", "'elastic' parameter of XGBRegressor"),
        ("TorchRegressor(module='x').fit(df, 'y')", "'module' parameter of TorchRegressor"),
        ("TorchRegressor(module=5).fit(df, 'y')", "'module' parameter of TorchRegressor"),
        ("TorchRegressor(max_epochs=-1).fit(df, 'y')", "'max_epochs' parameter of TorchRegresso"),
        ("TorchRegressor(max_epochs=1.5).fit(df, 'y')", "'max_epochs' parameter of TorchRegress"),
        ("TorchRegressor(batch_size=0).fit(df, 'y')", "'batch_size' parameter of TorchRegressor"),
        ("TorchRegressor(batch_size='x').fit(df, 'y')", "'batch_size' parameter of TorchRegress"),
        ("TorchRegressor(lr=-1.0).fit(df, 'y')", "'lr' parameter of TorchRegressor"),
        ("TorchRegressor(hidden_layer_sizes=(-1,)).fit(df, 'y')", "The 'hidden_layer_sizes' par"),
        ("TorchRegressor(hidden_layer_sizes='x').fit(df, 'y')", "'hidden_layer_sizes' parameter"),
        ("TorchRegressor(num_workers=-1).fit(df, 'y')", "'num_workers' parameter of TorchRegres"),
        ("TorchRegressor(random_state=-1).fit(df, 'y')", "'random_state' parameter of TorchRegr"),
        ("StandardScaler(with_mean='x').fit(df.select('a'))", "'with_mean' parameter of Standar"),
        ("PCA(n_components=-1).fit(df.select('a', 'b'))", "'n_components' parameter of PCA"),
        ("PCA(n_components='x').fit(df.select('a', 'b'))", "'n_components' parameter of PCA"),
        ("SimpleImputer(strategy='x').fit(df.select('a'))", "'strategy' parameter of SimpleImpu"),
        ("KBinsDiscretizer(n_bins=1).fit(df.select('a'))", "'n_bins' parameter of KBinsDiscreti"),
        ("OneHotEncoder(drop='x').fit(text.select('s'))", "'drop' parameter of OneHotEncoder"),
        ("QuantileTransformer(n_quantiles=0).fit(df.select('a'))", "'n_quantiles' parameter of"),
        ("FunctionTransformer(func=5).fit(df).transform(df)", "'func' parameter of FunctionTran"),
        ("ColumnTransformer('x').fit(df)", "'transformers' parameter of ColumnTransformer"),
        ("SQLTransformer('DROP TABLE x').fit(df)", "'statement' parameter of SQLTransformer"),
        ("SQLTransformer('select 1; select 2').fit(df)", "'statement' parameter of SQLTransform"),
        ("SQLTransformer('').fit(df)", "'statement' parameter of SQLTransformer"),
        ("SQLTransformer(5).fit(df)", "'statement' parameter of SQLTransformer"),
        ("GridSearchCV(XGBRegressor(), {'max_depth': [1]}, cv=1).fit(df, 'y')", "'cv' parameter"),
        ("GridSearchCV(XGBRegressor(), {}, scoring='no').fit(df, 'y')", "'scoring' parameter of"),
        ("GridSearchCV(XGBRegressor(), 5).fit(df, 'y')", "'param_grid' parameter of GridSearchC"),
        ("GridSearchCV(5, {'a': [1]}).fit(df, 'y')", "'estimator' parameter of GridSearchCV"),
        ("partial_dependence(model, df, ['a'], grid_resolution=0)", "'grid_resolution' paramete"),
        ("raydp_ml.diagnose(timeout=-1)", "'timeout' parameter of diagnose"),
        ("make_taxi_trips(spark, n_rows=-1)", "'n_rows' parameter of make_taxi_trips"),
        ("make_taxi_trips(5)", "'spark' parameter of make_taxi_trips"),
        ("make_light_curves(spark, n_objects=0)", "'n_objects' parameter of make_light_curves"),
        ("CalibratedClassifierCV(XGBClassifier(), method='x').fit(df, 'c')", "'method' paramete"),
        ("permutation_importance(model, df, 'y', n_repeats=0)", "The 'n_repeats' parameter of p"),
    ],
    "SessionError": [
        ("raydp_ml.init_spark('a\\nb\\0c')", "init_spark was asked for app_name='a"),
    ],
    "SchemaError": [
        ("raydp_ml.from_spark(None)", "from_spark takes a Spark DataFrame; got builtins.NoneTyp"),
        ("raydp_ml.from_spark(pdf)", "from_spark takes a Spark DataFrame; got pandas.core.frame"),
        ("raydp_ml.from_spark('df')", "from_spark takes a Spark DataFrame; got builtins.str. In"),
        ("raydp_ml.from_spark(df, columns=[])", "There are no columns to copy. The columns are:"),
        ("raydp_ml.from_spark(df, columns=[EVIL])", "Column 'a`); DROP TABLE t; --' does not ex"),
        ("raydp_ml.from_spark(df, columns=['a', 'a'])", "Duplicate column names: ['a']. Each co"),
        ("raydp_ml.from_spark(df, dtype='float16')", "dtype must be 'float32', 'float64' or Non"),
        ("raydp_ml.from_spark(df, dtype=object)", "dtype must be 'float32', 'float64' or None."),
        ("raydp_ml.from_spark(df, dtype='int8')", "dtype must be 'float32', 'float64' or None."),
        ("raydp_ml.from_spark(df.selectExpr('map(a, b) as m'))", "Column 'm' has type map<doubl"),
        ("raydp_ml.to_spark(None, spark)", "to_spark takes Blocks, a ray.data.Dataset, a pyarro"),
        ("raydp_ml.to_spark(5, spark)", "to_spark takes Blocks, a ray.data.Dataset, a pyarrow.T"),
        ("raydp_ml.to_spark('file', spark)", "to_spark takes Blocks, a ray.data.Dataset, a pyar"),
        ("raydp_ml.to_spark([1, 2], spark)", "to_spark takes Blocks, a ray.data.Dataset, a pyar"),
        ("raydp_ml.to_spark(np.zeros(3), spark)", "to_spark takes Blocks, a ray.data.Dataset, a"),
        ("raydp_ml.to_spark(np.zeros((2, 2, 2)), spark)", "to_spark takes Blocks, a ray.data.Da"),
        ("raydp_ml.to_spark(pd.DataFrame({'a': [object()]}), spark)", "The pandas DataFrame hol"),
        ("raydp_ml.to_spark(pd.DataFrame({'a': [{1: 2}, 'x']}), spark)", "The pandas DataFrame"),
        ("raydp_ml.set_roles(df, label=EVIL)", "DROP TABLE t; --', given as the label"),
        ("raydp_ml.set_roles(df, ignore='zzz')", "There is no column 'zzz', given as the ignore"),
        ("XGBRegressor().fit(df, EVIL)", "DROP TABLE t; --', given as the label"),
        ("XGBRegressor().fit(text, 's')", "The label 's' is of type string, and XGBRegressor pr"),
        ("XGBRegressor(n_estimators=10**12).fit(df.limit(0), 'y')", "The training data has no r"),
        ("XGBRegressor(early_stopping_rounds=3).fit(df, 'y')", "early_stopping_rounds needs row"),
        ("XGBRegressor().fit(text, 'y', sample_weight='s')", "The sample_weight column 's' is o"),
        ("XGBRegressor().fit(df, 'y', base_margin='nope')", "There is no column 'nope', given a"),
        ("XGBRegressor().fit(df.limit(0), 'y')", "The training data has no rows. Check the filt"),
        ("XGBRegressor().fit(df.select('y'), 'y')", "No feature is left: the columns are ['y'],"),
        ("XGBRegressor().fit(df.withColumn('y', F.lit(float('inf'))), 'y')", "The label 'y' of"),
        ("XGBClassifier().fit(df.withColumn('y', F.lit(1)), 'y')", "The label 'y' has one class"),
        ("XGBRanker().fit(df, 'c', group='nope')", "There is no column 'nope', given as the gro"),
        ("XGBRegressor(feature_types=['c']).fit(df, 'y')", "feature_types holds 1 types, and th"),
        ("XGBRegressor(monotone_constraints={'zzz': 1}).fit(df, 'y')", "monotone_constraints na"),
        ("XGBRegressor(interaction_constraints=[['zzz']]).fit(df, 'y')", "interaction_constrain"),
        ("model.predict(df.drop('a'))", "XGBRegressor needs the columns ['a'] that it was fitte"),
        ("model.predict(text.withColumn('a', F.col('s')))", "The column 'a' of type string cann"),
        ("model.predict(df, base_margin='nope')", "There is no column 'nope', given as the base"),
        ("model.predict(df.selectExpr('a', 'a as A', 'b'))", "Spark does not tell upper from lo"),
        ("model.score(df, 'nope')", "There is no column 'nope', given as the label. The columns"),
        ("model.explain(df.drop('a'))", "XGBRegressor needs the columns ['a'] that it was fitte"),
        ("TorchRegressor().fit(text, 's')", "The label 's' is of type string, and TorchRegresso"),
        ("StandardScaler().fit(text.select('s'))", "The column 's' of type string cannot be a f"),
        ("StandardScaler().fit(df.limit(0).select('a'))", "The DataFrame to fit has no rows. Ch"),
        ("ColumnTransformer([('x', StandardScaler(), [EVIL])]).fit(df)", "DROP TABLE t; --', gi"),
        ("SQLTransformer('select * from nope').fit(df)", "The query 'select * from nope' reads"),
        ("SQLTransformer('select zzz from __THIS__').fit(df).transform(df)", "The query 'select"),
        ("metrics.accuracy_score(df, EVIL, 'a')", "DROP TABLE t; --', given as the label"),
        ("metrics.accuracy_score(df.limit(0), 'c', 'c')", "The DataFrame to score has no rows."),
        ("metrics.r2_score(text, 's', 'a')", "r2_score compares numbers, and the column 's' is"),
        ("metrics.log_loss(text, 'c', 's')", "The column 's', given as y_proba, is of type stri"),
        ("GridSearchCV(XGBRegressor(), {'max_depth': [1]}).fit(df, EVIL)", "DROP TABLE t; --',"),
        ("train_test_split(df, stratify='nope')", "There is no column 'nope', given as the stra"),
        ("permutation_importance(model, df, 'nope')", "There is no column 'nope', given as the"),
        ("partial_dependence(model, df, ['nope'])", "There is no column 'nope', given as the fe"),
        (
            "PCA().fit(df.select('a')).transform(df.selectExpr('a', 'a as A'))",
            "Spark does not tell upper from l",
        ),
    ],
    "TypeError": [
        ("raydp_ml.from_spark(df, columns=[None])", "columns takes names of columns in a list."),
        ("raydp_ml.from_spark(df, columns=[0])", "columns takes names of columns in a list. Got"),
        ("raydp_ml.from_spark(df, columns=5)", "columns takes names of columns in a list. Got 5"),
        ("raydp_ml.set_roles(df, label=5)", "label is the name of one of its columns. Got int"),
        ("raydp_ml.set_roles(pdf, label='y')", "set_roles takes a Spark DataFrame. Got DataFram"),
        ("raydp_ml.set_roles(df, ignore=5)", "ignore takes names of columns in a list. Got 5"),
        ("XGBRegressor().fit(df, ['y'])", "y is the name of one of its columns. Got list instea"),
        ("XGBRegressor().fit(df, pdf['y'])", "y is the name of one of its columns. Got Series i"),
        ("XGBRegressor().fit(df, 5)", "y is the name of one of its columns. Got int instead. Th"),
        ("XGBRegressor().fit(df, 'y', eval_set=[(pdf, 'y')])", "eval_set is a DataFrame, or a l"),
        ("XGBRegressor().fit(df, 'y', sample_weight=[1, 2])", "sample_weight is the name of one"),
        ("XGBRegressor().fit(df, 'y', xgb_model=5)", "xgb_model is a fitted estimator of raydp_"),
        ("TorchRegressor(learning_rate=-1.0).fit(df, 'y')", "TorchRegressor got an unexpected p"),
        ("TorchRegressor(device='warp').fit(df, 'y')", "TorchRegressor got an unexpected parame"),
        ("ColumnTransformer([('x', 5, ['a'])]).fit(df)", "All estimators should implement fit a"),
        ("make_pipeline(StandardScaler(), 5).fit(df.select('a', 'b'))", "Last step of Pipeline"),
        ("raydp_ml.spark_transformer(5)", "spark_transformer takes an object that is a pyspark."),
        ("cross_val_score(XGBRegressor(), df, pdf['y'])", "y is the name of one of its columns."),
        ("cross_val_score(XGBRegressor(), df, 'y', cv='x')", "cv is a number of folds or one of"),
        ("train_test_split(df, pdf)", "train_test_split takes one Spark DataFrame, whose column"),
        ("raydp_ml.to_onnx(5)", "5 is not an estimator instance."),
        ("raydp_ml.progress_bars('x')", "progress_bars takes True, False or None. Got 'x' inste"),
        ("raydp_ml.from_spark(df, columns='ab')", "Got 'ab'. Pass ['ab']"),
        ("raydp_ml.to_sklearn(5)", "5 is not an estimator instance"),
        ("raydp_ml.to_sklearn(XGBRegressor)", "is not an estimator instance"),
    ],
    "ValueError": [
        ("XGBRegressor().fit(df)", "This XGBRegressor estimator requires y to be passed, but t"),
        ("XGBRanker().fit(df, 'c')", "XGBRanker needs to know which rows are ranked together. P"),
        ("model.predict(None)", "Expected 2D array, got scalar array instead"),
        ("model.predict(5)", "Expected 2D array, got scalar array instead"),
        ("model.predict(pdf.drop(columns='a'))", "The feature names should match those that wer"),
        ("model.predict(np.zeros((2, 7)))", "X has 7 features, but XGBRegressor is expecting 2"),
        ("model.predict(np.array([['x', 'y']]))", "dtype='numeric' is not compatible with array"),
        ("model.predict(df, iteration_range=(0, 10**9))", "iteration_range=(0, 1000000000) is n"),
        ("model.predict(df, iteration_range=(-5, 1))", "iteration_range=(-5, 1) is not among th"),
        ("model.predict(df, iteration_range='x')", "iteration_range is a pair of whole numbers"),
        ("model.score(df)", "score needs the label. Pass the name of its column, as in"),
        ("model.explain(5)", "Expected 2D array, got scalar array instead"),
        ("model.save('a\\0b')", "embedded null byte"),
        ("raydp_ml.load('')", "'.' is not a folder that raydp_ml saved: it holds no reada"),
        ("raydp_ml.load('/dev/zero')", "'/dev/zero' is not a folder that raydp_ml saved: it hol"),
        ("raydp_ml.save(5, tmp)", "A builtins.int cannot be saved. These can: ['Binarizer', '"),
        ("StandardScaler().fit(5)", "Expected 2D array, got scalar array instead"),
        ("MinMaxScaler(feature_range=(1, 0)).fit(df.select('a'))", "Minimum of desired feature"),
        (
            "ColumnTransformer([('x', PCA(), ['a']), ('x', PCA(), ['b'])]).fit(df)",
            "Names provided are not unique:",
        ),
        ("make_pipeline().fit(df)", "The pipeline is empty. Please add steps."),
        ("train_test_split(df, test_size=2.0)", "test_size=2.0 should be either positive and sm"),
        ("train_test_split(df, test_size=-1)", "test_size=-1 should be either positive and smal"),
        ("SelectFromModel(XGBRegressor(), threshold='x').fit(df, 'y')", "Expected threshold='me"),
        ("KBinsDiscretizer(n_bins=10**9).fit(df.select('a'))", "n_bins=1000000000 is more than"),
    ],
    "ResourceError": [
        ("XGBRegressor(num_workers=10**9).fit(df, 'y')", "num_workers=1000000000 workers with 1"),
        ("XGBRegressor(cpus_per_worker=10**6).fit(df, 'y')", "num_workers=1 workers with 1e+06"),
        ("XGBRegressor(resources_per_worker={'no such': 1}).fit(df, 'y')", "num_workers=1 worke"),
    ],
    "FileNotFoundError": [
        ("XGBRegressor().fit(df, 'y', xgb_model='/no/such/file')", "There is no model at '/no/s"),
        ("model.save('/proc/nowhere/model')", "[Errno 2] No such file or directory: '/proc/nowh"),
        ("raydp_ml.load('a\\0b')", "There is no folder 'a\\x00b'. It must be one that an estima"),
        ("raydp_ml.serve.deployment('/no/such')", "There is no folder '/no/such'. It must be on"),
        ("read_taxi_trips(spark, '/no/such')", "there is no file or folder /no/such"),
        ("TorchRegressor(checkpoint_path='/proc/no').fit(df, 'y')", "checkpoint_path='/proc/no'"),
    ],
    "NotFittedError": [
        ("XGBRegressor().predict(df)", "This XGBRegressor instance is not fitted yet. Call 'fit"),
        ("raydp_ml.save(XGBRegressor(), tmp)", "This XGBRegressor instance is not fitted yet. C"),
        ("StandardScaler().transform(df)", "This StandardScaler instance is not fitted yet. Cal"),
    ],
    "FileExistsError": [
        ("model.save('')", "'.' exists and is not a folder that raydp_ml saved, so it"),
    ],
}


@pytest.fixture(scope="module")
def names(spark):
    """What the calls use."""
    from pyspark.sql import functions

    # What is imported takes memory too.
    torch_estimators.TorchRegressor(max_epochs=1, num_workers=0).fit(np.eye(4), np.arange(4.0))
    pdf = pd.DataFrame({"a": np.arange(60) / 60, "b": np.arange(60) % 7 / 1.0})
    pdf = pdf.assign(y=1.5 * np.arange(60), c=np.arange(60) % 2, s=["u", "v", "w"] * 20)
    kinds = "a double, b double, y double, c int, s string"
    text = spark.createDataFrame(pdf, kinds).repartition(3).cache()
    df = text.drop("s")
    model = xgboost_estimators.XGBRegressor(n_estimators=3, num_workers=1)
    known = {"raydp_ml": raydp_ml, "metrics": metrics, "np": np, "pd": pd, "pa": pa}
    for module in (
        calibration, compose, datasets, decomposition, feature_selection, impute, inspection,
        model_selection, pipeline, preprocessing, sql, torch_estimators, xgboost_estimators,
    ):  # fmt: skip
        known |= {name: getattr(module, name) for name in module.__all__}
    with tempfile.TemporaryDirectory() as folder:
        yield known | {
            "spark": spark,
            "df": df,
            "text": text,
            "pdf": pdf,
            "model": model.fit(df.select("a", "b", "y"), "y"),
            "F": functions,
            "EVIL": EVIL,
            "tmp": f"{folder}/saved",
        }


@pytest.fixture(scope="module")
def before(names):
    """Processes that are there."""
    return processes()


def processes():
    """Those of this process that are no workers of Ray's or Spark's, which come and go."""
    own = set()
    for process in psutil.Process().children(recursive=True):
        try:
            command = " ".join(process.cmdline())
        except psutil.Error:  # it ends
            continue
        if "ray::" not in command and "pyspark" not in command and "default_worker" not in command:
            own.add(process.pid)
    return own


@pytest.mark.modes("local")
@pytest.mark.parametrize(
    ("call", "error", "text"),
    [(call, error, text) for error, calls in CALLS.items() for call, text in calls],
)
def test_it_is_refused(names, before, call, error, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    peak = Peak()
    with pytest.raises(Exception, match=re.escape(text)) as caught:
        eval(call, names)
    assert type(caught.value).__name__ == error
    assert peak.rise() < MOST_MEMORY
    assert list(tmp_path.iterdir()) == []
    assert processes() <= before


@pytest.mark.modes("local")
def test_the_session_goes_on(names):
    assert raydp_ml.from_spark(names["df"]).num_rows == 60
    assert not names["spark"].catalog.tableExists("t")
