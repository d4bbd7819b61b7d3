"""A block server with one export and one table, without Ray: a program of `test_hostile_streams`.

A process of its own, which may crash, and whose memory can be measured.
"""

from __future__ import annotations

import sys

import pyarrow as pa

from raydp_ml.exchange.block_server import BlockServer
from raydp_ml.session.sealing import seal

SCHEMA = pa.schema([("x", pa.int64()), ("s", pa.string()), ("v", pa.list_(pa.float64()))])
"""Of the rows that are expected; "v" is a vector."""


def main() -> None:
    server = BlockServer()
    server.take_secret(seal("secret", server.public_key()))
    server.open_job("job", SCHEMA, ("v",))
    server.offer("table", [], SCHEMA)
    print(server.path(), flush=True)
    sys.stdin.read()  # until the test has ended
    server.close()


if __name__ == "__main__":
    main()
