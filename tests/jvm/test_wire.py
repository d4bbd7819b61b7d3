"""What the JVM writes is what Arrow reads."""

from __future__ import annotations

import pyarrow as pa
import pytest


@pytest.mark.parametrize("rows", [1, 255, 70_000])
@pytest.mark.parametrize("length", [0, 1, 3000])
def test_rows_become_batches(probes, rows, length):
    if rows * length > 10_000_000:
        rows = 3000  # 9 MB of text are some batches
    made = probes.exchange.WireProbe().stream(rows, length)
    table = pa.ipc.open_stream(made).read_all()
    table.validate(full=True)
    numbers = list(range(rows))
    assert table.column("i").to_pylist() == numbers
    assert table.column("half").to_pylist() == [None if i % 5 == 0 else i / 2 for i in numbers]
    texts = [None if i % 3 == 0 else str(i % 10) * length for i in numbers]
    assert table.column("text").to_pylist() == texts
    batches = table.to_batches()
    assert max(batch.num_rows for batch in batches) <= 1 << 16
    # 4 MB are asked for; the last row, or the last look at the size, may exceed them.
    assert max(batch.nbytes for batch in batches) <= (4 << 20) + 256 * (length + 40)


def test_endpoints(probes):
    text = "node|10.0.0.1|4000|A=|/tmp/a|b\nother|host|0||/tmp/c"
    first, second = probes.exchange.WireProbe().endpoints(text)
    assert (
        first
        == "Endpoint[index=0, nodeId=node, host=10.0.0.1, port=4000, certificate=A=, path=/tmp/a|b]"
    )
    assert second == "Endpoint[index=1, nodeId=other, host=host, port=0, certificate=, path=/tmp/c]"
