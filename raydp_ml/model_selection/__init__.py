"""Splitting, cross-validation and search: scikit-learn's names, on Spark DataFrames as well."""

from raydp_ml.model_selection._optuna_search import OptunaSearchCV
from raydp_ml.model_selection._search import (
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    RandomizedSearchCV,
)
from raydp_ml.model_selection._splitters import (
    GroupKFold,
    KFold,
    PredefinedSplit,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    TimeSeriesSplit,
)
from raydp_ml.model_selection._thresholds import (
    FixedThresholdClassifier,
    TunedThresholdClassifierCV,
)
from raydp_ml.model_selection._train_test_split import train_test_split
from raydp_ml.model_selection._validation import (
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    permutation_test_score,
    validation_curve,
)

__all__ = [
    "FixedThresholdClassifier",
    "GridSearchCV",
    "GroupKFold",
    "HalvingGridSearchCV",
    "HalvingRandomSearchCV",
    "KFold",
    "OptunaSearchCV",
    "PredefinedSplit",
    "RandomizedSearchCV",
    "ShuffleSplit",
    "StratifiedGroupKFold",
    "StratifiedKFold",
    "TimeSeriesSplit",
    "TunedThresholdClassifierCV",
    "cross_val_predict",
    "cross_val_score",
    "cross_validate",
    "learning_curve",
    "permutation_test_score",
    "train_test_split",
    "validation_curve",
]
