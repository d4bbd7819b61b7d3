"""What of scikit-learn raydp_ml exposes again, and the test modules that are of it."""

from __future__ import annotations

import importlib
from collections import defaultdict

from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.utils.discovery import all_estimators

MODULES = [
    "calibration",
    "compose",
    "decomposition",
    "feature_extraction.text",
    "feature_selection",
    "impute",
    "inspection",
    "metrics",
    "model_selection",
    "pipeline",
    "preprocessing",
]

FILES_OF_MODELS = [
    "compose/tests/test_target.py",
    "feature_selection/tests/test_from_model.py",
    "inspection/tests/test_partial_dependence.py",
    "inspection/tests/test_permutation_importance.py",
    "metrics/tests/test_classification.py",
    "metrics/tests/test_common.py",
    "metrics/tests/test_ranking.py",
    "metrics/tests/test_regression.py",
    "model_selection/tests/test_classification_threshold.py",
    "model_selection/tests/test_search.py",
    "model_selection/tests/test_split.py",
    "model_selection/tests/test_successive_halving.py",
    "model_selection/tests/test_validation.py",
    "tests/test_calibration.py",
]
"""Tests of what chooses, judges and explains models: with models of scikit-learn's, in memory."""

FILES = [
    "compose/tests/test_column_transformer.py",
    "decomposition/tests/test_pca.py",
    "decomposition/tests/test_truncated_svd.py",
    "feature_extraction/tests/test_text.py",
    "feature_selection/tests/test_chi2.py",
    "feature_selection/tests/test_feature_select.py",
    "feature_selection/tests/test_variance_threshold.py",
    "impute/tests/test_common.py",
    "impute/tests/test_impute.py",
    "preprocessing/tests/test_common.py",
    "preprocessing/tests/test_data.py",
    "preprocessing/tests/test_discretization.py",
    "preprocessing/tests/test_encoders.py",
    "preprocessing/tests/test_function_transformer.py",
    "preprocessing/tests/test_label.py",
    "preprocessing/tests/test_polynomial.py",
    "preprocessing/tests/test_target_encoder.py",
    "tests/test_pipeline.py",
]
"""Those whose data is sent to Spark as well."""


def exposed_again():
    """Return, for each of scikit-learn's modules, our classes and functions by their names.

    That is for the public modules, and for those that define the classes and functions.
    """
    all_estimators()  # imports whatever of scikit-learn would import our classes later
    found = defaultdict(dict)
    for name in MODULES:
        ours = importlib.import_module(f"raydp_ml.{name}")
        theirs = importlib.import_module(f"sklearn.{name}")
        for item in ours.__all__:
            original = getattr(theirs, item, None)
            if original is not None and getattr(ours, item) is not original:
                for module in (theirs.__name__, original.__module__):
                    found[module][item] = getattr(ours, item)
    return dict(found)
