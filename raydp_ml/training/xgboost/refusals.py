"""What XGBoost's own checks refuse when it begins to boost, in words that name columns."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from raydp_ml.exceptions import SchemaError
from raydp_ml.training.rows.layout import Layout
from raydp_ml.training.rows.reports import named

_MARGINS = re.compile(r"base_margin_\.Shape\(1\) == .*\((\d+) vs\. (\d+)\)")
_DEGREES = re.compile(r"relevance degree|Relevance degress", re.IGNORECASE)
_BINARY = re.compile(r"(\S+) can only be used with binary labels")


@contextlib.contextmanager
def named_columns(layout: Layout) -> Iterator[None]:
    """Raise `SchemaError` for what XGBoost says of labels and margins without naming them.

    XGBoost judges, so that no more is refused than it refuses itself.

    Parameters
    ----------
    layout : Layout
        Of the rows to train on; those to evaluate on have the same columns mostly.
    """
    from xgboost.core import XGBoostError

    try:
        yield
    except XGBoostError as error:
        told = _told(str(error), layout)
        if told is None:
            raise
        raise SchemaError(told) from error


def margins_of_other_width(given: str, outputs: int, name: str = "") -> str:
    """Say what a row's base margins are to be, and are not."""
    array = f"an array of {outputs} numbers, one for each class, target or quantile"
    return (
        f"The base margins {name}hold {given} for each row, and this model has {outputs} outputs: "
        f"give each row {'a single number' if outputs == 1 else array}."
    )


def _told(text: str, layout: Layout) -> str | None:
    label = named(layout.label)
    if found := _MARGINS.search(text):
        given, outputs = found.groups()
        return margins_of_other_width(given, int(outputs), named(layout.margin))
    if _DEGREES.search(text):
        return (
            f"The label {label}must hold whole numbers from 0 to 31, since a row of relevance r "
            "gains 2**r - 1, and some are negative, fractional or above that. Round or cap them, "
            "or pass ndcg_exp_gain=False, with which a row gains its relevance."
        )
    if found := _BINARY.search(text):
        return (
            f"The label {label}must hold 0 and 1 only for the objective or metric "
            f"{found.group(1)!r}. Say by 0 and 1 which rows are relevant, or take rank:ndcg and "
            "ndcg."
        )
    return None
