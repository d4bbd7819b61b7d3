"""Calibrators of predictions on rows that were held out: scikit-learn's own, fitted on workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.base import clone

# Private: which calibrators there are for which classes is scikit-learn's to say.
from sklearn.calibration import _CalibratedClassifier, _fit_calibrator
from sklearn.frozen import FrozenEstimator
from sklearn.utils._array_api import get_namespace
from sklearn.utils.multiclass import check_classification_targets

from raydp_ml.calibration._responses import aligned_response, places_of, response
from raydp_ml.exceptions import ResourceError, SchemaError
from raydp_ml.exchange import from_spark
from raydp_ml.exchange.sql_text import aggregate, select
from raydp_ml.model_selection._marks import without_validation
from raydp_ml.model_selection._trials import Trial
from raydp_ml.models.wrapped import writing_to
from raydp_ml.spark_jobs.expressions import lookup
from raydp_ml.spark_jobs.scores import weight_text
from raydp_ml.spark_jobs.summaries import (
    BAD_WEIGHT,
    check_labels,
    check_weights,
    column_key,
    no_rows,
)
from raydp_ml.training.gang.room import room_now
from raydp_ml.training.gang.tasks import Result, run_tasks
from raydp_ml.training.rows.blocks_io import EveryRow
from raydp_ml.training.rows.classes import sorted_values
from raydp_ml.training.rows.layout import one_array

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from raydp_ml.model_selection._study import Study

_P = "__raydp_ml_shares"


@dataclass(frozen=True)
class _HeldOut:
    """Rows to calibrate on, and SQL of what a classifier that was not trained on them says."""

    part: int
    rows: DataFrame
    response: str


@dataclass(frozen=True)
class _Shared:
    """What the tasks share: where the rows are, and what to do with them."""

    table: EveryRow
    method: str
    n_classes: int
    weighted: bool


@dataclass(frozen=True)
class _Part:
    """The rows that calibrators are fitted to together."""

    number: int
    places: tuple[int, ...]

    @property
    def width(self) -> int:
        """How many columns are calibrated."""
        return 1 if len(self.places) == 2 else len(self.places)

    @property
    def rows(self) -> int:
        """Which rows the task reads."""
        return self.number


@dataclass(frozen=True)
class _Known:
    """What scikit-learn asks of a classifier whose predictions are there already."""

    classes_: np.ndarray

    def predict_proba(self, X: Any) -> Any:
        raise NotImplementedError


def calibrated(
    study: Study, method: str, ensemble: bool, least: int | None
) -> tuple[np.ndarray, list[_CalibratedClassifier]]:
    """Fit the classifiers, and calibrators to what they predict of the rows they have not seen.

    Parameters
    ----------
    study : Study
        Open; what is frozen in it is fitted already.
    method : {"sigmoid", "isotonic", "temperature"}
    ensemble : bool
        Whether each split's classifier has calibrators of its own.
    least : int or None
        How many rows of each class there have to be.

    Returns
    -------
    classes : ndarray of shape (n_classes,)
    pairs : list of sklearn.calibration._CalibratedClassifier

    Raises
    ------
    SchemaError, ValueError, ResourceError
    """
    classes = _classes(study, least, ensemble)
    frozen = isinstance(study.estimator, FrozenEstimator)
    models = [study.estimator] * study.n_splits if frozen else _fitted(study)
    tested = [study.test_rows(split) for split in range(study.n_splits)]
    if ensemble:
        places = [places_of(model.classes_, classes) for model in models]
        held = [
            _HeldOut(part, with_p, response(_P, places[part], len(classes), method))
            for part, with_p in enumerate(map(_with_shares, models, tested))
        ]
    else:
        if frozen:  # one classifier, whatever the split
            _check_knows(study.estimator, classes)
            models, tested = models[:1], [without_validation(study.marked.frame, study.validation)]
        held = [
            _HeldOut(0, _with_shares(model, rows), _aligned(model, classes))
            for model, rows in zip(models, tested, strict=True)
        ]
        models = [study.estimator if frozen else study.refitted(clone(study.estimator))]
        places = [places_of(models[0].classes_, classes)]
    parts = [_Part(i, tuple(of)) for i, of in enumerate(places)]
    fitted = _fit_calibrators(study, held, parts, method, classes)
    pairs = [
        _CalibratedClassifier(model, calibrators, method=method, classes=classes)
        for model, calibrators in zip(models, fitted, strict=True)
    ]
    return classes, pairs


def _fitted(study: Study) -> list[Any]:
    trials = [Trial({}, split, with_estimator=True) for split in range(study.n_splits)]
    models = [result["estimator"] for result in study.run(trials)]
    study.close_trials()
    return models


def _with_shares(model: Any, rows: DataFrame) -> DataFrame:
    made: DataFrame = writing_to(model, "probability_col", _P).predict_proba(rows)
    return made


def _aligned(model: Any, classes: np.ndarray) -> str:
    return aligned_response(_P, places_of(model.classes_, classes), len(classes))


def _check_knows(frozen: Any, classes: np.ndarray) -> None:
    if places_of(frozen.classes_, classes) != list(range(len(classes))):
        raise SchemaError(
            f"The label holds the classes {classes.tolist()}, and the frozen estimator knows "
            f"{frozen.classes_.tolist()} only. Calibrate on rows of these, or fit it on all."
        )


def _classes(study: Study, least: int | None, ensemble: bool) -> np.ndarray:
    """Return the classes of all rows, in one job that checks labels, weights and splits too."""
    label, weight = study.given.label, study.given.weight
    rows = without_validation(study.marked.frame, study.validation)
    w = "1.0D" if weight is None else weight_text(rows, weight)
    tested = " + ".join(f"if({test.condition}, 1, 0)" for _, test in study.marked.splits)
    rows = select(rows, f"{column_key(rows, label)} AS y", f"{w} AS w", f"{tested} AS tested")
    sums = {
        "n": "count(1)",
        "bad": f"count_if({BAD_WEIGHT})",
        "once": "count_if(tested = 1)",
    }
    table = aggregate(rows, ["y"], sums).toArrow()
    counts = table.column("n").to_numpy()
    if not len(counts):
        raise no_rows()
    labels = one_array(table.column("y"))
    missing = labels.is_null(nan_is_null=True)
    check_labels(label, pc.sum(pc.if_else(missing, table.column("n"), 0)).as_py())
    total = int(counts.sum())
    check_weights(weight, pc.sum(table.column("bad")).as_py(), total)
    classes = sorted_values(labels)
    if classes.dtype.kind in "fO":
        check_classification_targets(classes)
    if least and np.any(counts < least):
        raise ValueError(
            f"Requesting {least}-fold cross-validation but provided less than {least} examples for "
            "at least one class."
        )
    if not ensemble and pc.sum(table.column("once")).as_py() != total:
        raise ValueError("cross_val_predict only works for partitions")
    return classes


def _fit_calibrators(
    study: Study,
    held: Sequence[_HeldOut],
    parts: Sequence[_Part],
    method: str,
    classes: np.ndarray,
) -> list[list[Any]]:
    """Return the calibrators of each part, fitted on a worker for each."""
    label, weight = study.given.label, study.given.weight
    width = max(part.width for part in parts)
    selected = []
    for one in held:
        y = lookup(column_key(one.rows, label), classes.tolist(), range(len(classes)), "-1.0D")
        # Columns of numbers take less room than one of arrays.
        texts = [f"get({one.response}, {place}) AS s{place}" for place in range(width)]
        if weight is not None:
            texts.append(f"{weight_text(one.rows, weight)} AS w")
        texts += [f"cast({y} as int) AS y", f"{one.part} AS part"]
        selected.append(select(one.rows, *texts))
    with from_spark(reduce(lambda one, other: one.unionAll(other), selected)) as blocks:
        shared = _Shared(EveryRow.of(blocks), method, len(classes), weight is not None)
        workers = room_now(None, study.n_jobs, len(parts), blocks)
        if workers.count == 0:
            raise ResourceError(
                f"The predictions of {blocks.num_rows:,} rows ({blocks.nbytes / 1e9:.1f} GB) are "
                "too many for one worker, which calibrates on all rows of a fold. Fit the "
                "classifier by itself, and calibrate it on a sample: "
                "CalibratedClassifierCV(FrozenEstimator(model)).fit(df.sample(0.1), ...)."
            )
        found = run_tasks(_fit_part, shared, parts, workers, blocks)
    return [result["calibrators"] for result in found]


def _fit_part(shared: _Shared, part: _Part) -> Result:
    """Fit the calibrators of a part on a worker."""
    table: pa.Table = shared.table.read()
    table = table.filter(pc.equal(table.column("part"), part.number)).combine_chunks()
    if not table.num_rows:
        return {
            "raised": SchemaError(
                f"The split {part.number} has no rows to calibrate on. Check the folds, and the "
                "rows that the role 'validation' marks: they are in no fold."
            )
        }
    scores = np.column_stack([table.column(f"s{i}").to_numpy() for i in range(part.width)])
    weights = table.column("w").to_numpy() if shared.weighted else None
    try:
        made = _fit_calibrator(
            _Known(np.array(part.places)),
            scores,
            table.column("y").to_numpy().astype(np.int64),
            np.arange(shared.n_classes),
            shared.method,
            xp=get_namespace(scores)[0],
            sample_weight=weights,
        )
    except ValueError as error:
        return {"raised": error}
    return {"calibrators": made.calibrators}
