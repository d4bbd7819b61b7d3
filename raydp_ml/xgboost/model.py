"""What the XGBoost estimators share: fit on any kind of data, predict, the fitted booster."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, _fit_context
from sklearn.callback import CallbackSupportMixin
from sklearn.utils.validation import check_is_fitted

from raydp_ml.base import SparkEstimator, kind_of
from raydp_ml.exceptions import DataLostError, SchemaError
from raydp_ml.exchange.columns import check_kinds, from_arrow_schema, pick_columns
from raydp_ml.exchange.frames import named_table
from raydp_ml.training.xgboost_fit import Fitted, Workers, fit_booster, require_room
from raydp_ml.training.xgboost_loop import Round, TrainSpec
from raydp_ml.training.xgboost_matrix import Feature, Layout, features_of
from raydp_ml.xgboost.data import Task, TrainingData
from raydp_ml.xgboost.memory_data import checked_matrix, column_values, has_names, memory_training
from raydp_ml.xgboost.output import booster_output, import_xgboost, load_booster
from raydp_ml.xgboost.parameters import OWN_PARAMETERS, split_metrics, uses_quantiles
from raydp_ml.xgboost.spark_data import spark_training


class XGBModel(SparkEstimator, CallbackSupportMixin, BaseEstimator):
    """Base of the three XGBoost estimators."""

    _task_kind: str
    _xgboost_class: str
    _Booster: Any
    _layout: Layout
    _set_aside: tuple[str, ...]

    # ----------------------------------------------------------------- fit

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        eval_set: Any,
        group: Any = None,
        eval_group: Any = None,
    ) -> None:
        """Train on any kind of X; the public ``fit`` methods say what is taken."""
        import_xgboost()
        # Parameters are judged by XGBoost's own class before any data moves.
        genuine = self._genuine()
        require_room(self._workers(self.num_workers))
        task = Task(self._task_kind, self.enable_categorical, type(self).__name__)
        spark = kind_of(X) == "spark"

        def read() -> TrainingData:
            if spark:
                return spark_training(X, y, sample_weight, eval_set, group, task)
            return memory_training(self, X, y, sample_weight, eval_set, group, eval_group, task)

        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        progress = _Progress(self, genuine, X, y, metadata)
        try:
            data, fitted = self._read_and_train(read, genuine, spark, progress)
        except DataLostError:
            if not spark:
                raise
            # A node that held blocks is gone; Spark can compute them once more.
            data, fitted = self._read_and_train(read, genuine, spark, progress)
        self.__dict__.pop("evals_result_", None)
        if fitted.outcome.history:
            self.evals_result_ = fitted.outcome.history
        self._set_fitted(self._fitted_attributes(fitted.outcome.model, fitted, data))
        progress.end()

    def _read_and_train(
        self,
        read: Callable[[], TrainingData],
        genuine: Any,
        spark: bool,
        progress: _Progress,
    ) -> tuple[TrainingData, Fitted]:
        data = read()
        try:
            count = self.num_workers
            if count == 0 or (count is None and not spark):
                count = 0
                data.to_tables()
            else:
                data.to_blocks(count or 1)
            return data, self._train(genuine, data, count, progress)
        finally:
            data.free()

    def _train(
        self, genuine: Any, data: TrainingData, count: int | None, progress: _Progress
    ) -> Fitted:
        found: dict[str, Any] = {}

        def make_spec(layout: Layout, classes: np.ndarray | None, cpus: float | None) -> TrainSpec:
            found["fitted"] = Fitted(None, layout, classes)  # type: ignore[arg-type]
            return self._spec(genuine, progress, classes, cpus)

        def on_round(event: Round) -> bool:
            attributes = None
            if event.model is not None:
                attributes = self._fitted_attributes(event.model, found["fitted"], data)
            return progress.round(attributes)

        return fit_booster(
            data.sets,
            make_spec,
            self._workers(count),
            task=self._task_kind,
            needs_evaluation=self.early_stopping_rounds is not None,
            on_round=on_round if progress.listened else None,
        )

    def _workers(self, count: int | None) -> Workers:
        return Workers(
            count,
            self.cpus_per_worker,
            self.gpus_per_worker,
            self.resources_per_worker,
            self.max_retries,
        )

    def _spec(
        self, genuine: Any, progress: _Progress, classes: np.ndarray | None, cpus: float | None
    ) -> TrainSpec:
        params = genuine.get_xgb_params()
        names, metric = split_metrics(self.eval_metric)
        params.pop("eval_metric", None)
        if names:
            params["eval_metric"] = names
        if callable(self.objective):
            params["objective"] = "binary:logistic" if classes is not None else "reg:squarederror"
        if classes is not None and len(classes) > 2:
            if params["objective"] != "multi:softmax":
                params["objective"] = "multi:softprob"
            params["num_class"] = len(classes)
        if cpus is not None and self.n_jobs is None:
            params["n_jobs"] = max(1, int(cpus))
        if self.gpus_per_worker and self.device is None:
            params["device"] = "cuda"
        weights = self.feature_weights
        return TrainSpec(
            task=self._task_kind,
            params=params,
            rounds=progress.rounds,
            matrix={
                "missing": self.missing,
                "enable_categorical": self.enable_categorical,
                "feature_types": None if self.feature_types is None else list(self.feature_types),
                "nthread": params["n_jobs"],
            },
            quantile=uses_quantiles(self.tree_method, self.booster, self.device),
            max_bin=self.max_bin,
            feature_weights=None if weights is None else np.asarray(weights, dtype=np.float32),
            objective=self.objective if callable(self.objective) else None,
            metric=metric,
            early_stopping_rounds=self.early_stopping_rounds,
            callbacks=tuple(self.callbacks or ()),
            classes=classes,
            reports_models=progress.shows_models,
        )

    def _fitted_attributes(
        self, model: bytes, fitted: Fitted, data: TrainingData
    ) -> dict[str, Any]:
        """Return all that ``fit`` sets, for a model after any number of rounds."""
        layout = fitted.layout
        names = layout.feature_names
        attributes: dict[str, Any] = {
            "_Booster": load_booster(model, self.n_jobs),
            "_layout": Layout(layout.features, layout.sparse, layout.named),
            "_set_aside": data.roles,
            "n_features_in_": layout.num_features,
        }
        if names is not None:
            attributes["feature_names_in_"] = np.asarray(names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            # A pandas frame whose names are not strings has none; nor does an array.
            attributes["feature_names_in_"] = None
        if fitted.classes is not None:
            # Codes of an array's labels, or the labels themselves.
            attributes["classes_"] = (
                fitted.classes if data.labels is None else data.labels[fitted.classes]
            )
        return attributes

    def _set_fitted(self, attributes: dict[str, Any]) -> None:
        for name, value in attributes.items():
            setattr(self, name, value)
        if attributes.get("feature_names_in_", self) is None:
            del self.feature_names_in_

    def _genuine(self) -> Any:
        """Return an unfitted object of XGBoost's own class with these parameters."""
        xgboost = import_xgboost()
        own = self.get_params(deep=False)
        params = {name: value for name, value in own.items() if name not in OWN_PARAMETERS}
        return getattr(xgboost, self._xgboost_class)(**params)

    # ----------------------------------------------------------------- predict

    def _raw(self, X: Any, margin: bool = False) -> np.ndarray:
        """Return the booster's output for an in-memory X, shape (n,) or (n, n_outputs)."""
        data = self._features(X)
        return booster_output(self._Booster, data, self.missing, margin)

    def _features(self, X: Any) -> Any:
        """Check an in-memory X with scikit-learn's rules; return it as XGBoost takes it."""
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
        return features_of(table, self._layout)

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
            check_kinds([column], KINDS[feature.kind], supports_categories=False, in_spark=False)

    # ----------------------------------------------------------------- the fitted model

    def get_booster(self) -> Any:
        """Return the fitted ``xgboost.Booster``.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        """
        check_is_fitted(self)
        return self._Booster

    def to_xgboost(self) -> Any:
        """Return the genuine, fitted object of XGBoost's own scikit-learn class.

        It predicts the same values; a classifier's predictions are the positions in `classes_`,
        since XGBoost's own class knows no other labels.

        Returns
        -------
        xgboost.XGBRegressor, xgboost.XGBClassifier or xgboost.XGBRanker
        """
        booster = self.get_booster()
        model = self._genuine()
        given = model.get_params()
        model.load_model(bytearray(booster.save_raw("ubj")))
        for name, value in given.items():
            # Setting them with set_params would also push them into the booster, where the
            # number of classes has changed the objective.
            if name != "objective" or callable(value):
                setattr(model, name, value)
        if hasattr(self, "evals_result_"):
            model.evals_result_ = self.evals_result_
        return model

    def evals_result(self) -> dict[str, dict[str, list[float]]]:
        """Return the scores of each evaluation set after each round, as `evals_result_`.

        Raises
        ------
        ValueError
            If ``fit`` had no evaluation set.
        """
        check_is_fitted(self)
        if not hasattr(self, "evals_result_"):
            raise ValueError(
                "There are no evaluation results, since fit had no evaluation set. Pass eval_set, "
                "or mark rows with raydp_ml.set_roles(df, validation=...)."
            )
        return self.evals_result_

    @property
    def best_iteration(self) -> int:
        """Round with the best score, from 0; defined only after early stopping."""
        return int(self.get_booster().best_iteration)

    @property
    def best_score(self) -> float:
        """Score of `best_iteration`; defined only after early stopping."""
        return float(self.get_booster().best_score)

    @property
    def feature_importances_(self) -> np.ndarray:
        """Share of each feature in the model, shape (n_features_in_,), adding up to 1.

        Which importance is meant is set by ``importance_type`` (by default the mean gain of the
        splits, or the coefficients of a linear booster).
        """
        booster = self.get_booster()
        default = "weight" if self.booster == "gblinear" else "gain"
        scores = booster.get_score(importance_type=self.importance_type or default)
        names = booster.feature_names or [f"f{i}" for i in range(self.n_features_in_)]
        values = np.array([scores.get(name, 0.0) for name in names], dtype=np.float32)
        total = values.sum()
        return values / total if total else values

    def _saved_state(self, folder: Path) -> dict[str, Any]:
        self._Booster.save_model(folder / "model.ubj")
        state = super()._saved_state(folder)
        state["layout"] = {
            "features": [
                [item.name, item.kind, item.width, item.categories]
                for item in self._layout.features
            ],
            "sparse": self._layout.sparse,
            "named": self._layout.named,
        }
        return {**state, "set_aside": self._set_aside}

    def _restore_state(self, state: dict[str, Any], folder: Path) -> None:
        layout = state.pop("layout")
        features = tuple(Feature(*item) for item in layout["features"])
        self._layout = Layout(features, layout["sparse"], layout["named"])
        self._set_aside = state.pop("set_aside")
        self._Booster = load_booster((folder / "model.ubj").read_bytes(), self.n_jobs)
        super()._restore_state(state, folder)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_Booster")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        tags.input_tags.categorical = bool(self.enable_categorical)
        tags.input_tags.string = bool(self.enable_categorical)
        tags.target_tags.required = True
        return tags


KINDS = {
    "number": {"number", "boolean", "decimal"},
    "category": {"string", "category", "number", "boolean"},
    "vector": {"array", "vector"},
}


class _Progress:
    """Tells scikit-learn's callbacks of each round."""

    def __init__(self, estimator: XGBModel, genuine: Any, X: Any, y: Any, metadata: Any) -> None:
        callbacks = getattr(estimator, "_skl_callbacks", [])
        self.rounds: int = genuine.get_num_boosting_rounds()
        self.listened = bool(callbacks)
        hooks = [
            hook for item in callbacks for hook in (item.on_fit_task_begin, item.on_fit_task_end)
        ]
        # The model of each round takes time to make, and few callbacks look at it.
        self.shows_models = any(
            "fitted_estimator" in inspect.signature(hook).parameters for hook in hooks
        )
        self._about = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}
        self._context = estimator._init_callback_context(max_subtasks=self.rounds)
        self._context.call_on_fit_task_begin(**self._about)
        self._done = 0

    def round(self, attributes: dict[str, Any] | None) -> bool:
        """Tell of one round; True asks to stop."""
        if self._done == self.rounds:
            # Data that was lost is trained on from the first round again.
            return False
        self._done += 1
        step = self._context.subcontext(task_name="boosting-round")
        step.call_on_fit_task_begin(**self._about)
        return step.call_on_fit_task_end(**self._about, reconstruction_attributes=attributes)

    def end(self) -> None:
        """Tell that the estimator is fitted."""
        self._context.call_on_fit_task_end(**self._about, reconstruction_attributes={})


fit_context = _fit_context(prefer_skip_nested_validation=True)
