"""What a fitted estimator wants its features to hold: numbers or strings."""

from __future__ import annotations

from typing import Any

from sklearn import compose, impute, pipeline, preprocessing

__all__ = ["feature_kinds"]

_ENCODERS = (
    preprocessing.OneHotEncoder,
    preprocessing.OrdinalEncoder,
    preprocessing.TargetEncoder,
)
_LAYOUT_KINDS = {"number": "number", "vector": "number", "category": "string"}


def feature_kinds(estimator: Any) -> list[str | None]:
    """Return for each feature which kind of values it holds.

    Parameters
    ----------
    estimator : estimator
        Fitted, with `n_features_in_`.

    Returns
    -------
    list of {"number", "string", None}
        None where the estimator takes any, or does not tell.
    """
    return _kinds(estimator, estimator.n_features_in_)


def _kinds(step: Any, count: int) -> list[str | None]:
    if isinstance(step, pipeline.Pipeline):
        kept = [part for _, part in step.steps if part is not None and part != "passthrough"]
        return _kinds(kept[0], count) if kept else [None] * count
    for name in ("best_estimator_", "estimator_", "regressor_"):
        if name in getattr(step, "__dict__", {}):
            return _kinds(getattr(step, name), count)
    if isinstance(step, (pipeline.FeatureUnion, compose.ColumnTransformer)):
        return _of_parts(step, count)
    if isinstance(step, _ENCODERS):
        return [_kind_of(values) for values in step.categories_]
    if isinstance(step, impute.SimpleImputer):
        return [_kind_of([value]) for value in step.statistics_]
    if hasattr(step, "_layout"):
        layout = step._layout
        kinds: list[str | None] = [
            _LAYOUT_KINDS[of.kind] for of in layout.features for _ in of.names
        ]
        return kinds if layout.sparse is None else ["number"] * count
    # scikit-learn's own words for what takes numbers only.
    takes = step.__sklearn_tags__().input_tags if hasattr(step, "__sklearn_tags__") else None
    numbers = takes is not None and takes.two_d_array and not (takes.string or takes.categorical)
    return ["number" if numbers and not _hands_on(step) else None] * count


def _hands_on(step: Any) -> bool:
    return isinstance(step, preprocessing.FunctionTransformer)


def _of_parts(step: Any, count: int) -> list[str | None]:
    """Return the kinds that the parts next to each other agree on."""
    made: list[str | None] = [None] * count
    if isinstance(step, pipeline.FeatureUnion):
        parts = [(part, range(count)) for _, part in step.transformer_list]
    else:
        parts = [
            (part, step._transformer_to_input_indices[name]) for name, part, _ in step.transformers_
        ]
    for part, places in parts:
        if not isinstance(part, str):
            for place, kind in zip(places, _kinds(part, len(places)), strict=True):
                made[place] = kind or made[place]
    return made


def _kind_of(values: Any) -> str | None:
    if any(isinstance(value, str) for value in values):
        return "string"
    return "number" if len(values) else None
