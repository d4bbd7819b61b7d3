"""scikit-learn's own checks, over every estimator of the package, without an expected failure."""

from __future__ import annotations

import pytest
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from raydp_ml.preprocessing import StandardScaler
from raydp_ml.xgboost import (
    XGBClassifier,
    XGBRanker,
    XGBRegressor,
    XGBRFClassifier,
    XGBRFRegressor,
)


class OneGroupRanker(XGBRanker):
    """A ranker whose rows are all of one group, since scikit-learn's checks know no groups."""

    def fit(self, X, y=None, *, sample_weight=None):
        def rows():
            return estimator_checks._num_samples(X)

        groups = None if y is None else [rows()]
        return super().fit(X, y, group=groups, sample_weight=sample_weight)


# A ranking weighs whole groups, and with one group there is one weight only.
WEIGHTS = "weights of a ranking are weights of groups, and the check weighs single rows"
RANKER_EXCEPTIONS = {
    "check_sample_weights_not_overwritten": WEIGHTS,
    "check_sample_weight_equivalence_on_dense_data": WEIGHTS,
    "check_sample_weight_equivalence_on_sparse_data": WEIGHTS,
}

ESTIMATORS = [
    XGBRegressor(num_workers=0, n_jobs=1),
    XGBClassifier(num_workers=0, n_jobs=1),
    # Without chance, by which rows that are repeated and rows that weigh more would differ.
    XGBRFRegressor(num_workers=0, n_jobs=1, subsample=1, colsample_bynode=1),
    XGBRFClassifier(num_workers=0, n_jobs=1, subsample=1, colsample_bynode=1),
    StandardScaler(),
]

# Not among those that scikit-learn runs by itself.
EXTRA_CHECKS = [
    estimator_checks.check_dataframe_column_names_consistency,
    estimator_checks.check_param_validation,
]
TRANSFORMER_CHECKS = [
    estimator_checks.check_transformer_get_feature_names_out,
    estimator_checks.check_transformer_get_feature_names_out_pandas,
    estimator_checks.check_set_output_transform,
    estimator_checks.check_set_output_transform_pandas,
    estimator_checks.check_global_output_transform_pandas,
    estimator_checks.check_set_output_transform_polars,
    estimator_checks.check_global_set_output_transform_polars,
]


@parametrize_with_checks(ESTIMATORS)
def test_sklearn_checks(estimator, check):
    check(estimator)


@parametrize_with_checks(
    [OneGroupRanker(num_workers=0, n_jobs=1, objective="rank:pairwise")],
    expected_failed_checks=lambda estimator: RANKER_EXCEPTIONS,
)
def test_sklearn_checks_of_the_ranker(estimator, check):
    check(estimator)


def _name(value):
    return getattr(value, "__name__", type(value).__name__)


@pytest.mark.parametrize("check", EXTRA_CHECKS, ids=_name)
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=_name)
def test_sklearn_checks_that_are_not_in_the_generator(estimator, check):
    check(type(estimator).__name__, estimator)


@pytest.mark.parametrize("check", TRANSFORMER_CHECKS, ids=_name)
def test_sklearn_checks_of_transformers(check):
    check("StandardScaler", StandardScaler())


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_sklearn_checks_on_two_actors(ray_cluster):
    """Every check of the regressor again, trained by two real actors."""
    results = estimator_checks.check_estimator(
        XGBRegressor(num_workers=2, n_estimators=10), on_fail=None, on_skip=None
    )
    failed = {
        item["check_name"]: item["exception"] for item in results if item["status"] == "failed"
    }
    assert failed == {}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "estimator", [XGBRegressor(num_workers=0), XGBClassifier(num_workers=0)], ids=_name
)
def test_sklearn_checks_with_default_parameters(estimator):
    failed = [
        item["check_name"]
        for item in estimator_checks.check_estimator(estimator, on_fail=None, on_skip=None)
        if item["status"] == "failed"
    ]
    assert failed == []
