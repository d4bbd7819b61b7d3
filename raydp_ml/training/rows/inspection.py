"""The driver's look at the data before training: have it cut and inspected, and judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from raydp_ml.exceptions import SchemaError
from raydp_ml.training.rows.cutting import Workers, by_use, cut
from raydp_ml.training.rows.data_sets import DataSet, Part
from raydp_ml.training.rows.layout import Feature, Layout
from raydp_ml.training.rows.reports import (
    Report,
    check_report,
    fitted_features,
    inspect_parts,
    label_width,
    merge_reports,
    sorted_classes,
)

Parts = list[list[Part]]
"""The parts of each data set, by rank."""


@dataclass(frozen=True)
class Inspected:
    """The rows of a fit, cut into parts, and what is known of them.

    Attributes
    ----------
    parts : list of list of Part
        The parts of each data set, by rank: the rows to train on, the evaluation sets, and those
        that are marked for validation.
    ranks : list of int
        Workers that have rows to train on. The others have none to evaluate on either.
    layout : Layout
        Of the training data, with every feature's dictionary and width.
    classes : ndarray of shape (n_classes,) or None
    report : Report
        On the training data.
    """

    parts: Parts
    ranks: list[int]
    layout: Layout
    classes: np.ndarray | None
    report: Report


@dataclass(frozen=True)
class Known:
    """What is known of the rows beforehand, where a model is to go on with them.

    Attributes
    ----------
    features : tuple of Feature
        Whose categories keep their places; there may be no others.
    classes : ndarray of shape (n_classes,) or None
        Those that the labels must be among.
    """

    features: tuple[Feature, ...] = ()
    classes: np.ndarray | None = None


def inspect(
    sets: Sequence[DataSet],
    gang: Workers,
    task: str,
    *,
    needs_evaluation: str | None = None,
    check_features: bool = False,
    known: Known | None = None,
    by_slices: bool = False,
) -> Inspected:
    """Cut data sets into a part for each worker, and have every worker look at its own.

    Parameters
    ----------
    sets : sequence of DataSet
        The training data, then the evaluation sets.
    gang : Workers
    task : {"regression", "classification", "ranking"}
    needs_evaluation : str, optional
        The parameter that asks for rows to evaluate on.
    check_features : bool, default=False
        Whether missing and infinite features are looked for.
    known : Known, optional
    by_slices : bool, default=False
        Whether the workers cannot hold all of their rows at once.

    Raises
    ------
    SchemaError
        Where rows cannot be trained on, naming columns, counts and remedy.
    """
    train, *held_out = by_use(sets[0], gang)
    others = [*sets[1:], *held_out]
    if needs_evaluation and not others:
        raise _nothing_to_evaluate_on(needs_evaluation, sets[0].layout)
    finds_classes = task == "classification" and train.layout.label is not None
    how = finds_classes, check_features, by_slices
    parts = [cut(train, gang, task, range(gang.size))]
    by_rank = _reports(parts, gang, *how)
    # XGBoost has no use for workers without rows, and for some models and data an error.
    ranks = [rank for rank, (report,) in enumerate(by_rank) if report.weighted_rows] or [0]
    report = merge_reports([report for (report,) in by_rank])
    reports = [replace(report, rows=report.rows + train.left_out)]
    if others:
        more = [cut(data, gang, task, ranks) for data in others]
        by_set = zip(*_reports(more, gang, *how), strict=True)
        reports += [merge_reports(list(of)) for of in by_set]
        parts += more
    layout, classes = _judged(reports, [train, *others], task, known or Known())
    return Inspected(_fitted_parts(parts, layout), ranks, layout, classes, reports[0])


def _reports(
    parts: Parts, gang: Workers, find_classes: bool, check_features: bool, by_slices: bool
) -> list[list[Report]]:
    """Return, for each rank, a report on its part of each set."""
    return gang.run(
        inspect_parts,
        [
            ([of[rank] for of in parts], find_classes, check_features, by_slices)
            for rank in range(gang.size)
        ],
    )


def _nothing_to_evaluate_on(parameter: str, layout: Layout) -> SchemaError:
    where = (
        f"the column {layout.validation!r} marks no row for validation"
        if layout.validation
        else "there is no evaluation set"
    )
    return SchemaError(
        f"{parameter} needs rows to evaluate on, and {where}. Pass eval_set, or "
        "mark rows with a boolean column: raydp_ml.set_roles(df, validation=...)."
    )


def _judged(
    reports: Sequence[Report], sets: Sequence[DataSet], task: str, known: Known
) -> tuple[Layout, np.ndarray | None]:
    """Raise for rows that cannot be trained on; find dictionaries, widths and classes."""
    for report, data in zip(reports, sets, strict=True):
        check_report(report, data.layout, data.what)
    first, layout = reports[0], sets[0].layout
    classes = None
    several = label_width(first, layout)
    if layout.bounds and several != 2:
        raise SchemaError(
            f"The labels of the training data are {_elements(several)}, and this objective learns "
            "from lists of a lower and an upper bound each."
        )
    if task == "classification" and several:
        _check_labels(reports, sets)
    elif task == "classification":
        classes = sorted_classes(first, layout) if known.classes is None else known.classes
        _check_eval_classes(classes, reports, sets)
    layout = layout.with_features(fitted_features(layout.features, first, known.features))
    layout = replace(layout, targets=0 if layout.bounds else several)
    _check_eval_widths(layout, several, reports, sets)
    return layout, classes


def _check_eval_widths(
    layout: Layout, several: int, reports: Sequence[Report], sets: Sequence[DataSet]
) -> None:
    by_name = {item.name: item.width for item in layout.features if item.kind == "vector"}
    for report, data in zip(reports[1:], sets[1:], strict=True):
        if (targets := label_width(report, data.layout)) != several:
            raise SchemaError(
                f"The label of the {data.what} has {_elements(targets)}, and that of the training "
                f"data {_elements(several)}. Give both the same targets."
            )
        for item in data.layout.features:
            width = by_name.get(item.name, item.width)
            others = report.widths.get(item.name, {item.width} - {-1}) - {width}
            if others:
                raise SchemaError(
                    f"The arrays of the column {item.name!r} in the {data.what} have "
                    f"{sorted(others)[:5]} elements, and those of the training data {width}. Pad "
                    "or cut them."
                )


def _elements(targets: int) -> str:
    return f"lists of {targets} numbers" if targets else "single values"


def _check_labels(reports: Sequence[Report], sets: Sequence[DataSet]) -> None:
    """Raise for lists of labels that do not say with 0 and 1 which of them a row has."""
    for report, data in zip(reports, sets, strict=True):
        found = report.classes
        others = [] if found is None else sorted(set(found.to_pylist()) - {0, 1})
        if others:
            raise SchemaError(
                f"A list as label says with 0 and 1 which labels a row has, and the {data.what} "
                f"holds {others[:5]}. For several classes, fit one classifier for each of them; "
                "for numbers, a regressor."
            )


def _check_eval_classes(
    classes: np.ndarray, reports: Sequence[Report], sets: Sequence[DataSet]
) -> None:
    known = set(classes.tolist())
    # The training data itself has others where the classes are those of a model to go on from.
    for data, report in zip(sets, reports, strict=True):
        found = report.classes
        unknown = sorted(set(found.to_pylist()) - known) if found is not None else []
        if unknown:
            of = "the model to go on from" if data is sets[0] else "the training data"
            raise SchemaError(
                f"The {data.what} hold labels that {of} has not: {unknown[:10]} (it has "
                f"{classes[:10].tolist()}). Drop such rows, or train on some of them."
            )


def _fitted_parts(parts: Parts, layout: Layout) -> Parts:
    """Give all parts the features of the fitted layout."""
    return [[replace(part, layout=_fitted(part, layout)) for part in of] for of in parts]


def _fitted(part: Part, layout: Layout) -> Layout:
    # An evaluation set may call its label by another name, or be dense where the training
    # data is sparse.
    made = replace(part.layout, targets=layout.targets)
    return made.with_features(list(layout.features)) if layout.named else made
