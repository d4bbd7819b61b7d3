"""A model that another training goes on from: its rounds, and what its rows were like."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.validation import check_is_fitted

from raydp_ml.exceptions import SchemaError
from raydp_ml.models.trained_model import TrainedModel
from raydp_ml.saving.folders import load
from raydp_ml.training.rows.inspection import Inspected, Known
from raydp_ml.training.rows.layout import Feature, Layout, is_text
from raydp_ml.training.xgboost.matrix import booster_names
from raydp_ml.xgboost.output import best_rounds, import_xgboost

if TYPE_CHECKING:
    import xgboost

StartModel: TypeAlias = "TrainedModel | xgboost.XGBModel | xgboost.Booster | str | os.PathLike[str]"
"""What ``fit`` takes as ``xgb_model``."""


@dataclass(frozen=True)
class Start:
    """Where a training begins.

    Attributes
    ----------
    booster : xgboost.Booster
        Without the rounds that an early stopping had found too many.
    layout : Layout or None
        Of the rows that it was trained on; None for a model of XGBoost's own.
    classes : ndarray of shape (n_classes,) or None
        None for several labels a row as well.
    classifies : bool
        Whether it was trained on classes or labels, where there is a layout.
    targets : int
    features : tuple of Feature
        Those with categories.
    """

    booster: xgboost.Booster
    layout: Layout | None = None
    classes: np.ndarray | None = None
    classifies: bool = False
    targets: int = 0
    features: tuple[Feature, ...] = ()

    @property
    def rounds(self) -> int:
        """Number of rounds."""
        return int(self.booster.num_boosted_rounds())

    @property
    def model(self) -> bytes:
        """The model, as workers take it."""
        return bytes(self.booster.save_raw("ubj"))

    def base_scores(self, given: Any) -> Any:
        """Return ``base_score`` as XGBoost takes it for a model that has trees already.

        For one without, it takes a single score for each output.

        Raises
        ------
        InvalidParameterError
            Where there are neither one nor as many as outputs.
        """
        if given is None:
            return None
        learner = json.loads(self.booster.save_config())["learner"]["learner_model_param"]
        outputs = max(int(learner["num_class"]), int(learner["num_target"]), 1)
        scores = np.ravel(np.asarray(given, dtype=float))
        if len(scores) not in {1, outputs}:
            raise InvalidParameterError(
                f"base_score holds {len(scores)} numbers, and xgb_model's number of outputs is "
                f"{outputs}. Pass one number, or one for each output, or None to keep "
                "the model's own."
            )
        return np.resize(scores, outputs).tolist()

    def check(self, rows: Inspected, estimator: str, classifies: bool) -> None:
        """Raise `SchemaError` where the new rows are others than the model's were."""
        names, width = rows.layout.feature_names, rows.layout.num_features
        if self.layout is not None:
            if _kinds(self.layout) != _kinds(rows.layout):
                _refuse("features", _kinds(rows.layout), _kinds(self.layout))
            if self.targets != rows.layout.targets:
                _refuse("targets", rows.layout.targets, self.targets)
            if self.classifies != classifies:
                _refuse("task", estimator, "the other")
            return
        booster = self.booster
        if booster.num_features() != width:
            _refuse("number of features", width, booster.num_features())
        own = booster_names(names)
        if None not in (own, booster.feature_names) and own != booster.feature_names:
            _refuse("features", own, booster.feature_names)
        config = json.loads(booster.save_config())["learner"]
        learner = config["learner_model_param"]
        classes = 0 if rows.classes is None or len(rows.classes) == 2 else len(rows.classes)
        if int(learner["num_class"]) != classes:
            _refuse("number of classes", classes or "2 or none", learner["num_class"])
        # Quantiles are outputs, and no targets.
        quantiles = config["objective"]["name"] == "reg:quantileerror"
        if not quantiles and int(learner["num_target"]) != max(1, rows.layout.targets):
            _refuse("targets", max(1, rows.layout.targets), learner["num_target"])


def start_of(xgb_model: object) -> Start | None:
    """Return what ``fit`` goes on from.

    Parameters
    ----------
    xgb_model : fitted estimator, xgboost.Booster, path or None

    Raises
    ------
    sklearn.exceptions.NotFittedError
        For an estimator before its ``fit``.
    FileNotFoundError
        If there is nothing at the path.
    ValueError
        If what is there is no model, or one with categories that nobody has written down.
    TypeError
        For anything else.
    """
    if xgb_model is None:
        return None
    xgboost = import_xgboost()
    given: Any = xgb_model
    if isinstance(given, (str, os.PathLike)):
        given = _read(Path(given))
    if isinstance(given, TrainedModel) and hasattr(given, "get_booster"):
        check_is_fitted(given)
        classifies, layout = hasattr(given, "classes_"), given._layout
        return Start(
            _best(given.get_booster()),
            layout,
            given.classes_ if classifies and not given._n_targets else None,
            classifies,
            given._n_targets,
            layout.features,
        )
    if isinstance(given, xgboost.XGBModel):
        given = given.get_booster()
    if not isinstance(given, xgboost.Booster):
        raise TypeError(
            "xgb_model is a fitted estimator of raydp_ml.xgboost or of XGBoost's own, an "
            f"xgboost.Booster, or the path of a saved one. Got {type(given).__name__} instead."
        )
    return Start(_best(given), features=_with_categories(given))


def known_to(start: Start | None, coded: bool) -> Known | None:
    """Return what a model to go on from knows of the rows to come.

    Parameters
    ----------
    start : Start or None
    coded : bool
        Whether labels are the places of the classes already.
    """
    if start is None:
        return None
    classes = start.classes
    if classes is not None and coded:
        classes = np.arange(len(classes))
    return Known(start.features, classes)


def _read(path: Path) -> Any:
    if not path.exists():
        raise FileNotFoundError(
            f"There is no model at {str(path)!r}. xgb_model is a folder that save(path) wrote, or "
            "a file of XGBoost's save_model."
        )
    if path.is_dir():
        return load(path)
    xgboost = import_xgboost()
    try:
        return xgboost.Booster(model_file=path)
    except xgboost.core.XGBoostError as error:
        raise ValueError(f"XGBoost finds no model in the file {str(path)!r}.") from error


def _best(booster: Any) -> Any:
    """Return a booster as it predicts: after early stopping, of its best rounds only."""
    first, last = best_rounds(booster)
    if last == 0:
        return booster
    cut = booster[first:last]
    # They would be taken for those of the training to come.
    cut.set_attr(best_iteration=None, best_score=None)
    return cut


def _with_categories(booster: xgboost.Booster) -> tuple[Feature, ...]:
    """Return the features of XGBoost's own model that are categories.

    Raises
    ------
    ValueError
        Where these are no strings, as all of ours are.
    """
    if "c" not in (booster.feature_types or ()):
        return ()
    found = []
    for name, values in booster.get_categories(export_to_arrow=True).to_arrow() or ():
        if values is None:
            continue
        if not is_text(values.type):
            raise ValueError(
                f"The categories of the feature {name!r} of xgb_model are of type {values.type}, "
                "and those that raydp_ml trains on are strings. Train it on strings."
            )
        categories = tuple(values.to_pylist())
        found.append(Feature(name, "category", categories=categories))
    return tuple(found)


def _kinds(layout: Layout) -> Sequence[object]:
    """Return what must not change from one training to the next."""
    if not layout.named:
        return [layout.num_features, "sparse" if layout.sparse is not None else "dense"]
    return [(item.name, item.kind, item.width) for item in layout.features]


def _refuse(what: str, found: object, wanted: object) -> None:
    raise SchemaError(
        f"xgb_model goes on with rows of the same {what}. These have {found}, and its own had "
        f"{wanted}. Give it the same columns, or begin without xgb_model."
    )
