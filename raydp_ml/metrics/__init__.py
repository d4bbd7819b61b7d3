"""Exact metrics of predictions on Spark DataFrames, by scikit-learn's names."""

from __future__ import annotations

from sklearn import calibration as _calibrated
from sklearn import metrics as _sklearn

from raydp_ml.metrics._calibration import calibration
from raydp_ml.metrics._cells import from_cells, from_cells_with_counts
from raydp_ml.metrics._displays import (
    CalibrationDisplay,
    ConfusionMatrixDisplay,
    PrecisionRecallDisplay,
    PredictionErrorDisplay,
    RocCurveDisplay,
)
from raydp_ml.metrics._gains import gains
from raydp_ml.metrics._metric import spark_metric
from raydp_ml.metrics._probabilities import brier_loss, logarithmic_loss, top_k_accuracy
from raydp_ml.metrics._ranking import MAX_POINTS, average_precision, curve, roc_auc
from raydp_ml.metrics._regression import (
    explained_variance,
    largest_error,
    mean_of,
    median_error,
    pinball_fraction,
    r2,
    root_mean_of,
    tweedie_fraction,
)
from raydp_ml.metrics._report import report

_POINTS = (
    MAX_POINTS,
    f"int, default={MAX_POINTS}\n        Of more distinct scores, so many evenly spaced ones "
    "give the points, with a warning",
)

accuracy_score = spark_metric(_sklearn.accuracy_score, "class", from_cells)
average_precision_score = spark_metric(_sklearn.average_precision_score, "score", average_precision)
balanced_accuracy_score = spark_metric(_sklearn.balanced_accuracy_score, "class", from_cells)
brier_score_loss = spark_metric(_sklearn.brier_score_loss, "score", brier_loss)
calibration_curve = spark_metric(_calibrated.calibration_curve, "score", calibration)
class_likelihood_ratios = spark_metric(_sklearn.class_likelihood_ratios, "class", from_cells)
classification_report = spark_metric(
    _sklearn.classification_report, "class", from_cells_with_counts
)
cohen_kappa_score = spark_metric(_sklearn.cohen_kappa_score, "class", from_cells)
confusion_matrix = spark_metric(_sklearn.confusion_matrix, "class", from_cells)
d2_absolute_error_score = spark_metric(_sklearn.d2_absolute_error_score, "number", pinball_fraction)
d2_brier_score = spark_metric(_sklearn.d2_brier_score, "score", brier_loss)
d2_log_loss_score = spark_metric(_sklearn.d2_log_loss_score, "score", logarithmic_loss)
d2_pinball_score = spark_metric(_sklearn.d2_pinball_score, "number", pinball_fraction)
d2_tweedie_score = spark_metric(_sklearn.d2_tweedie_score, "number", tweedie_fraction)
dcg_score = spark_metric(_sklearn.dcg_score, "score", gains, ranks=True)
det_curve = spark_metric(_sklearn.det_curve, "score", curve, max_points=_POINTS)
explained_variance_score = spark_metric(
    _sklearn.explained_variance_score, "number", explained_variance
)
f1_score = spark_metric(_sklearn.f1_score, "class", from_cells)
fbeta_score = spark_metric(_sklearn.fbeta_score, "class", from_cells)
hamming_loss = spark_metric(_sklearn.hamming_loss, "class", from_cells)
jaccard_score = spark_metric(_sklearn.jaccard_score, "class", from_cells)
log_loss = spark_metric(_sklearn.log_loss, "score", logarithmic_loss)
matthews_corrcoef = spark_metric(_sklearn.matthews_corrcoef, "class", from_cells)
max_error = spark_metric(_sklearn.max_error, "number", largest_error)
mean_absolute_error = spark_metric(_sklearn.mean_absolute_error, "number", mean_of)
mean_absolute_percentage_error = spark_metric(
    _sklearn.mean_absolute_percentage_error, "number", mean_of
)
mean_gamma_deviance = spark_metric(_sklearn.mean_gamma_deviance, "number", mean_of)
mean_pinball_loss = spark_metric(_sklearn.mean_pinball_loss, "number", mean_of)
mean_poisson_deviance = spark_metric(_sklearn.mean_poisson_deviance, "number", mean_of)
mean_squared_error = spark_metric(_sklearn.mean_squared_error, "number", mean_of)
mean_squared_log_error = spark_metric(_sklearn.mean_squared_log_error, "number", mean_of)
mean_tweedie_deviance = spark_metric(_sklearn.mean_tweedie_deviance, "number", mean_of)
median_absolute_error = spark_metric(_sklearn.median_absolute_error, "number", median_error)
multilabel_confusion_matrix = spark_metric(
    _sklearn.multilabel_confusion_matrix, "class", from_cells_with_counts
)
ndcg_score = spark_metric(_sklearn.ndcg_score, "score", gains, ranks=True)
precision_recall_curve = spark_metric(
    _sklearn.precision_recall_curve, "score", curve, max_points=_POINTS
)
precision_recall_fscore_support = spark_metric(
    _sklearn.precision_recall_fscore_support, "class", from_cells_with_counts
)
precision_score = spark_metric(_sklearn.precision_score, "class", from_cells)
r2_score = spark_metric(_sklearn.r2_score, "number", r2)
recall_score = spark_metric(_sklearn.recall_score, "class", from_cells)
roc_auc_score = spark_metric(_sklearn.roc_auc_score, "score", roc_auc)
roc_curve = spark_metric(_sklearn.roc_curve, "score", curve, max_points=_POINTS)
root_mean_squared_error = spark_metric(_sklearn.root_mean_squared_error, "number", root_mean_of)
root_mean_squared_log_error = spark_metric(
    _sklearn.root_mean_squared_log_error, "number", root_mean_of
)
top_k_accuracy_score = spark_metric(_sklearn.top_k_accuracy_score, "score", top_k_accuracy)
zero_one_loss = spark_metric(_sklearn.zero_one_loss, "class", from_cells)

__all__ = [
    "CalibrationDisplay",
    "ConfusionMatrixDisplay",
    "PrecisionRecallDisplay",
    "PredictionErrorDisplay",
    "RocCurveDisplay",
    "accuracy_score",
    "average_precision_score",
    "balanced_accuracy_score",
    "brier_score_loss",
    "calibration_curve",
    "class_likelihood_ratios",
    "classification_report",
    "cohen_kappa_score",
    "confusion_matrix",
    "d2_absolute_error_score",
    "d2_brier_score",
    "d2_log_loss_score",
    "d2_pinball_score",
    "d2_tweedie_score",
    "dcg_score",
    "det_curve",
    "explained_variance_score",
    "f1_score",
    "fbeta_score",
    "hamming_loss",
    "jaccard_score",
    "log_loss",
    "matthews_corrcoef",
    "max_error",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_gamma_deviance",
    "mean_pinball_loss",
    "mean_poisson_deviance",
    "mean_squared_error",
    "mean_squared_log_error",
    "mean_tweedie_deviance",
    "median_absolute_error",
    "multilabel_confusion_matrix",
    "ndcg_score",
    "precision_recall_curve",
    "precision_recall_fscore_support",
    "precision_score",
    "r2_score",
    "recall_score",
    "report",
    "roc_auc_score",
    "roc_curve",
    "root_mean_squared_error",
    "root_mean_squared_log_error",
    "top_k_accuracy_score",
    "zero_one_loss",
]
