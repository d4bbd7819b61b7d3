"""From Arrow tables to XGBoost's input, without a cluster."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import csr_array

from raydp_ml.exceptions import SchemaError
from raydp_ml.training.rows.data_sets import Part
from raydp_ml.training.rows.layout import (
    Feature,
    Layout,
    dense_column,
    feature_of,
    label_of,
    sparse_table,
)
from raydp_ml.training.rows.ranking_groups import group_boundaries, group_runs, group_sizes
from raydp_ml.training.rows.reports import (
    Report,
    check_report,
    fitted_features,
    inspect_parts,
    merge_reports,
    repeat_rows,
    sorted_classes,
)
from raydp_ml.training.xgboost.matrix import booster_names, features_of


def layout_of(table, **parts):
    others = set(parts.values())
    features = [feature_of(f.name, f.type) for f in table.schema if f.name not in others]
    return Layout(tuple(features), **parts)


def test_slices_of_tables_keep_their_own_rows():
    """XGBoost itself reads a slice from the beginning of its buffers."""
    table = pa.table(
        {"x": pa.array([1.0, None, 3.0, 4.0, 5.0]), "b": [True, False, None, True, False]}
    )
    got = features_of(table.slice(2, 3), layout_of(table))
    assert got.column("x").to_pylist() == [3.0, 4.0, 5.0]
    assert got.column("b").to_pylist() == [None, 1, 0]
    assert all(chunk.offset == 0 for column in got.columns for chunk in column.chunks)


def test_decimals_booleans_and_nulls_become_numbers():
    table = pa.table(
        {
            "d": pa.array([1, 2], pa.decimal128(5, 1)),
            "b": [True, False],
            "n": pa.nulls(2),
            "i": pa.array([1, None], pa.int8()),
        }
    )
    got = features_of(table, layout_of(table))
    assert [str(item) for item in got.schema.types] == ["double", "uint8", "double", "int8"]
    assert got.column("d").to_pylist() == [1.0, 2.0]


def test_vectors_are_a_view_when_alone_and_columns_beside_others():
    matrix = np.arange(6.0).reshape(3, 2)
    table = pa.table({"v": dense_column(matrix)})
    alone = features_of(table, layout_of(table))
    assert_array_equal(alone, matrix)
    assert np.shares_memory(alone, table.column("v").chunk(0).values.to_numpy())
    beside = table.append_column("x", pa.array([7.0, 8.0, 9.0]))
    got = features_of(beside.slice(1, 2), layout_of(beside))
    assert got.column_names == ["v_0", "v_1", "x"]
    assert_array_equal(got.to_pandas(), [[2, 3, 8], [4, 5, 9]])


@pytest.mark.parametrize("kind", [pa.list_(pa.float64(), 2), pa.list_(pa.float64())])
def test_a_null_vector_is_a_row_of_missing_values(kind):
    table = pa.table({"v": pa.array([[1, 2], None, [5, 6]], kind)})
    layout = Layout((Feature("v", "vector", 2),))
    assert_array_equal(features_of(table, layout), [[1, 2], [np.nan, np.nan], [5, 6]])
    assert_array_equal(features_of(table.slice(1), layout), [[np.nan, np.nan], [5, 6]])
    empty = features_of(table.slice(1, 1), layout)
    assert_array_equal(empty, [[np.nan, np.nan]])


def test_arrays_of_another_length_are_refused():
    table = pa.table({"v": [[1.0, 2.0], [3.0]]})
    with pytest.raises(SchemaError, match=r"'v' must all have 2 elements, and some have \[1\]"):
        features_of(table, Layout((Feature("v", "vector", 2),)))


def test_every_worker_encodes_with_the_same_dictionary():
    feature = Feature("c", "category", categories=("x", "y", "z"))
    first = features_of(pa.table({"c": ["z", None, "x"]}), Layout((feature,)))
    other = pa.table({"c": pa.array(["y", "unknown", None]).dictionary_encode()})
    second = features_of(other, Layout((feature,)))
    for got, codes in ((first, [2, None, 0]), (second, [1, None, None])):
        column = got.column("c").combine_chunks()
        assert column.dictionary.to_pylist() == ["x", "y", "z"]
        assert column.indices.to_pylist() == codes


def test_sparse_matrices_survive_slicing():
    matrix = csr_array(np.array([[0, 1.0, 0], [0, 0, 0], [2, 0, 3]]))
    table = sparse_table(matrix)
    layout = Layout((Feature("x", "number"),), sparse=3, named=False)
    assert_array_equal(features_of(table, layout).toarray(), matrix.toarray())
    assert_array_equal(features_of(table.slice(1), layout).toarray(), matrix.toarray()[1:])


def test_names_that_xgboost_refuses():
    assert booster_names(["a", "b"]) == ["a", "b"]
    assert booster_names(["a[0]", "b<c"]) == ["a(0)", "b(c"]
    assert booster_names(["a[", "a<"]) == ["f0", "f1"]
    assert booster_names(None) is None


def test_labels():
    table = pa.table({"x": [1.0, 2.0, 3.0], "y": ["b", "a", "b"], "z": [1, 2, 3]})
    assert_array_equal(label_of(table, Layout((), label="y"), np.array(["a", "b"])), [1, 0, 1])
    assert_array_equal(label_of(table, Layout((), label="z"), None), [1, 2, 3])
    targets = pa.table({"t": dense_column(np.arange(4.0).reshape(2, 2))})
    assert_array_equal(label_of(targets, Layout((), label="t"), None), [[0, 1], [2, 3]])
    flags = pa.table({"y": [True, False]})
    assert_array_equal(label_of(flags, Layout((), label="y"), np.array([False, True])), [1, 0])


def test_groups_and_where_they_may_be_cut():
    table = pa.table({"g": ["a", "a", "b", "c", "c"]})
    assert group_runs(table.column("g")) == [("a", 2), ("b", 1), ("c", 2)]
    assert_array_equal(group_sizes(table, Layout((), group="g")), [2, 1, 2])
    # A cut between two naive shards has split the group b.
    assert group_boundaries([("a", 2), ("b", 1), ("b", 4), ("c", 1)]) == [0, 2, 7]
    with pytest.raises(SchemaError, match=r"those of 'a' are not. Sort the data"):
        group_boundaries([("a", 1), ("b", 1), ("a", 1)])


def report_of(table, find_classes=False, **parts):
    part = Part(layout_of(table, **parts), table.schema, table=table)
    return inspect_parts([part], find_classes)[0]


def test_reports_of_workers_merge():
    first = pa.table({"c": ["x", None], "y": ["b", "a"], "w": [1.0, 0.0]})
    second = pa.table({"c": ["z", "x"], "y": ["b", "c"], "w": [2.0, 1.0]})
    reports = [report_of(t, True, label="y", weight="w") for t in (first, second, first.slice(2))]
    merged = merge_reports(reports)
    assert (merged.rows, merged.weighted_rows, merged.repeated_rows) == (4, 3, 4)
    assert merged.categories == {"c": {"x", "z"}}
    layout = layout_of(first, label="y", weight="w")
    # "a" has no weight, so that it is no class.
    assert_array_equal(sorted_classes(merged, layout), ["b", "c"])
    (feature,) = fitted_features(layout.features, merged)
    assert feature.categories == ("x", "z")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([1.0, None], "label 'y' of the training data holds 1 null of 2 values"),
        ([float("nan"), 2.0], "holds 1 NaN of 2"),
        ([float("inf"), -float("inf")], "holds 2 infinite of 2"),
        ([None, None], r"holds 2 null of 2 values \(all of them\)"),
    ],
)
def test_labels_that_cannot_be_learnt(values, text):
    table = pa.table({"x": [1.0, 2.0], "y": pa.array(values, pa.float64())})
    with pytest.raises(SchemaError, match=text):
        check_report(report_of(table, label="y"), layout_of(table, label="y"))


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        ([1.0, -1.0], "weights 'w' of the training data hold 1 negative of 2"),
        ([None, 1.0], "hold 1 null of 2"),
        ([float("inf"), 1.0], "hold 1 infinite of 2"),
        ([0.0, 0.0], "All 2 sample weights 'w' of the training data are zero"),
    ],
)
def test_weights_that_cannot_be_used(weights, text):
    table = pa.table({"x": [1.0, 2.0], "w": pa.array(weights, pa.float64())})
    with pytest.raises(SchemaError, match=text):
        check_report(report_of(table, weight="w"), layout_of(table, weight="w"))


def test_other_rows_that_cannot_be_trained_on():
    layout = Layout((), label="y")
    with pytest.raises(SchemaError, match="training data has no rows"):
        check_report(Report(), Layout(()))
    table = pa.table({"x": [1.0, 2.0], "g": [None, 1]})
    with pytest.raises(SchemaError, match="group column 'g' holds 1 null"):
        check_report(report_of(table, group="g"), layout_of(table, group="g"))
    with pytest.raises(SchemaError, match=r"label 'y' has one class only \(\[7\]\) in 2 rows"):
        sorted_classes(Report(classes=pa.array([7]), weighted_rows=2), layout)


def test_arrays_that_differ_in_length_are_refused_before_training():
    table = pa.table({"v": [[1.0, 2.0], [3.0]]})
    report = report_of(table)
    with pytest.raises(
        SchemaError, match=r"'v' must all be equally long, and it has lengths \[1, 2\]"
    ):
        fitted_features(layout_of(table).features, report)


def test_repeating_rows():
    table = pa.table({"x": [1, 2, 3], "w": [2.0, 0.0, 1.0]})
    assert repeat_rows(table, "w").column("x").to_pylist() == [1, 1, 3]
    assert report_of(table, weight="w").repeated_rows == 3
    halves = pa.table({"x": [1, 2], "w": [0.5, 1.0]})
    assert report_of(halves, weight="w").repeated_rows is None
