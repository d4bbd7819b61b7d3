"""What is kept for the next training of the same rows; no cluster."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa

from raydp_ml.training.rows.kept import Kept, keeping, made_once


def test_made_once_for_the_same_memory():
    made = []

    def take(table, about=0):
        return made_once(table, ["x"], lambda: about, lambda: made.append(about) or len(made))

    values = np.arange(5.0)
    table = pa.table({"x": values, "y": values})
    assert [take(table), take(table)] == [1, 2]  # nothing is kept outside
    made.clear()
    with keeping(Kept()):
        assert [take(table), take(table)] == [1, 1]
        assert take(table.append_column("z", table["y"])) == 1
        assert take(pa.table({"x": values})) == 1  # another table over the same memory
        assert take(pa.table({"x": values.copy()})) == 2
        assert take(table, about=1) == 3
        assert take(table.slice(1)) == 4


def test_a_frame_that_is_converted_again():
    frame = pd.DataFrame({"x": np.arange(5.0)})
    made = []
    with keeping(Kept()):
        for _ in range(2):
            table = pa.Table.from_pandas(frame)
            made_once(table, ["x"], lambda: 0, lambda: made.append(0))
    assert made == [0]


def test_little_is_kept():
    kept, made = Kept(), []
    tables = [pa.table({"x": np.arange(float(n))}) for n in range(1, 5)]
    with keeping(kept):
        for table in (*tables, tables[0]):
            made_once(table, ["x"], lambda: 0, lambda: made.append(0))
    assert len(made) == 5
    assert len(kept._made) == 2
