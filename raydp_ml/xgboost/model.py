"""What the XGBoost estimators share: fit on any kind of data, predict, the fitted booster."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.validation import check_is_fitted

from raydp_ml.base import is_spark, require_column_name
from raydp_ml.events import Stopwatch
from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.columns import check_exists, check_part_kinds, from_spark_schema
from raydp_ml.fit_data.given import Given
from raydp_ml.fit_data.targets import check_margins
from raydp_ml.fit_data.training_data import Task, TrainingData
from raydp_ml.models.progress import Progress
from raydp_ml.spark_jobs.scores import named_column
from raydp_ml.training.gang.attempts import (
    explain_lost_workers,
    open_gang,
    require_room,
    starts,
)
from raydp_ml.training.gang.gang import Gang
from raydp_ml.training.gang.memory import reads_blocks
from raydp_ml.training.rows.inspection import Inspected, inspect
from raydp_ml.training.rows.layout import Feature, zero_filled
from raydp_ml.training.xgboost.fit import Boosting
from raydp_ml.training.xgboost.limits import needs_one_worker
from raydp_ml.training.xgboost.matrix import features_of
from raydp_ml.training.xgboost.refusals import margins_of_other_width
from raydp_ml.training.xgboost.spec import Round, TrainSpec
from raydp_ml.xgboost.constraints import constraints_by_place
from raydp_ml.xgboost.continuing import Start, known_to, start_of
from raydp_ml.xgboost.explaining import Explainable
from raydp_ml.xgboost.onnx_trees import write_booster
from raydp_ml.xgboost.output import (
    Asked,
    booster_output,
    checked_rounds,
    gives_classes,
    import_xgboost,
    importance_kind,
    is_linear,
    leaves,
    load_booster,
)
from raydp_ml.xgboost.parameters import (
    ALIASES,
    OWN_PARAMETERS,
    by_first_names,
    split_metrics,
    uses_quantiles,
)
from raydp_ml.xgboost.plots import Plottable
from raydp_ml.xgboost.predict import (
    BoosterPredictor,
    LeafPredictor,
    leaves_column,
    trees_column,
)
from raydp_ml.xgboost.saved_boosters import CONFIG, MODEL, read_booster
from raydp_ml.xgboost.serving import plain_rows
from raydp_ml.xgboost.sparse_reading import model_that_reads_sparse
from raydp_ml.xgboost.survival import OBJECTIVE, with_bounds
from raydp_ml.xgboost.validation import check_parameters

if TYPE_CHECKING:
    from raydp_ml.conversion.onnx_nodes import Nodes
    from raydp_ml.exchange.data_kinds import Data

LEAVES = "leaves"
"""The column that ``apply`` adds."""


class XGBModel(Explainable, Plottable):
    """Base of the three XGBoost estimators."""

    _xgboost_class: str
    _Booster: Any

    # ----------------------------------------------------------------- parameters

    def _keep(self, kwargs: dict[str, Any]) -> None:
        """Keep parameters of XGBoost that have no name of their own, as XGBoost's classes do."""
        if kwargs:
            self.kwargs = kwargs

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, with those that were given as further keyword arguments.

        Parameters
        ----------
        deep : bool, default=True
            As in scikit-learn.

        Returns
        -------
        dict of str to object
        """
        return {**super().get_params(deep), **getattr(self, "kwargs", {})}

    def set_params(self, **params: Any) -> Self:
        """Set parameters, with names of XGBoost's own among them.

        Parameters
        ----------
        **params
            A name that nobody knows is told by ``fit``.

        Returns
        -------
        estimator
            Itself.
        """
        known = set(self._get_param_names())
        own = {name: value for name, value in params.items() if name in known or "__" in name}
        super().set_params(**own)
        further = {name: value for name, value in params.items() if name not in own}
        self._keep({**getattr(self, "kwargs", {}), **further})
        return self

    # ----------------------------------------------------------------- fit

    def _fit(self, X: Any, given: Given, xgb_model: object = None) -> None:
        """Train on any kind of X; the public ``fit`` methods say what is taken."""
        watch = Stopwatch()
        import_xgboost()
        weight = given.sample_weight
        weighted = weight is not None or (
            is_spark(X) and named_column(X, None, "sample_weight") is not None
        )
        genuine = self._judged(weighted)
        begin = start_of(xgb_model)
        aside: tuple[str, ...] = ()
        survival = self.objective == OBJECTIVE
        if survival:
            X, given, aside = with_bounds(X, given)
        require_room(self._workers(self.num_workers))
        task = Task(
            self._task_kind,
            self.enable_categorical,
            type(self).__name__,
            array_label=self._task_kind != "ranking",
            sparse=True,
            bounds=survival,
            classes=None if begin is None else begin.classes,
            check_features=self._constraints,
        )
        needs_evaluation = None if self.early_stopping_rounds is None else "early_stopping_rounds"
        count = self._count(X)
        one = count is None and self._needs_one_worker(weighted)
        workers = self._workers(1 if one else count)
        metadata = None if weight is None else {"sample_weight": weight}
        steps = genuine.get_num_boosting_rounds()
        progress = Progress(self, steps, "boosting-round", "rounds", X, given.y, metadata)
        for export in self._exports(X):
            with (
                export,
                self._training_data(X, given, task) as data,
                explain_lost_workers(workers),
                progress.bar(),
            ):
                data.roles = (*data.roles, *aside)
                boosting = Boosting(task.kind, reports_rounds=progress.listened)
                for start in starts(workers):
                    with start, open_gang(workers, data.sets, again=start.number > 1) as gang:
                        external = self._reads_blocks(gang, data)
                        rows = inspect(
                            data.sets,
                            gang,
                            task.kind,
                            needs_evaluation=needs_evaluation,
                            known=known_to(begin, data.labels is not None),
                            by_slices=external,
                        )
                        cpus = None if gang.in_process else gang.cpus_per_worker
                        spec = self._spec(genuine, progress, rows, cpus, begin)
                        spec = replace(spec, external=external)
                        on_round = partial(self._on_round, progress, rows, data)
                        outcome = boosting.run(gang, rows, spec, on_round)
        self.__dict__.pop("evals_result_", None)
        if outcome.history:
            self.evals_result_ = outcome.history
        self._set_fitted(self._fitted_attributes(outcome.model, rows, data, outcome.config))
        progress.end()
        self._tell_fit(watch, gang, rows, data, start.number + export.number - 2)

    def _reads_blocks(self, gang: Gang, data: TrainingData) -> bool:
        """Whether the workers read their rows block by block, rather than hold them."""
        if self.external_memory is None and not self._uses_quantiles:
            return False
        return reads_blocks(self.external_memory, data.sets, gang, self.resources_per_worker)

    @property
    def _uses_quantiles(self) -> bool:
        return uses_quantiles(self.tree_method, self.booster, self.device)

    def _on_round(
        self, progress: Progress, rows: Inspected, data: TrainingData, event: Round
    ) -> bool:
        """Tell of a round; True asks to stop after it."""
        if event.model is None:
            return progress.step(None)
        return progress.step(self._fitted_attributes(event.model, rows, data))

    def _spec(
        self,
        genuine: Any,
        progress: Progress,
        rows: Inspected,
        cpus: float | None,
        begin: Start | None,
    ) -> TrainSpec:
        layout, classes = rows.layout, rows.classes
        params = genuine.get_xgb_params()
        if begin is not None:
            begin.check(rows, type(self).__name__, self._task_kind == "classification")
            params["base_score"] = begin.base_scores(params["base_score"])
        params.update(self._constraints(layout.feature_names, layout.num_features))
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
        elif classes is not None and str(params["objective"]).startswith("multi:"):
            params.setdefault("num_class", len(classes))
        if cpus is not None and params["n_jobs"] is None:
            params["n_jobs"] = max(1, int(cpus))
        if self.gpus_per_worker and self.device is None:
            params["device"] = "cuda"
        weights = self.feature_weights
        return TrainSpec(
            task=self._task_kind,
            params=params,
            rounds=progress.steps,
            matrix={
                "missing": self._missing,
                "enable_categorical": self.enable_categorical,
                "feature_types": None if self.feature_types is None else list(self.feature_types),
                "nthread": params["n_jobs"],
            },
            quantile=self._uses_quantiles,
            max_bin=genuine.max_bin,
            feature_weights=None if weights is None else np.asarray(weights, dtype=np.float32),
            objective=self.objective if callable(self.objective) else None,
            metric=metric,
            early_stopping_rounds=self.early_stopping_rounds,
            callbacks=tuple(self.callbacks or ()),
            classes=classes,
            reports_models=progress.shows_models,
            start=None if begin is None else begin.model,
            start_rounds=0 if begin is None else begin.rounds,
        )

    def _constraints(self, names: Sequence[str] | None, width: int) -> dict[str, Any]:
        types = self.feature_types
        if types is not None and len(types) != width:
            raise SchemaError(
                f"feature_types holds {len(types)} types, and there are {width} features. Give "
                "one for each."
            )
        return constraints_by_place(
            self.monotone_constraints, self.interaction_constraints, names, width
        )

    def _fitted_attributes(
        self, model: bytes, rows: Inspected, data: TrainingData, config: str | None = None
    ) -> dict[str, Any]:
        """Return all that ``fit`` sets, for a model after any number of rounds."""
        return {
            "_Booster": load_booster(model, self._n_threads, config, self.device),
            **self._described(rows.layout, rows.classes, data),
        }

    def _genuine(self) -> Any:
        """Return an unfitted object of XGBoost's own class with these parameters."""
        xgboost = import_xgboost()
        return getattr(xgboost, self._xgboost_class)(**self._xgboost_params())

    def _xgboost_params(self) -> dict[str, Any]:
        own = self.get_params(deep=False)
        # XGBoost writes some of them as JSON, which knows no numbers of NumPy's.
        params = {
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in own.items()
            if name not in OWN_PARAMETERS
        }
        return by_first_names(params, type(self).__name__)

    def _judged(self, weighted: bool) -> Any:
        """Return `_genuine`, when XGBoost itself takes the parameters; no data has moved yet."""
        genuine = self._genuine()
        judged = genuine.__sklearn_clone__().set_params(random_state=0)
        further = {
            name: value
            for name, value in getattr(self, "kwargs", {}).items()
            if name not in ALIASES
        }
        name = type(self).__name__
        # The user's own function is none of XGBoost's metrics.
        params = {**judged.get_xgb_params(), "eval_metric": split_metrics(self.eval_metric)[0]}
        unused = check_parameters(params, further, self._get_param_names(), self._task_kind, name)
        if unused and self.num_workers != 0:
            # In this process XGBoost says so itself.
            warnings.warn(
                f"{name} does not use the parameters {unused} with this booster, objective and "
                "tree method.",
                UserWarning,
                stacklevel=2,
            )
        kind = import_xgboost().callback.TrainingCallback
        others = [item for item in self.callbacks or () if not isinstance(item, kind)]
        if others:
            raise InvalidParameterError(
                f"The 'callbacks' parameter of {name} must hold instances of "
                f"xgboost.callback.TrainingCallback. Got {others[0]!r} instead."
            )
        one = self._needs_one_worker(weighted)
        if one and (self.num_workers or 0) > 1:
            raise InvalidParameterError(
                f"XGBoost trains {one} with one worker only, and this {name} has "
                f"num_workers={self.num_workers}. Pass num_workers=1, or 0 for this process."
            )
        if self.external_memory and not self._uses_quantiles:
            raise InvalidParameterError(
                "XGBoost reads rows block by block for tree_method='hist' only. Pass it, or "
                f"external_memory=False. Got tree_method={self.tree_method!r} and "
                f"booster={self.booster!r}."
            )
        if self.enable_categorical and (self.tree_method == "exact" or self.booster == "gblinear"):
            raise InvalidParameterError(
                "XGBoost knows no categories in a linear model, nor with the tree method 'exact'. "
                "Pass enable_categorical=False and encode them as numbers, or another booster or "
                "tree_method."
            )
        return genuine

    def _needs_one_worker(self, weighted: bool) -> str | None:
        metrics, _ = split_metrics(self.eval_metric)
        return needs_one_worker(self._xgboost_params(), metrics, weighted)

    @property
    def _n_threads(self) -> int | None:
        return self._xgboost_params()["n_jobs"]

    # ----------------------------------------------------------------- predict

    def _predicted(
        self,
        X: Any,
        output: str,
        *,
        iteration_range: Any = None,
        base_margin: Any = None,
        output_margin: bool = False,
    ) -> Any:
        """Predict on any kind of X.

        Parameters
        ----------
        X : as in ``predict``
        output : {"value", "class", "probability"}
        iteration_range, base_margin, output_margin
            As in ``predict``; the margin is a value.

        Returns
        -------
        pyspark.sql.DataFrame or ndarray
            In memory, the booster's output: of shape (n,) or (n, n_outputs), values as doubles.
        """
        check_is_fitted(self)
        asked = self._asked(output, output_margin, iteration_range)
        if not is_spark(X):
            made = self._raw(X, asked, base_margin)
            return made.astype(np.float64) if output == "value" else made
        is_probability = output == "probability"
        parameter = "probability_col" if is_probability else "prediction_col"
        column = self.probability_col if is_probability else self.prediction_col
        return self._with_prediction(X, column, parameter, output, asked, base_margin)

    def _asked(
        self, output: str, output_margin: bool = False, iteration_range: Any = None
    ) -> Asked:
        # Where the model's own output is a class, probabilities need the scores before that.
        margin = output_margin or (output != "value" and gives_classes(self._Booster))
        return Asked(self._missing, margin, checked_rounds(self._Booster, iteration_range))

    def _raw(self, X: Any, asked: Asked | None = None, base_margin: Any = None) -> np.ndarray:
        """Return the booster's output for an in-memory X, shape (n,) or (n, n_outputs)."""
        asked = asked or self._asked("value")
        if isinstance(base_margin, str):
            X, base_margin, _ = self._score_inputs(X, base_margin, None)
        parts = list(self._features(X))
        if base_margin is None:
            made = [booster_output(self._Booster, part, asked) for part in parts]
        else:
            margins = check_margins(base_margin, X)
            self._require_margins(str(margins.shape[1] if margins.ndim == 2 else 1), asked)
            ends = np.cumsum([0, *(part.shape[0] for part in parts)])
            made = [
                booster_output(self._Booster, part, asked, margins[start:end])
                for part, start, end in zip(parts, ends[:-1], ends[1:], strict=True)
            ]
        return made[0] if len(made) == 1 else np.concatenate(made)

    def _with_prediction(
        self,
        df: Any,
        column: str,
        parameter: str,
        output: str,
        asked: Asked | None = None,
        base_margin: str | None = None,
    ) -> Any:
        check_is_fitted(self)
        asked = asked or self._asked(output)
        outputs = self._outputs(asked) if output == "value" else 0
        if output == "value" and outputs:
            output = "values"
        elif self._n_targets and output != "value":
            # Of a classifier, each with a probability of its own.
            output = {"class": "labels", "probability": "values"}[output]
        layout = self._layout
        margin_name = require_column_name(base_margin, "base_margin", df.columns)
        if margin_name is not None:
            check_exists(margin_name, df.columns, "base_margin")
            columns = from_spark_schema(df.schema)
            check_part_kinds(columns, {"base_margin": margin_name}, array_label=False)
            kind = next(column.kind for column in columns if column.name == margin_name)
            is_array = kind in {"array", "vector"}  # of a length that rows will show
            width = self._require_margins("an array" if is_array else "1", asked)
            margins = Feature(margin_name, "vector" if is_array else "number", width)
            layout = layout.with_features([*layout.features, margins])
        predictor = BoosterPredictor(
            layout,
            output,
            self._class_array() if output == "class" else None,
            asked,
            from_margin=margin_name is not None,
        )
        return self._add_prediction(
            df,
            column,
            parameter,
            predictor,
            lambda: bytes(self._Booster.save_raw("ubj")),
            partial(trees_column, self._Booster, predictor),
        )

    def _require_margins(self, given: str, asked: Asked) -> int:
        """Return how many base margins a row needs; raise `SchemaError` where others are given."""
        width = self._outputs(replace(asked, margin=True)) or 1
        if given not in ({"1"} if width == 1 else {str(width), "an array"}):
            raise SchemaError(margins_of_other_width(given, width))
        return width

    def _outputs(self, asked: Asked) -> int:
        """Return how many numbers a prediction is, 0 for a single one."""
        if self._n_targets and not asked.margin:
            return self._n_targets
        row = np.full((1, self.n_features_in_), np.nan, dtype=np.float32)
        made = booster_output(self._Booster, row, asked)
        return made.shape[1] if made.ndim > 1 else 0

    def apply(self, X: Data, iteration_range: tuple[int, int] | None = None) -> Any:
        """Return the leaf of each tree that a row ends up in.

        Parameters
        ----------
        X : Spark DataFrame, or any in-memory kind that ``fit`` takes
        iteration_range : (int, int), default=None
            As in ``predict``.

        Returns
        -------
        pyspark.sql.DataFrame, or ndarray of shape (n_samples, n_trees), dtype int32
            Numbers of nodes, as XGBoost counts them in each tree; trees of one round go by class.
            For Spark, lazily: the same DataFrame plus the column "leaves", an array of int.

        Raises
        ------
        SchemaError
            As ``predict``, of the column "leaves".
        ValueError
            If the model has no such rounds.
        """
        check_is_fitted(self)
        asked = Asked(self._missing, rounds=checked_rounds(self._Booster, iteration_range))
        if is_linear(self._Booster):
            raise ValueError("A linear booster has no trees, whose leaves a row could end up in.")
        if not is_spark(X):
            return np.concatenate(
                [leaves(self._Booster, rows, asked) for rows in self._features(X)]
            )
        predictor = LeafPredictor(self._layout, "values", None, asked)
        return self._add_prediction(
            X,
            LEAVES,
            None,
            predictor,
            lambda: bytes(self._Booster.save_raw("ubj")),
            partial(leaves_column, self._Booster, predictor),
            method="apply",
        )

    def _checked_features(self, X: Any) -> pa.Table | Any:
        rows = plain_rows(self, X)
        return super()._checked_features(X) if rows is None else rows

    def _features(self, X: Any) -> Iterable[Any]:
        """Check an in-memory X; return its rows, in one part or several, as XGBoost takes them."""
        data = self._checked_features(X)
        if isinstance(data, pa.Table):
            return [features_of(data, self._layout)]
        if isinstance(data, np.ndarray) or self._layout.sparse is not None:
            return [data]
        return zero_filled(data)

    # ----------------------------------------------------------------- the fitted model

    def get_booster(self) -> Any:
        """Return the fitted ``xgboost.Booster``, with the configuration of its training.

        XGBoost's and others' functions that ask for an object of XGBoost's own take this one, or
        that of `to_xgboost`: ``xgboost.to_graphviz(model.get_booster())``,
        ``shap.TreeExplainer(model.get_booster())``.

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

        What a sparse matrix does not hold is missing to XGBoost's own object, and to this
        estimator zero, unless it was fitted on such a matrix. The object of a model that was
        fitted on columns or on an array wants dense rows. A model of vectors is made to agree:
        where a feature was never missing in training, the way that XGBoost sends missing values is
        arbitrary, and in the object returned it is the way of zero (for NaN too). Where a feature
        was missing, the object wants dense rows, and a warning says so.

        Categories are strings to the booster, whatever they were in ``fit``: a frame for the
        object returned holds them as pandas categories of strings
        (``X.astype(str).astype("category")``).

        XGBoost allows no ``[``, ``]`` or ``<`` in the names of features. The object returned has
        round brackets in their place (where two names would become equal, ``f0``, ``f1``, ...):
        give it ``X.set_axis(genuine.feature_names_in_, axis=1)``.

        Returns
        -------
        xgboost.XGBRegressor, xgboost.XGBClassifier or xgboost.XGBRanker
        """
        booster = self.get_booster()
        model = self._genuine()
        given = model.get_params()
        model.load_model(model_that_reads_sparse(booster, self._layout, self._missing))
        model.get_booster().load_config(booster.save_config())
        for name, value in given.items():
            # Setting them with set_params would also push them into the booster, where the
            # number of classes has changed the objective.
            if name != "objective" or callable(value):
                setattr(model, name, value)
        if hasattr(self, "evals_result_"):
            model.evals_result_ = self.evals_result_
        return model

    def _genuine_object(self) -> Any:
        """Return what this is for `raydp_ml.to_sklearn`, fitted or not."""
        return self.to_xgboost() if hasattr(self, "_Booster") else self._genuine()

    def _write_onnx(self, nodes: Nodes, x: str, in_pipeline: bool) -> tuple[str, int]:
        """Write the trees behind a tensor of float32, for `raydp_ml.to_onnx`.

        Parameters
        ----------
        nodes : Nodes
        x : str
        in_pipeline : bool
            Whether other steps made what `x` holds.

        Returns
        -------
        str
            The values, or the probabilities of the classes, of shape (n, width).
        int
            The width.
        """
        if self._n_targets and self._task_kind == "classification":
            raise TypeError("A model of several labels a row is not converted to ONNX.")
        if in_pipeline and self._layout.sparse is not None:
            # In memory these are sparse matrices, and what such a row does not hold is missing.
            zero, nothing = (nodes.constant(np.float32(value)) for value in (0, np.nan))
            x = nodes.add("Where", nodes.add("Equal", x, zero), nothing, x)
        return write_booster(self._Booster, self._missing, nodes, x, hasattr(self, "classes_"))

    def get_num_boosting_rounds(self) -> int:
        """Return the number of rounds that ``fit`` does: `n_estimators`, by default XGBoost's."""
        return int(self._genuine().get_num_boosting_rounds())

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
    def coef_(self) -> np.ndarray:
        """Coefficients of a linear booster (``booster="gblinear"``; other boosters have none).

        Shape (n_features_in_,), or (n_outputs, n_features_in_) where there are several classes or
        targets. The output before the link function is ``X @ coef_.T + intercept_`` and XGBoost's
        base score.
        """
        weights, bias = self._linear("coef_")
        outputs = len(bias)
        # XGBoost keeps a feature's weights of all outputs together (and its own coef_ of several
        # classes reads them as if it did not).
        return weights if outputs == 1 else weights.reshape(-1, outputs).T

    @property
    def intercept_(self) -> np.ndarray:
        """Bias of a linear booster, shape (n_outputs,); the base score of trees."""
        check_is_fitted(self)
        if self.booster == "gblinear":
            return self._linear("intercept_")[1].astype(np.float32)
        config = json.loads(self._Booster.save_config())
        return np.array(
            json.loads(config["learner"]["learner_model_param"]["base_score"]), dtype=np.float32
        )

    def _linear(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        check_is_fitted(self)
        if self.booster != "gblinear":
            raise AttributeError(
                f"{name} is defined for booster='gblinear' only. This {type(self).__name__} has "
                f"booster={self.booster!r}, whose features feature_importances_ describes."
            )
        (dump,) = self._Booster.get_dump(dump_format="json")
        model = json.loads(dump)
        return np.array(model["weight"]), np.array(model["bias"])

    @property
    def feature_importances_(self) -> np.ndarray:
        """Share of each feature in the model, shape (n_features_in_,), adding up to 1.

        Which importance is meant is set by ``importance_type`` (by default the mean gain of the
        splits, or the coefficients of a linear booster).
        """
        booster = self.get_booster()
        kind = importance_kind(self.importance_type, is_linear(booster))
        scores = booster.get_score(importance_type=kind)
        names = booster.feature_names or [f"f{i}" for i in range(self.n_features_in_)]
        values = np.array([scores.get(name, 0.0) for name in names], dtype=np.float32)
        total = values.sum()
        return values / total if total else values

    def _saved_state(self, folder: Path) -> dict[str, Any]:
        self._Booster.save_model(folder / MODEL)
        (folder / CONFIG).write_text(self._Booster.save_config())
        return super()._saved_state(folder)

    def _restore_state(self, state: dict[str, Any], folder: Path) -> None:
        super()._restore_state(state, folder)
        self._Booster, shape = read_booster(folder, self._n_threads, self.device)
        classes = getattr(self, "classes_", None)
        labels = self._n_targets or shape.classes or 2
        if (
            shape.features != self.n_features_in_
            or self._n_targets not in {0, shape.targets}
            or (classes is not None and len(classes) != labels)
        ):
            raise ValueError(
                f"the estimator and its booster are not of one model: {self.n_features_in_} "
                f"features, {self._n_targets} targets and the classes {classes}, and {shape}"
            )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_Booster")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        tags.input_tags.categorical = bool(self.enable_categorical)
        tags.input_tags.string = bool(self.enable_categorical)
        tags.target_tags.required = True
        tags.non_deterministic = getattr(self, "kwargs", {}).get("updater") == "shotgun"
        return tags
