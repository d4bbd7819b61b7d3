"""Phase 1 of a fit: each worker looks at its rows, the driver merges what they saw and judges.

Labels are checked, classes and the global dictionaries of category columns are found here,
before any worker builds a matrix: workers whose dictionaries differ would train without an error
and predict wrongly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from raydp_ml.exceptions import SchemaError
from raydp_ml.training.rows.chosen import Chosen
from raydp_ml.training.rows.classes import sorted_values
from raydp_ml.training.rows.data_sets import Part
from raydp_ml.training.rows.layout import Feature, Layout, as_text, is_list, is_text, one_array


@dataclass(frozen=True)
class Bad:
    """Counts of values that a column must not hold."""

    nulls: int = 0
    nans: int = 0
    infinite: int = 0
    negative: int = 0
    crossed: int = 0
    beyond: int = 0

    def __add__(self, other: Bad) -> Bad:
        return Bad(
            self.nulls + other.nulls,
            self.nans + other.nans,
            self.infinite + other.infinite,
            self.negative + other.negative,
            self.crossed + other.crossed,
            self.beyond + other.beyond,
        )

    def __str__(self) -> str:
        counts = {
            "null": self.nulls,
            "NaN": self.nans,
            "infinite": self.infinite,
            "negative": self.negative,
            "with a lower bound above the upper one": self.crossed,
            "beyond single precision": self.beyond,
        }
        return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


@dataclass(frozen=True)
class Report:
    """What one worker (or, merged, all of them) saw of one data set.

    Attributes
    ----------
    rows, weighted_rows : int
        All rows, and those whose weight is not zero.
    repeated_rows : int or None
        Sum of the weights, where all of them are whole numbers.
    label, weight, group, margin : Bad
    classes : pyarrow.Array or None
        Distinct labels of the rows that count.
    categories : dict of str to set of str
        Distinct values per category column.
    widths : dict of str to set of int
        Lengths of the arrays per array column, the label among them.
    features : dict of str to Bad
        Features with missing or infinite values, where those were looked for.
    missing : frozenset of str
        Features with missing values, where some features are vectors.
    """

    rows: int = 0
    weighted_rows: int = 0
    repeated_rows: int | None = None
    label: Bad = Bad()
    weight: Bad = Bad()
    group: Bad = Bad()
    margin: Bad = Bad()
    classes: pa.Array | None = None
    categories: dict[str, set[str]] = field(default_factory=dict)
    widths: dict[str, set[int]] = field(default_factory=dict)
    features: dict[str, Bad] = field(default_factory=dict)
    missing: frozenset[str] = frozenset()


def inspect_parts(
    parts: Sequence[Part],
    find_classes: bool,
    check_features: bool = False,
    by_slices: bool = False,
) -> list[Report]:
    """Look at one worker's rows of each data set (runs on the worker).

    Parameters
    ----------
    parts : sequence of Part
    find_classes : bool
        Whether the distinct labels are wanted.
    check_features : bool, default=False
        Whether features must not be missing or infinite.
    by_slices : bool, default=False
        Whether the worker cannot hold all of its rows at once.

    Returns
    -------
    list of Report
        One for each part.
    """
    return [
        merge_reports(
            [
                _report(table, part.layout, find_classes, check_features)
                for table in (part.tables() if by_slices else [part.read()])
            ]
        )
        for part in parts
    ]


def _report(table: pa.Table, layout: Layout, find_classes: bool, check_features: bool) -> Report:
    report = _inspect(table, layout, find_classes)
    if not check_features and not layout.has_vectors:
        return report
    bad = _bad_features(table, layout)
    missing = frozenset(name for name, counts in bad.items() if counts.nulls or counts.nans)
    return replace(report, features=bad if check_features else {}, missing=missing)


def _bad_features(table: pa.Table, layout: Layout) -> dict[str, Bad]:
    found = {}
    for feature in layout.features:
        column = table.column(feature.name)
        bad = sum((_bad_values(chunk) for chunk in column.chunks), Bad())
        if str(bad):
            found[feature.name] = bad
    return found


def _bad_values(array: pa.Array) -> Bad:
    nulls = array.null_count
    if is_list(array.type):
        array = array.flatten()
        nulls += array.null_count
    if not pat.is_floating(array.type):
        return Bad(nulls=nulls)
    # A sum is one fast pass; it is finite unless a value is not, or the sum is too large.
    total = pc.sum(array).as_py()
    if total is None or math.isfinite(total):
        return Bad(nulls=nulls)
    nans = pc.sum(pc.is_nan(array)).as_py() or 0
    return Bad(nulls, nans, pc.sum(pc.is_inf(array)).as_py() or 0)


def _inspect(table: pa.Table, layout: Layout, find_classes: bool) -> Report:
    weighted = table
    label_bad = weight_bad = margin_bad = Bad()
    if layout.margin is not None:
        margin_bad = _bad(table.column(layout.margin))
    if layout.weight is not None:
        weight_bad = _bad(table.column(layout.weight), negative=True)
        weighted = Chosen(None, weight=layout.weight).rows(table)
    classes = None
    if layout.label is not None:
        column = table.column(layout.label)
        label_bad = _bad_bounds(column) if layout.bounds else _bad(column, learnt=not find_classes)
        classes = _distinct(weighted.column(layout.label)) if find_classes else None
    return Report(
        rows=len(table),
        weighted_rows=len(weighted),
        repeated_rows=None if layout.weight is None else _whole_sum(weighted.column(layout.weight)),
        label=label_bad,
        weight=weight_bad,
        group=_missing(table.column(layout.group)) if layout.group else Bad(),
        margin=margin_bad,
        classes=classes,
        categories={
            item.name: set(pc.unique(as_text(table.column(item.name))).drop_null().to_pylist())
            for item in layout.features
            if item.kind == "category" and item.categories is None
        },
        widths={
            item.name: _lengths(table.column(item.name))
            for item in layout.features
            if item.kind == "vector" and item.width < 0
        }
        | _widths(table, layout.label)
        | _widths(table, layout.margin),
    )


def _whole_sum(weights: pa.ChunkedArray) -> int | None:
    values = pc.cast(weights, pa.float64())
    whole = pc.and_(pc.is_finite(values), pc.equal(values, pc.floor(values)))
    if pc.all(whole).as_py() is False:
        return None
    return int(pc.sum(values).as_py() or 0)


def repeat_rows(table: pa.Table, column: str) -> pa.Table:
    """Repeat each row as often as its weight says, a whole number."""
    counts = one_array(pc.cast(table.column(column), pa.int64())).to_numpy()
    return table.take(pa.array(np.repeat(np.arange(len(table)), counts)))


def _bad(column: pa.ChunkedArray, negative: bool = False, learnt: bool = True) -> Bad:
    """Count what a column must not hold; `learnt` numbers become those of single precision."""
    array = one_array(column)
    nulls = array.null_count
    if is_list(array.type):
        array = array.flatten()
        nulls += array.null_count
    below = 0
    if negative:
        below = pc.sum(pc.less(pc.cast(array, pa.float64()), 0.0)).as_py() or 0
    if not pat.is_floating(array.type):
        return Bad(nulls=nulls, negative=below)
    nans = pc.sum(pc.is_nan(array)).as_py() or 0
    infinite = pc.sum(pc.is_inf(array)).as_py() or 0
    bad = Bad(nulls, nans, infinite, below)
    if not learnt or not pat.is_float64(array.type):
        return bad
    in_single = pc.sum(pc.is_inf(array.cast(pa.float32(), safe=False))).as_py() or 0
    return replace(bad, beyond=in_single - infinite)


def _bad_bounds(column: pa.ChunkedArray) -> Bad:
    array = one_array(column)
    if not is_list(array.type):
        return _bad(column)  # which is told by itself, as other lengths are
    nulls = array.null_count
    values = array.flatten()
    if nulls or values.null_count or len(values) != 2 * len(array):
        return Bad(nulls=nulls + values.null_count)
    lower, upper = values.to_numpy(zero_copy_only=False).reshape(-1, 2).T
    nan = np.isnan(lower) | np.isnan(upper)
    return Bad(
        nans=int(nan.sum()),
        infinite=int(np.isinf(lower).sum()),
        beyond=int(np.isinf(singles(lower)).sum() - np.isinf(lower).sum()),
        negative=int((lower < 0).sum()),
        crossed=int((lower > upper).sum()),
    )


def singles(values: np.ndarray) -> np.ndarray:
    """Return numbers in single precision, infinite where they are beyond it."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _missing(column: pa.ChunkedArray) -> Bad:
    nans = pc.sum(pc.is_nan(column)).as_py() if pat.is_floating(column.type) else 0
    return Bad(nulls=column.null_count, nans=nans or 0)


def _distinct(column: pa.ChunkedArray) -> pa.Array:
    array = one_array(column)
    if is_list(array.type):
        array = array.flatten()
    if pat.is_dictionary(array.type) or is_text(array.type):
        array = as_text(array)
    elif pat.is_null(array.type):
        array = array.cast(pa.float64())
    return pc.unique(array).drop_null()


def _widths(table: pa.Table, name: str | None) -> dict[str, set[int]]:
    if name is None:
        return {}
    column = table.column(name)
    return {name: _lengths(column)} if is_list(column.type) else {}


def _lengths(column: pa.ChunkedArray) -> set[int]:
    array = one_array(column)
    if pat.is_fixed_size_list(array.type):
        return {array.type.list_size} - {0}
    return set(pc.unique(pc.list_value_length(array)).drop_null().to_pylist())


def merge_reports(reports: Sequence[Report]) -> Report:
    """Merge what the workers saw of one data set."""
    first, *rest = reports
    for report in rest:
        first = replace(
            first,
            rows=first.rows + report.rows,
            weighted_rows=first.weighted_rows + report.weighted_rows,
            repeated_rows=None
            if first.repeated_rows is None or report.repeated_rows is None
            else first.repeated_rows + report.repeated_rows,
            label=first.label + report.label,
            weight=first.weight + report.weight,
            group=first.group + report.group,
            margin=first.margin + report.margin,
            classes=_union(first.classes, report.classes),
            categories={
                name: values | report.categories[name] for name, values in first.categories.items()
            },
            widths={name: values | report.widths[name] for name, values in first.widths.items()},
            features={
                name: first.features.get(name, Bad()) + report.features.get(name, Bad())
                for name in {**first.features, **report.features}
            },
            missing=first.missing | report.missing,
        )
    return first


def _union(left: pa.Array | None, right: pa.Array | None) -> pa.Array | None:
    if left is None or right is None:
        return left if right is None else right
    return pc.unique(pa.chunked_array([left, right])).drop_null()


def check_report(report: Report, layout: Layout, what: str = "training data") -> None:
    """Raise the contract's error for rows that cannot be trained on.

    Parameters
    ----------
    report : Report
    layout : Layout
    what : str
        Which data it is, for the error.

    Raises
    ------
    SchemaError
        Naming column, counts and remedy.
    """
    if report.rows == 0:
        raise SchemaError(f"The {what} has no rows. Check the filters and joins before it.")
    total = report.rows
    if str(report.label):
        every = " (all of them)" if report.label.nulls == total else ""
        remedy = (
            "Scale it, or predict its logarithm."
            if report.label.beyond
            else "Drop such rows, for example with df.na.drop(subset=[label]) or a filter."
        )
        raise SchemaError(
            f"The label {named(layout.label)}of the {what} holds {report.label} of {total} "
            f"values{every}, and a model cannot learn from those. {remedy}"
        )
    if str(report.weight):
        raise SchemaError(
            f"The weights {named(layout.weight)}of the {what} hold {report.weight} of {total} "
            "values. Weights must be finite numbers of at least 0: fix or drop such rows."
        )
    if str(report.margin):
        raise SchemaError(
            f"The base margins {named(layout.margin)}of the {what} hold {report.margin} of "
            f"{total} values. They must be finite numbers: fix or drop such rows."
        )
    _width(report, layout.margin, "base margin")
    if report.features:
        # Columns made for arrays bear names that no user has seen.
        shown = [
            f"{repr(name) if layout.named else 'the array'} ({bad})"
            for name, bad in list(report.features.items())[:20]
        ]
        raise SchemaError(
            f"These features of the {what} hold values that a network cannot use, of {total} "
            f"rows: {', '.join(shown)}. Impute them (raydp_ml.impute.SimpleImputer), or drop such "
            "rows (df.na.drop())."
        )
    if report.weighted_rows == 0:
        raise SchemaError(
            f"All {report.rows} sample weights {named(layout.weight)}of the {what} are zero, so "
            "that no row is left to learn from. Give at least one row a positive weight."
        )
    if str(report.group):
        raise SchemaError(
            f"The group column {layout.group!r} holds {report.group} of {total} values. "
            "Drop such rows, or give each a group."
        )


def named(column: str | None) -> str:
    """Return a column's name for an error, with a space behind it; nothing where it has none."""
    # Columns made for arrays bear names that no user has seen.
    return "" if column is None or column.startswith("__") else f"{column!r} "


def fitted_features(
    features: Sequence[Feature], report: Report, known: Sequence[Feature] = ()
) -> list[Feature]:
    """Return the features with their dictionaries and widths, the same for every worker.

    Parameters
    ----------
    features : sequence of Feature
    report : Report
    known : sequence of Feature, optional
        Of a model to go on from: what they say of a feature goes on.

    Raises
    ------
    SchemaError
        If the arrays of a column differ in length, or are all missing.
    """
    fitted = []
    of = {feature.name: feature for feature in known}
    for plain in features:
        before = of.get(plain.name, plain)
        feature = replace(plain, missing=before.missing or plain.name in report.missing)
        if feature.name in report.categories:
            # Sorted, so that the dictionary does not depend on who saw a value first.
            seen = report.categories[feature.name]
            categories = before.categories or tuple(sorted(seen))
            if unknown := seen.difference(categories):
                raise SchemaError(
                    f"The model to go on from does not know these categories of the feature "
                    f"{feature.name!r}: {sorted(unknown)[:10]}. Replace them with null, which "
                    "stands for a missing value, or train anew with all rows."
                )
            fitted.append(replace(feature, categories=categories))
        elif feature.name in report.widths:
            widths = sorted(report.widths[feature.name])
            if len(widths) != 1:
                found = f"lengths {widths[:5]}" if widths else "no array at all"
                raise SchemaError(
                    f"The arrays of the feature {feature.name!r} must all be equally long, and "
                    f"it has {found}. Pad or cut them, or drop the column."
                )
            fitted.append(replace(feature, width=widths[0]))
        else:
            fitted.append(feature)
    return fitted


def label_width(report: Report, layout: Layout) -> int:
    """Return the length of the lists that the label consists of, 0 where it has none.

    Raises
    ------
    SchemaError
        If they differ in length.
    """
    return _width(report, layout.label, "label")


def _width(report: Report, column: str | None, what: str) -> int:
    widths = report.widths.get(column or "")
    if widths is None:
        return 0
    if len(widths) != 1:
        raise SchemaError(
            f"The lists of the {what} {named(column)}must all be equally long, and have the "
            f"lengths {sorted(widths)[:5]}. Pad or cut them, or drop such rows."
        )
    return next(iter(widths))


def sorted_classes(report: Report, layout: Layout) -> np.ndarray:
    """Return the distinct labels, sorted.

    Raises
    ------
    SchemaError
        If there is one class only, or about as many fractional ones as there are rows.
    """
    classes = np.array([]) if report.classes is None else sorted_values(report.classes)
    if classes.dtype.kind == "f" and len(classes) > max(20, report.weighted_rows / 2):
        fractions = classes[classes != np.floor(classes)]
        # Halves and the like are classes (the contract: any label values); a measurement is not.
        if len(fractions):
            raise SchemaError(
                f"Unknown label type: continuous. The label {named(layout.label)}holds "
                f"{len(classes)} different numbers in {report.weighted_rows} rows, not all of them "
                f"whole ({fractions[:5].tolist()}), and a classifier expects discrete classes. "
                "Fit a regressor, or make classes of them, such as strings."
            )
    if len(classes) < 2:
        only = classes.tolist()
        raise SchemaError(
            f"The label {named(layout.label)}has one class only ({only}) in "
            f"{report.weighted_rows} rows, and a classifier needs at least two classes. "
            "Check the label column and the filters before it."
        )
    return classes
