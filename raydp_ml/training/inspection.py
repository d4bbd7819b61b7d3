"""The driver's look at the data before training: cut it into parts, have them inspected, judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.sharding import Shard, shard_by_node, shard_rows
from raydp_ml.training.data_sets import DataSet, Part
from raydp_ml.training.ranking_groups import group_boundaries, part_group_runs
from raydp_ml.training.row_reports import (
    Report,
    check_report,
    fitted_features,
    inspect_parts,
    label_width,
    merge_reports,
    sorted_classes,
)
from raydp_ml.training.table_layout import Layout

Parts = list[list[Part]]
"""The parts of each data set, by rank."""


def cut_parts(sets: Sequence[DataSet], group: Any, task: str) -> Parts:
    """Cut each data set into a part for each worker of a gang."""
    return [_cut(data, group, task) for data in sets]


def _cut(data: DataSet, group: Any, task: str) -> list[Part]:
    if data.table is not None:
        return [Part(data.layout, data.schema, table=data.table)]
    rows, refs = data.blocks.block_rows, tuple(data.blocks.refs)

    def parts(shards: Sequence[Shard]) -> list[Part]:
        return [Part(data.layout, data.schema, refs=refs, shard=shard) for shard in shards]

    if task != "ranking":
        return parts(shard_by_node(rows, data.blocks.node_ids, group.node_ids))
    # The rows of a group stay together, wherever they are.
    runs = group.run(part_group_runs, [(p,) for p in parts(shard_rows(rows, group.size))])
    boundaries = group_boundaries([run for shard in runs for run in shard])
    return parts(shard_rows(rows, group.size, boundaries))


def inspect_sets(
    parts: Parts, group: Any, find_classes: bool, check_features: bool = False
) -> list[Report]:
    """Have every worker look at its rows of every set; one merged report for each set."""
    arguments = [
        ([of[rank] for of in parts], find_classes, check_features) for rank in range(group.size)
    ]
    by_rank = group.run(inspect_parts, arguments)
    return [merge_reports(list(reports)) for reports in zip(*by_rank, strict=True)]


def judge(
    reports: Sequence[Report], sets: Sequence[DataSet], task: str, needs_evaluation: str | None
) -> tuple[Layout, np.ndarray | None]:
    """Raise for rows that cannot be trained on; find dictionaries, widths and classes.

    Parameters
    ----------
    reports : sequence of Report
        One for each set.
    sets : sequence of DataSet
        The training data, then the evaluation sets.
    task : {"regression", "classification", "ranking"}
    needs_evaluation : str or None
        The parameter that asks for rows to evaluate on, if any.

    Returns
    -------
    layout : Layout
        Of the training data, with every feature's dictionary and width.
    classes : ndarray of shape (n_classes,) or None

    Raises
    ------
    SchemaError
        Naming columns, counts and remedy.
    """
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
    if task == "classification":
        classes = sorted_classes(first, layout)
        _check_eval_classes(classes, reports, sets)
    layout = layout.with_features(fitted_features(layout.features, first))
    layout = replace(layout, targets=label_width(first, layout))
    _check_eval_widths(layout, reports, sets)
    return layout, classes


def _check_eval_widths(layout: Layout, reports: Sequence[Report], sets: Sequence[DataSet]) -> None:
    by_name = {item.name: item.width for item in layout.features if item.kind == "vector"}
    for report, data in zip(reports[1:], sets[1:], strict=True):
        if (targets := label_width(report, data.layout)) != layout.targets:
            raise SchemaError(
                f"The label of the {data.what} has {_elements(targets)}, and that of the training "
                f"data {_elements(layout.targets)}. Give both the same targets."
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


def _check_eval_classes(
    classes: np.ndarray, reports: Sequence[Report], sets: Sequence[DataSet]
) -> None:
    known = set(classes.tolist())
    seen = [("validation rows", reports[0].eval_classes)]
    seen += [
        (data.what, report.classes) for data, report in zip(sets[1:], reports[1:], strict=True)
    ]
    for what, found in seen:
        unknown = sorted(set(found.to_pylist()) - known) if found is not None else []
        if unknown:
            raise SchemaError(
                f"The {what} hold labels that the training data has not: {unknown[:10]} (it "
                f"has {classes[:10].tolist()}). Drop such rows, or train on some of them."
            )


def fitted_parts(parts: Parts, layout: Layout) -> Parts:
    """Give all parts the features of the fitted layout."""
    return [[replace(part, layout=_fitted(part, layout)) for part in of] for of in parts]


def _fitted(part: Part, layout: Layout) -> Layout:
    # An evaluation set may call its label by another name, or be dense where the training
    # data is sparse.
    made = replace(part.layout, targets=layout.targets)
    return made.with_features(list(layout.features)) if layout.named else made
