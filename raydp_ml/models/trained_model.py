"""What the estimators that train on Ray actors share, whichever library learns."""

from __future__ import annotations

import contextlib
import copy
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.base import BaseEstimator, _fit_context
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from raydp_ml.base import SparkEstimator, has_names, kind_of
from raydp_ml.events import Stopwatch
from raydp_ml.exceptions import DataLostError, SchemaError
from raydp_ml.exchange.columns import check_kinds, from_arrow_schema, pick_columns
from raydp_ml.exchange.frames import named_table
from raydp_ml.exchange.jvm import require_live
from raydp_ml.fit_data.given import Given
from raydp_ml.fit_data.memory_data import (
    checked_matrix,
    column_values,
    memory_training,
)
from raydp_ml.fit_data.spark_data import spark_training
from raydp_ml.fit_data.training_data import Task, TrainingData
from raydp_ml.models.pipeline_input import as_pipeline_promises
from raydp_ml.models.prediction_column import (
    COLUMN_KINDS,
    ComputeInJvm,
    add_prediction,
    check_category,
)
from raydp_ml.models.predictor import Predictor, class_array
from raydp_ml.training.gang.attempts import Attempt, Workers, attempts
from raydp_ml.training.gang.gang import Gang
from raydp_ml.training.rows.inspection import Inspected
from raydp_ml.training.rows.layout import Feature, Layout, check_layout

logger = logging.getLogger(__name__)


class TrainedModel(SparkEstimator, CallbackSupportMixin, BaseEstimator):
    """Base of the estimators that train on Ray actors or in this process."""

    _task_kind: str
    _layout: Layout
    _set_aside: tuple[str, ...]
    _n_targets: int = 0
    """Length of the lists that were the label; 0 for single values."""
    classes_: np.ndarray
    _label_decimal: tuple[int, int] | None = None
    """Precision and scale of a label of decimals."""
    num_workers: int | None
    cpus_per_worker: int | None
    gpus_per_worker: float
    resources_per_worker: dict[str, float] | None
    max_retries: int
    elastic: bool

    # ----------------------------------------------------------------- fit

    def _workers(self, count: int | None) -> Workers:
        return Workers(
            count,
            self.cpus_per_worker,
            self.gpus_per_worker,
            self.resources_per_worker,
            self.max_retries,
            self.elastic,
        )

    def _count(self, X: Any) -> int | None:
        """Return how many actors train on X; 0 for this process, None for one a node."""
        in_memory = kind_of(X) != "spark"
        return 0 if self.num_workers is None and in_memory else self.num_workers

    def _exports(self, X: Any) -> Iterator[Attempt]:
        # A node that held blocks may be gone; Spark can compute them once more.
        return attempts(2 if kind_of(X) == "spark" else 1, after=DataLostError)

    @contextlib.contextmanager
    def _training_data(self, X: Any, given: Given, task: Task) -> Iterator[TrainingData]:
        """Find the columns, and put the rows where they are trained on for as long as that is."""
        if kind_of(X) == "spark":
            data = spark_training(X, given, task)
        else:
            # scikit-learn's checks set attributes, and a fit that fails must leave none.
            data = memory_training(copy.copy(self), X, given, task)
        if task.bounds:
            data.sets = [replace(of, layout=replace(of.layout, bounds=True)) for of in data.sets]
        try:
            count = self._count(X)
            if count == 0:
                data.to_tables()
            else:
                data.to_blocks(count or 1)
            yield data
        finally:
            data.free()

    def _described(
        self, layout: Layout, classes: np.ndarray | None, data: TrainingData
    ) -> dict[str, Any]:
        """Return what ``fit`` sets beside the model itself."""
        names = layout.feature_names
        attributes: dict[str, Any] = {
            "_layout": Layout(layout.features, layout.sparse, layout.named),
            "_set_aside": data.roles,
            "n_features_in_": layout.num_features,
            "_n_targets": layout.targets,
            "_label_decimal": data.label_decimal,
        }
        if names is not None:
            attributes["feature_names_in_"] = np.asarray(names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            # A pandas frame whose names are not strings has none; nor does an array.
            attributes["feature_names_in_"] = None
        if classes is not None:
            # Codes of an array's labels, or the labels themselves.
            attributes["classes_"] = classes if data.labels is None else data.labels[classes]
        return attributes

    def _set_fitted(self, attributes: dict[str, Any]) -> None:
        for name, value in attributes.items():
            setattr(self, name, value)
        if attributes.get("feature_names_in_", self) is None:
            del self.feature_names_in_

    def _tell_fit(
        self, watch: Stopwatch, gang: Gang, rows: Inspected, data: TrainingData, retries: int
    ) -> None:
        """Log a fit that has ended."""
        watch.tell(
            logger,
            "fit",
            estimator=type(self).__name__,
            rows=rows.report.rows,
            bytes=data.sets[0].nbytes,
            features=rows.layout.num_features,
            workers=0 if gang.in_process else gang.size,
            cpus_per_worker=gang.cpus_per_worker,
            retries=retries,
        )

    # ----------------------------------------------------------------- predict

    def _checked_features(self, X: Any) -> pa.Table | Any:
        """Check an in-memory X with scikit-learn's rules.

        Returns
        -------
        pyarrow.Table, or ndarray or CSR matrix of shape (n_samples, n_features)
            A table where X has names, and the data of ``fit`` had.
        """
        check_is_fitted(self)
        kind = kind_of(X)
        if not has_names(X, kind) or not self._layout.named:
            if has_names(X, kind) and kind != "pandas":
                X = named_table(X, kind).to_pandas()
            matrix = checked_matrix(self, X, reset=False)
            if any(feature.kind == "category" for feature in self._layout.features):
                raise SchemaError(
                    f"This {type(self).__name__} was fitted on a frame with category columns, "
                    "which an array cannot hold. Pass a frame with the same columns."
                )
            return matrix
        table = named_table(X, kind)
        aside = [
            name
            for name in self._set_aside
            if name in table.column_names and name not in self._column_names
        ]
        table = table.drop_columns(aside)
        self._check_frame(table)
        if not table.num_rows:
            # In the words in which scikit-learn refuses such an array.
            raise ValueError(
                f"Found array with 0 sample(s) (shape={(0, self.n_features_in_)}) while a minimum "
                f"of 1 is required by {type(self).__name__}."
            )
        return table

    def _score_inputs(self, X: Any, y: Any, other: Any) -> tuple[Any, Any, Any]:
        """Replace column names of an in-memory frame by what the columns hold."""
        if y is None:
            raise ValueError(
                f"{type(self).__name__}.score needs y: an array, or a column's name where X has "
                "names."
            )
        names = [value for value in (y, other) if isinstance(value, str)]
        if not names:
            return X, y, other
        table = named_table(X, kind_of(X))
        found = {name: column_values(table, name) for name in names}
        table = table.drop_columns([name for name in names if name not in self._column_names])
        y = found[y] if isinstance(y, str) else y
        return table, y, found[other] if isinstance(other, str) else other

    @property
    def _column_names(self) -> list[str]:
        return [feature.name for feature in self._layout.features]

    def _check_frame(self, table: Any) -> None:
        """Check an in-memory frame against the columns seen in ``fit``."""
        expanded: list[str] = []
        by_name = {feature.name: feature for feature in self._layout.features}
        for name in table.column_names:
            expanded += by_name[name].names if name in by_name else [name]
        self._check_names_in(expanded)
        columns = pick_columns(
            from_arrow_schema(table.schema), self._column_names, type(self).__name__
        )
        for column, feature in zip(columns, self._layout.features, strict=True):
            check_kinds(
                [column], COLUMN_KINDS[feature.kind], supports_categories=False, in_spark=False
            )
            check_category(column, feature)

    def _add_prediction(
        self,
        df: Any,
        column: str,
        parameter: str | None,
        predictor: Predictor,
        raw: Callable[[], bytes],
        in_jvm: ComputeInJvm | None = None,
        method: str = "predict",
    ) -> Any:
        """Add a column of predictions to a Spark DataFrame; the arguments are `add_prediction`'s.

        In a Pipeline, its other columns are those that the Pipeline was given.
        """
        check_is_fitted(self)
        require_live(df.sparkSession)
        self._require_names_in(method)
        allows_missing = get_tags(self).input_tags.allow_nan
        who = type(self).__name__
        made = add_prediction(
            df, column, parameter, predictor.layout, who, allows_missing, predictor, raw, in_jvm
        )
        return as_pipeline_promises(self, made, parameter)

    def _class_array(self) -> pa.Array:
        """Return `classes_` as the values of a column."""
        return class_array(self.classes_, self._label_decimal)

    # ----------------------------------------------------------------- save and load

    def _saved_state(self, folder: Path) -> dict[str, Any]:
        state = super()._saved_state(folder)
        state["layout"] = {
            "features": [
                [item.name, item.kind, item.width, item.categories, item.missing]
                for item in self._layout.features
            ],
            "sparse": self._layout.sparse,
            "named": self._layout.named,
        }
        return {
            **state,
            "set_aside": self._set_aside,
            "n_targets": self._n_targets,
            "label_decimal": self._label_decimal,
        }

    def _restore_state(self, state: dict[str, Any], folder: Path) -> None:
        layout = state.pop("layout")
        features = tuple(Feature(*item) for item in layout["features"])
        aside = state.pop("set_aside")
        targets, decimal = state.pop("n_targets", 0), state.pop("label_decimal", None)
        super()._restore_state(state, folder)
        self._layout = Layout(features, layout["sparse"], layout["named"])
        check_layout(self._layout, self.n_features_in_, getattr(self, "feature_names_in_", None))
        if type(targets) is not int or not isinstance(aside, tuple):
            raise ValueError(f"the label is of {targets!r} targets, and {aside!r} was set aside")
        if decimal is not None:
            pa.decimal256(*decimal)  # which raises for a precision or a scale that there is not
        self._set_aside, self._n_targets, self._label_decimal = aside, targets, decimal

    # ----------------------------------------------------------------- what the libraries add

    def _raw(self, X: Any) -> np.ndarray:
        """Return the model's output for an in-memory X."""
        raise NotImplementedError

    def _with_prediction(self, df: Any, column: str, parameter: str, output: str) -> Any:
        """Add a column of predictions to a Spark DataFrame, lazily."""
        raise NotImplementedError


fit_context = _fit_context(prefer_skip_nested_validation=True)
