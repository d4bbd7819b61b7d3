"""scikit-learn's own checks, over every transformer of the package."""

from __future__ import annotations

import pytest
from sklearn.utils import estimator_checks
from sklearn.utils._test_common.instance_generator import PER_ESTIMATOR_XFAIL_CHECKS
from sklearn.utils.estimator_checks import parametrize_with_checks

from raydp_ml.compose import ColumnTransformer
from raydp_ml.decomposition import PCA, TruncatedSVD
from raydp_ml.feature_extraction.text import (
    CountVectorizer,
    HashingVectorizer,
    TfidfTransformer,
    TfidfVectorizer,
)
from raydp_ml.feature_selection import (
    GenericUnivariateSelect,
    SelectFdr,
    SelectFpr,
    SelectFwe,
    SelectKBest,
    SelectPercentile,
    VarianceThreshold,
)
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

DENSE = [
    Binarizer(),
    FunctionTransformer(feature_names_out="one-to-one"),
    KBinsDiscretizer(encode="ordinal"),
    MaxAbsScaler(),
    MinMaxScaler(),
    Normalizer(),
    OrdinalEncoder(),
    PolynomialFeatures(),
    PowerTransformer(),
    QuantileTransformer(n_quantiles=10),
    RobustScaler(),
    SplineTransformer(),
    StandardScaler(),
    TargetEncoder(cv=3),
    MissingIndicator(),
    SimpleImputer(),
    PCA(),
    TruncatedSVD(n_components=1),
    GenericUnivariateSelect(),
    SelectFdr(),
    SelectFpr(),
    SelectFwe(),
    SelectKBest(k=1),
    SelectPercentile(),
    VarianceThreshold(),
    ColumnTransformer([("scale", StandardScaler(), [0, 1])]),
    FeatureUnion([("scale", StandardScaler()), ("edges", MinMaxScaler())]),
]
SPARSE = [
    KBinsDiscretizer(),
    OneHotEncoder(handle_unknown="ignore"),
    CountVectorizer(),
    HashingVectorizer(),
    LabelEncoder(),
    TfidfTransformer(),
    TfidfVectorizer(),
]

# Not among those that scikit-learn runs by itself.
EXTRA_CHECKS = [
    estimator_checks.check_dataframe_column_names_consistency,
    estimator_checks.check_param_validation,
    estimator_checks.check_transformer_get_feature_names_out,
    estimator_checks.check_transformer_get_feature_names_out_pandas,
    estimator_checks.check_set_output_transform,
    estimator_checks.check_set_output_transform_pandas,
    estimator_checks.check_global_output_transform_pandas,
    estimator_checks.check_set_output_transform_polars,
    estimator_checks.check_global_set_output_transform_polars,
]


# scikit-learn's own ColumnTransformer and FeatureUnion fail checks that ask an estimator of plain
# arrays for what is left to the transformers inside; ours must fail none beside.
COMPOSED = {ColumnTransformer, FeatureUnion}
SKIPPED = {
    (ColumnTransformer, estimator_checks.check_dataframe_column_names_consistency),
    (FeatureUnion, estimator_checks.check_param_validation),
}


def expected_failures(estimator):
    if type(estimator) not in COMPOSED:
        return {}
    return PER_ESTIMATOR_XFAIL_CHECKS[_theirs(estimator)]


def _theirs(estimator):
    classes = type(estimator).__mro__
    return next(cls for cls in classes if cls.__module__.startswith("sklearn."))


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(DENSE + SPARSE, expected_failed_checks=expected_failures)
def test_sklearn_checks(estimator, check):
    check(estimator)


def _name(value):
    return getattr(value, "__name__", type(value).__name__)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("check", EXTRA_CHECKS, ids=_name)
@pytest.mark.parametrize("estimator", DENSE, ids=_name)
def test_sklearn_checks_that_are_not_in_the_generator(estimator, check):
    if (type(estimator), check) in SKIPPED:
        with pytest.raises((AssertionError, AttributeError)):
            check(_theirs(estimator).__name__, _theirs(estimator)(*_arguments(estimator)))
        return
    check(type(estimator).__name__, estimator)


def _arguments(estimator):
    return [getattr(estimator, "transformers", None) or estimator.transformer_list]
