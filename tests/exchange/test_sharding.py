"""Sharding is pure: every row goes to exactly one worker, in order, in equal parts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from raydp_ml.exchange.sharding import shard_by_node, shard_rows

BLOCKS = st.lists(st.integers(0, 50), max_size=12)


def rows_of(shard, block_rows):
    starts = [sum(block_rows[:i]) for i in range(len(block_rows))]
    return [starts[b] + row for b, start, stop in shard for row in range(start, stop)]


@given(BLOCKS, st.integers(1, 7))
def test_contiguous_balanced_and_complete(block_rows, num_shards):
    shards = shard_rows(block_rows, num_shards)
    rows = [rows_of(shard, block_rows) for shard in shards]
    assert [row for part in rows for row in part] == list(range(sum(block_rows)))
    assert max(map(len, rows)) - min(map(len, rows)) <= 1


@given(BLOCKS, st.integers(1, 5), st.data())
def test_cuts_only_at_boundaries(block_rows, num_shards, data):
    total = sum(block_rows)
    boundaries = sorted(data.draw(st.sets(st.integers(0, total))))
    shards = shard_rows(block_rows, num_shards, boundaries)
    rows = [rows_of(shard, block_rows) for shard in shards]
    assert [row for part in rows for row in part] == list(range(total))
    assert {part[0] for part in rows if part} <= {0, *boundaries}


@given(
    st.lists(st.tuples(st.integers(0, 50), st.sampled_from("abc")), max_size=12),
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=5),
)
def test_by_node_loses_and_doubles_nothing(blocks, shard_nodes):
    block_rows = [rows for rows, _ in blocks]
    shards = shard_by_node(block_rows, [node for _, node in blocks], shard_nodes)
    rows = [row for shard in shards for row in rows_of(shard, block_rows)]
    assert sorted(rows) == list(range(sum(block_rows)))


def test_by_node_reads_only_local_blocks_where_shares_are_fair():
    nodes = ["a", "b", "c", "a", "b", "c"]
    shards = shard_by_node([100, 90, 110, 100, 110, 90], nodes, ["c", "a", "b"])
    assert [{nodes[block] for block, _, _ in shard} for shard in shards] == [{"c"}, {"a"}, {"b"}]


def test_by_node_moves_rows_from_a_node_that_has_too_many():
    shards = shard_by_node([900, 50, 50], ["a", "b", "c"], ["a", "b", "c"])
    sizes = [sum(stop - start for _, start, stop in shard) for shard in shards]
    assert sum(sizes) == 1000
    assert sorted(sizes) == [332, 334, 334]


@given(
    st.lists(st.tuples(st.integers(0, 500), st.sampled_from("abcd")), max_size=12),
    st.lists(st.sampled_from("abc"), min_size=1, max_size=6),
)
def test_by_node_shares_differ_by_a_twentieth_at_most(blocks, shard_nodes):
    block_rows = [rows for rows, _ in blocks]
    shards = shard_by_node(block_rows, [node for _, node in blocks], shard_nodes)
    sizes = [sum(stop - start for _, start, stop in shard) for shard in shards]
    fair = sum(block_rows) / len(shard_nodes)
    assert max(sizes) - min(sizes) <= max(0.05 * (fair + 1), len(shard_nodes))


def test_on_one_node_the_shards_do_not_depend_on_where_the_workers_are():
    assert shard_by_node([7, 8], ["a", "a"], ["a", "a"]) == shard_rows([7, 8], 2)
