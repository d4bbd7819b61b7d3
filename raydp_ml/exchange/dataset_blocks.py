"""Blocks of a Ray Dataset, brought to one schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.blocks import Blocks, require_cpu_for_ray_data, results
from raydp_ml.exchange.pandas_frames import pandas_table
from raydp_ml.exchange.unify import aligned, unified_schema

if TYPE_CHECKING:
    import pandas as pd
    import ray
    import ray.data

__all__ = ["from_dataset"]

_A_DATASET = "the ray.data.Dataset"
_LOCATE_MS = 20_000


def from_dataset(dataset: ray.data.Dataset) -> Blocks:
    """Execute a ``ray.data.Dataset`` and take its Arrow blocks, without a copy where they agree.

    Blocks that differ are brought to one schema by the names of their columns, as Ray Data does
    it: the wider of two types, and null where a block lacks a column.

    Raises
    ------
    SchemaError
        The Dataset has no block, and so no schema, or blocks that have no schema in common.
    ResourceError
        It is still to be executed, and Spark's executors hold all CPUs of the cluster.
    """
    import ray
    from ray.data.dataset import MaterializedDataset

    if not isinstance(dataset, MaterializedDataset) and not dataset._has_computed_output():
        require_cpu_for_ray_data()
    try:
        # What `to_arrow_refs` begins with. It then turns pandas blocks into Arrow by tasks of a CPU
        # each; `iter_internal_ref_bundles` would execute the Dataset anew at each call.
        bundle = dataset._execute()
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise SchemaError(
            f"{_A_DATASET} has blocks whose columns have no types in common: {error}. Cast them "
            "where the blocks are made."
        ) from error
    refs = bundle.block_refs
    describe = ray.remote(num_cpus=0)(_describe)
    facts = results([describe.remote(ref) for ref in refs])
    kept = [(ref, fact) for ref, fact in zip(refs, facts, strict=True) if fact[0]]
    if not facts:
        raise SchemaError("The ray.data.Dataset holds no block: there is no schema to take.")
    schema = unified_schema([fact[2] for _, fact in kept] or [facts[0][2]], _A_DATASET)
    blocks = [ref for ref, _ in kept]
    sizes = [nbytes for _, (_, nbytes, _, _) in kept]
    align: Any = ray.remote(num_cpus=0, num_returns=2)(_align)
    made = {
        at: align.remote(ref, schema)
        for at, (ref, (_, _, its_schema, kind)) in enumerate(kept)
        if kind is not pa.Table or not its_schema.equals(schema)
    }
    new_sizes = results([size for size, _ in made.values()])
    for (at, (_, ref)), nbytes in zip(made.items(), new_sizes, strict=True):
        blocks[at], sizes[at] = ref, nbytes
    rows = [count for _, (count, *_) in kept]
    return Blocks(blocks, rows, sum(sizes), schema, _nodes(blocks))


def _nodes(blocks: list[ray.ObjectRef[pa.Table]]) -> list[str]:
    """Return the Ray node that holds each block; this one where Ray cannot say."""
    import ray
    from ray.experimental import get_object_locations

    here = ray.get_runtime_context().get_node_id()
    if len([node for node in ray.nodes() if node["Alive"]]) == 1:
        return [here] * len(blocks)
    held = []
    for block in blocks:
        # One at a time: asked for blocks of several owners at once, Ray 2.60 may abort ("Promise
        # already satisfied").
        nodes = get_object_locations([block], timeout_ms=_LOCATE_MS)[block]["node_ids"]
        held.append(here if here in nodes or not nodes else nodes[0])
    return held


def _describe(block: pa.Table | pd.DataFrame) -> tuple[int, int, pa.Schema, type]:
    table = _as_table(block)
    return table.num_rows, table.nbytes, table.schema, type(block)


def _align(
    block: pa.Table | pd.DataFrame, schema: pa.Schema
) -> tuple[int | SchemaError, pa.Table | None]:
    try:
        table = aligned(_as_table(block), schema, _A_DATASET)
    except SchemaError as error:
        return error, None
    return table.nbytes, table


def _as_table(block: pa.Table | pd.DataFrame) -> pa.Table:
    # Beside Arrow blocks a Dataset may hold pandas ones.
    return block if isinstance(block, pa.Table) else pandas_table(block)
