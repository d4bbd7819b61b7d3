"""scikit-learn's own checks over the PyTorch estimators; the expected failures have one reason."""

from __future__ import annotations

import pytest
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from raydp_ml.torch import TorchClassifier, TorchRegressor

pytestmark = pytest.mark.usefixtures("one_thread")

# Enough to learn what the checks ask for.
PARAMS = {"num_workers": 0, "max_epochs": 40}
ESTIMATORS = [TorchRegressor(**PARAMS), TorchClassifier(**PARAMS)]
WEIGHTS = (
    "over mini-batches, a row that occurs twice takes the place of another, and a row of "
    "weight two does not; in one batch, as here, both are equal to single precision, and the "
    "check asks for 1e-7 (see test_weights_equal_repetition_in_one_batch)"
)
EXPECTED = {
    "check_sample_weight_equivalence_on_dense_data": WEIGHTS,
    "check_sample_weight_equivalence_on_sparse_data": WEIGHTS,
}
EXTRA_CHECKS = [
    estimator_checks.check_dataframe_column_names_consistency,
    estimator_checks.check_param_validation,
]


@pytest.mark.slow
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=lambda estimator: EXPECTED)
def test_sklearn_checks(estimator, check):
    check(estimator)


def _name(value):
    return getattr(value, "__name__", type(value).__name__)


@pytest.mark.parametrize("check", EXTRA_CHECKS, ids=_name)
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=_name)
def test_sklearn_checks_that_are_not_in_the_generator(estimator, check):
    check(type(estimator).__name__, estimator)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_sklearn_checks_on_two_actors(ray_cluster):
    """Every check of the regressor again, trained by two real actors."""
    results = estimator_checks.check_estimator(
        TorchRegressor(num_workers=2, max_epochs=100),
        on_fail=None,
        on_skip=None,
        expected_failed_checks=EXPECTED,
    )
    failed = {
        item["check_name"]: item["exception"] for item in results if item["status"] == "failed"
    }
    assert failed == {}
