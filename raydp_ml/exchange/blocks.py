"""`Blocks`: a handle on Arrow tables in Ray's object store."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from raydp_ml.exceptions import DataLostError, ResourceError, SchemaError
from raydp_ml.exchange.blocks_html import blocks_html
from raydp_ml.exchange.schema import checked, columns_to_check
from raydp_ml.exchange.sharding import shard_rows
from raydp_ml.exchange.unify import aligned
from raydp_ml.session import ray_runtime
from raydp_ml.session.full import store_may_be_full
from raydp_ml.session.lifecycle import executor_cpus

if TYPE_CHECKING:
    import ray
    import ray.data

    from raydp_ml.session.actors import Actor

_GET_TIMEOUT = 600.0


class Blocks:
    """An immutable handle on Arrow blocks in Ray's object store.

    Made by :func:`raydp_ml.from_spark`. The blocks outlive the Spark session; they are freed with
    the last handle, by :meth:`free`, or at the end of a ``with`` block.

    Parameters
    ----------
    refs : sequence of ray.ObjectRef
        Each refers to a ``pyarrow.Table`` of `schema`.
    block_rows : sequence of int
        Number of rows of each block.
    nbytes : int
        Size of all blocks in bytes.
    schema : pyarrow.Schema
        The schema, also where there is no block.
    node_ids : sequence of str
        Ray node that each block was put on.
    owners : sequence of ray.actor.ActorHandle, default=()
        The block servers that own the blocks, kept alive by this handle.

    Attributes
    ----------
    num_rows : int
        Number of rows.
    nbytes : int
        Size of the data in bytes.
    schema : pyarrow.Schema
        Column names and types.
    refs : list of ray.ObjectRef
        References to the ``pyarrow.Table`` blocks, in the order of the rows.
    """

    def __init__(
        self,
        refs: Sequence[ray.ObjectRef[pa.Table]],
        block_rows: Sequence[int],
        nbytes: int,
        schema: pa.Schema,
        node_ids: Sequence[str],
        owners: Sequence[Actor] = (),
    ) -> None:
        self._refs: tuple[ray.ObjectRef[pa.Table], ...] | None = tuple(refs)
        self._block_rows = tuple(block_rows)
        self._nbytes = nbytes
        self._schema = schema
        self._node_ids = tuple(node_ids)
        self._owners = tuple(owners)
        self._offered: list[tuple[Actor, str]] = []
        self._connection = ray_runtime.connection()
        ray_runtime.hold(self)

    def __setstate__(self, state: dict[str, object]) -> None:
        # It has come to another process (as an argument of a Ray task, say) of the same cluster.
        self.__dict__.update(state)
        self._connection = ray_runtime.connection()

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return sum(self._block_rows)

    @property
    def nbytes(self) -> int:
        """Size of the data in bytes."""
        return self._nbytes

    @property
    def schema(self) -> pa.Schema:
        """Column names and types."""
        return self._schema

    @property
    def refs(self) -> list[ray.ObjectRef[pa.Table]]:
        """References to the blocks, in the order of the rows."""
        gone = self._gone()
        if gone is not None:
            raise DataLostError(gone)
        return list(self._refs or ())

    def _gone(self) -> str | None:
        """Say why the data cannot be read any more, as far as this process knows."""
        if self._refs is None:
            return (
                "These Blocks were freed: their data has left the object store. Call from_spark "
                "again, and free() only after the last use."
            )
        if not ray_runtime.is_open(self._connection):
            return (
                "The Ray that held these Blocks was shut down, and their data is gone with it. "
                "Call from_spark, or the fit, again."
            )
        return None

    @property
    def block_rows(self) -> list[int]:
        """Number of rows of each block."""
        return list(self._block_rows)

    @property
    def node_ids(self) -> list[str]:
        """Ray node (hex id) that each block was put on."""
        return list(self._node_ids)

    @property
    def owners(self) -> list[Actor]:
        """The block servers that own the blocks; with them they are lost."""
        return list(self._owners)

    def to_arrow(self) -> pa.Table:
        """Fetch all blocks into this process.

        Returns
        -------
        pyarrow.Table
            Zero-copy views of the object store for the blocks on this node.

        Raises
        ------
        DataLostError
            The blocks were freed, or the process or node that held them is gone.
        """
        tables = [aligned(table, self._schema, "these Blocks") for table in fetch(self.refs)]
        return pa.concat_tables(tables) if tables else self._schema.empty_table()

    def to_dataset(self) -> ray.data.Dataset:
        """Wrap the blocks, without a copy, as a ``ray.data.Dataset``.

        Raises
        ------
        ResourceError
            Spark's executors hold all CPUs of the cluster: Ray Data would wait for one for ever.
        DataLostError
            The blocks were freed.
        """
        import ray.data

        refs = self.refs
        require_cpu_for_ray_data()
        if not refs:
            return ray.data.from_arrow(self._schema.empty_table())
        return ray.data.from_arrow_refs(refs)  # type: ignore[arg-type]

    def offered(self, server: Actor, table: str) -> None:
        """Note that `server` offers these blocks to Spark, until they are freed; for `to_spark`.

        Parameters
        ----------
        server : Actor
            The block server.
        table : str
            The name by which it offers them.
        """
        self._offered.append((server, table))

    def free(self) -> None:
        """Release the data; calling it again does nothing."""
        if self._refs is None:
            return
        self._refs = None
        if ray_runtime.is_open(self._connection):  # otherwise the servers have ended with Ray
            for server, table in self._offered:
                server.withdraw.remote(table)
        self._offered.clear()
        self._owners = ()
        ray_runtime.release(self)

    def __enter__(self) -> Blocks:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.free()

    def __len__(self) -> int:
        return self.num_rows

    def __repr__(self) -> str:
        if self._refs is None:
            return "Blocks(freed)"
        return (
            f"Blocks({self.num_rows:,} rows x {len(self._schema)} columns, "
            f"{self._nbytes / 1e6:,.1f} MB in {len(self._refs)} blocks)"
        )

    def _repr_html_(self) -> str:
        # In a notebook. It asks neither Spark nor Ray, and so shows what is gone as well.
        return blocks_html(
            self._schema, self._block_rows, self._nbytes, self._node_ids, self._gone()
        )


def fetch(refs: Sequence[ray.ObjectRef[pa.Table]], timeout: float = _GET_TIMEOUT) -> list[pa.Table]:
    """``ray.get`` of blocks, with the errors of the contract.

    Raises
    ------
    DataLostError
        The process or node that held a block is gone, or it did not arrive within `timeout`
        seconds.
    """
    import ray

    try:
        with store_may_be_full():
            return ray.get(list(refs), timeout=timeout)
    except ray.exceptions.GetTimeoutError as error:
        raise DataLostError(
            f"{len(refs)} blocks did not arrive from the object store within {timeout:.0f} s. "
            "The nodes that hold them may be overloaded or gone; call from_spark, or the fit, "
            "again."
        ) from error
    except (ray.exceptions.ObjectLostError, ray.exceptions.RaySystemError) as error:
        raise DataLostError(
            "Blocks were lost from the object store: the process or node that held them has "
            "ended. Call from_spark, or the fit, again."
        ) from error


def checked_refs(blocks: Blocks) -> tuple[list[ray.ObjectRef[pa.Table]], pa.Schema]:
    """References to the blocks with each value as Spark can hold it, and their schema.

    Raises
    ------
    SchemaError
        Naming a column and a value that Spark cannot hold exactly.
    """
    import ray

    if not columns_to_check(blocks.schema):
        return blocks.refs, blocks.schema
    check: Any = ray.remote(num_cpus=0, num_returns=2)(_check)
    made = [check.remote(ref, blocks.schema) for ref in blocks.refs]
    results([done for done, _ in made])
    return [ref for _, ref in made], checked(blocks.schema.empty_table()).schema


def _check(block: pa.Table, schema: pa.Schema) -> tuple[SchemaError | None, pa.Table | None]:
    try:
        return None, checked(aligned(block, schema, "these Blocks"))
    except SchemaError as error:
        return error, None  # what a task raises for both results, Ray logs for the second


def put_table(table: pa.Table, num_blocks: int = 1) -> Blocks:
    """Put an in-memory table into the object store, cut into `num_blocks` nearly equal blocks."""
    import ray

    ray_runtime.ensure_ray()
    shards = shard_rows([table.num_rows], num_blocks)
    parts = [table.slice(start, stop - start) for shard in shards for _, start, stop in shard]
    node = ray.get_runtime_context().get_node_id()
    with store_may_be_full():
        refs = [ray.put(part) for part in parts]
    return Blocks(
        refs,
        [part.num_rows for part in parts],
        table.nbytes,
        table.schema,
        [node] * len(parts),
    )


def results(refs: Sequence[ray.ObjectRef[pa.Table]]) -> list[Any]:
    """Results of tasks over blocks; raises the error that one of them found."""
    found = fetch(refs)
    for result in found:
        if isinstance(result, SchemaError):
            raise result
    return found


def require_cpu_for_ray_data() -> None:
    """Raise `ResourceError` where this session's executors hold all CPUs of the cluster.

    A task of Ray Data would wait for one for ever.
    """
    import ray

    held, cpus = sum(executor_cpus().values()), ray.cluster_resources().get("CPU", 0.0)
    if held and cpus - held < 1:
        raise ResourceError(
            f"Ray Data needs a CPU of its own, and Spark's executors hold {held:g} of the "
            f"cluster's {cpus:g}. Start Spark with fewer executors or executor_cores, or with "
            'executor_resources={"CPU": 0.5}, or give Ray more CPUs.'
        )
