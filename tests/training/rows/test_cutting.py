"""Rows to train on and rows marked for validation are shared out each by themselves."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.blocks import put_table
from raydp_ml.training.gang.actors import actor_gang
from raydp_ml.training.gang.in_process import InProcessGang
from raydp_ml.training.rows.chosen import Chosen
from raydp_ml.training.rows.cutting import by_use, cut
from raydp_ml.training.rows.data_sets import DataSet
from raydp_ml.training.rows.inspection import inspect
from raydp_ml.training.rows.layout import Feature, Layout

MARKS = st.lists(st.sampled_from([True, False, None]), max_size=20)
LAYOUT = Layout((Feature("x", "number"),), label="x", weight="w", validation="v")


def table_of(marks, weights=None):
    x = pa.array(np.arange(float(len(marks))))
    weights = [1.0] * len(marks) if weights is None else weights
    return pa.table(
        {"x": x, "v": pa.array(marks, pa.bool_()), "w": pa.array(weights, pa.float64())}
    )


@given(MARKS, st.data())
def test_a_span_holds_some_of_the_chosen_rows(marks, data):
    weights = data.draw(st.lists(st.sampled_from([0, 1, 2]), min_size=len(marks)))[: len(marks)]
    table = table_of(marks, weights)
    for marked in (True, False):
        for weight in (None, "w"):
            chosen = Chosen("v", marked, weight)
            want = [
                float(i)
                for i, (mark, w) in enumerate(zip(marks, weights, strict=True))
                if bool(mark) == marked and (w or weight is None)
            ]
            assert chosen.rows(table)["x"].to_pylist() == want
            assert chosen.count(table) == len(want)
            if want:
                start = data.draw(st.integers(0, len(want) - 1))
                stop = data.draw(st.integers(start + 1, len(want)))
                first, last = chosen.span(table, start, stop)
                found = chosen.rows(table.slice(first, last - first))
                assert found["x"].to_pylist() == want[start:stop]


def test_rows_that_are_all_chosen_are_no_copy():
    table = table_of([False] * 5)
    assert Chosen("v", False, "w").rows(table) is table


def test_in_this_process():
    data = DataSet(LAYOUT, table=table_of([True, False, False, True], [0.0, 0.0, 2.0, 3.0]))
    train, held_out = by_use(data, InProcessGang())
    (part,), (other,) = (cut(of, InProcessGang(), "regression", [0]) for of in (train, held_out))
    assert part.read()["x"].to_pylist() == [2.0]
    # Rows to evaluate on are kept, whatever they weigh.
    assert other.read()["x"].to_pylist() == [0.0, 3.0]
    assert train.left_out == 1
    assert part.layout.validation is other.layout.validation is None
    plain = DataSet(LAYOUT, table=table_of([False] * 3))
    (train,) = by_use(plain, InProcessGang())
    assert train.table is plain.table
    assert train.chosen is None


@pytest.mark.parametrize(
    ("marks", "text"),
    [
        ([None, True], r"validation column 'v' holds 1 null of 2 values.*fillna\(False"),
        ([True] * 3, "training data has no rows, since the column 'v' marks all 3 rows"),
    ],
)
def test_bad_marks(marks, text):
    with pytest.raises(SchemaError, match=text):
        by_use(DataSet(LAYOUT, table=table_of(marks)), InProcessGang())


def test_errors_count_the_rows_of_weight_zero_too():
    table = table_of([False] * 4, [0.0, 1.0, -1.0, None])
    with pytest.raises(SchemaError, match=r"weights 'w' .* hold 1 null, 1 negative of 4 values"):
        inspect([DataSet(LAYOUT, table=table)], InProcessGang(), "regression")
    table = table_of([False] * 4, [0.0] * 4)
    with pytest.raises(SchemaError, match="All 4 sample weights 'w' of the training data are zero"):
        inspect([DataSet(LAYOUT, table=table)], InProcessGang(), "regression")


@pytest.mark.cluster
@pytest.mark.parametrize("by_slices", [False, True])
def test_on_two_workers(ray_cluster, by_slices):
    """The first rows weigh nothing, the last are for validation; blocks are cut anywhere."""
    weights = [0.0] * 400 + [1.0] * 600
    data = DataSet(LAYOUT, blocks=put_table(table_of([False] * 700 + [True] * 300, weights), 3))
    with actor_gang(2, blocks=data.blocks) as gang:
        found = inspect([data], gang, "regression", by_slices=by_slices)
    assert found.ranks == [0, 1]
    assert found.report.rows == 700
    assert found.report.weighted_rows == 300
    train, held_out = (
        [pa.concat_tables(part.tables())["x"].to_pylist() for part in of] for of in found.parts
    )
    assert train == [list(range(400, 550)), list(range(550, 700))]
    assert held_out == [list(range(700, 850)), list(range(850, 1000))]
    assert [part.read()["x"].to_pylist() for part in found.parts[0]] == train
    data.blocks.free()


@pytest.mark.cluster
def test_a_worker_without_rows_to_train_on_gets_none_to_evaluate_on(ray_cluster):
    data = DataSet(LAYOUT, blocks=put_table(table_of([True] * 9 + [False]), 2))
    with actor_gang(2, blocks=data.blocks) as gang:
        found = inspect([data], gang, "regression")
    sizes = [[len(part.read()) for part in of] for of in found.parts]
    assert found.ranks == [sizes[0].index(1)]
    assert sorted(sizes[1]) == [0, 9]
    assert sizes[1].index(9) == sizes[0].index(1)
    data.blocks.free()
