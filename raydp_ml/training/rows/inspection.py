"""The driver's look at the data before training: cut it into parts, have them inspected, judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.sharding import Shard, shard_by_node, shard_rows
from raydp_ml.training.rows.data_sets import DataSet, Part
from raydp_ml.training.rows.layout import Feature, Layout
from raydp_ml.training.rows.ranking_groups import group_boundaries, part_group_runs
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


class Workers(Protocol):
    """As much of a gang as an inspection needs."""

    size: int
    node_ids: Sequence[str]

    def run(self, function: Callable[..., Any], args: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Run ``function(*args[rank])`` on each worker."""


@dataclass(frozen=True)
class Inspected:
    """The rows of a fit, cut into parts, and what is known of them.

    Attributes
    ----------
    parts : list of list of Part
        The parts of each data set, by rank.
    layout : Layout
        Of the training data, with every feature's dictionary and width.
    classes : ndarray of shape (n_classes,) or None
    report : Report
        On the training data.
    """

    parts: Parts
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
    parts = [_cut(data, gang, task) for data in sets]
    find_classes = task == "classification" and sets[0].layout.label is not None
    reports = _reports(parts, gang, find_classes, check_features, by_slices)
    layout, classes = _judged(reports, sets, task, needs_evaluation, known or Known())
    return Inspected(_fitted_parts(parts, layout), layout, classes, reports[0])


def _cut(data: DataSet, gang: Workers, task: str) -> list[Part]:
    if data.table is not None:
        return [Part(data.layout, data.schema, table=data.table)]
    rows = data.blocks.block_rows
    if task != "ranking":
        return _parts(data, shard_by_node(rows, data.blocks.node_ids, gang.node_ids))
    # The rows of a group stay together, wherever they are.
    parts = _parts(data, shard_rows(rows, gang.size))
    runs = gang.run(part_group_runs, [(part,) for part in parts])
    boundaries = group_boundaries([run for shard in runs for run in shard])
    return _parts(data, shard_rows(rows, gang.size, boundaries))


def _parts(data: DataSet, shards: Sequence[Shard]) -> list[Part]:
    refs = tuple(data.blocks.refs)
    return [Part(data.layout, data.schema, refs=refs, shard=shard) for shard in shards]


def _reports(
    parts: Parts, gang: Workers, find_classes: bool, check_features: bool, by_slices: bool
) -> list[Report]:
    """Return one merged report for each set."""
    arguments = [
        ([of[rank] for of in parts], find_classes, check_features, by_slices)
        for rank in range(gang.size)
    ]
    by_rank = gang.run(inspect_parts, arguments)
    return [merge_reports(list(reports)) for reports in zip(*by_rank, strict=True)]


def _judged(
    reports: Sequence[Report],
    sets: Sequence[DataSet],
    task: str,
    needs_evaluation: str | None,
    known: Known,
) -> tuple[Layout, np.ndarray | None]:
    """Raise for rows that cannot be trained on; find dictionaries, widths and classes."""
    for report, data in zip(reports, sets, strict=True):
        check_report(report, data.layout, data.what)
    first, layout = reports[0], sets[0].layout
    if needs_evaluation and len(sets) == 1 and not first.validation_rows:
        where = (
            f"the column {layout.validation!r} marks no row for validation"
            if layout.validation
            else "there is no evaluation set"
        )
        raise SchemaError(
            f"{needs_evaluation} needs rows to evaluate on, and {where}. Pass eval_set, or "
            "mark rows with a boolean column: raydp_ml.set_roles(df, validation=...)."
        )
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
        for found in (report.classes, report.eval_classes):
            others = [] if found is None else sorted(set(found.to_pylist()) - {0, 1})
            if others:
                raise SchemaError(
                    f"A list as label says with 0 and 1 which labels a row has, and the "
                    f"{data.what} holds {others[:5]}. For several classes, fit one classifier for "
                    "each of them; for numbers, a regressor."
                )


def _check_eval_classes(
    classes: np.ndarray, reports: Sequence[Report], sets: Sequence[DataSet]
) -> None:
    known = set(classes.tolist())
    # The training data itself has others where the classes are those of a model to go on from.
    seen = [(sets[0].what, reports[0].classes), ("validation rows", reports[0].eval_classes)]
    seen += [
        (data.what, report.classes) for data, report in zip(sets[1:], reports[1:], strict=True)
    ]
    for what, found in seen:
        unknown = sorted(set(found.to_pylist()) - known) if found is not None else []
        if unknown:
            of = "the model to go on from" if what == sets[0].what else "the training data"
            raise SchemaError(
                f"The {what} hold labels that {of} has not: {unknown[:10]} (it has "
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
