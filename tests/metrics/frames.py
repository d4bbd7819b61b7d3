"""Frames of labels, predictions, scores and weights that hypothesis thinks of, as pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import strategies as st

# Of few digits, so that sums in any order are the same, and half of the weights is half of them.
WEIGHTS = st.sampled_from([0.0, 0.0, 0.5, 1.0, 1.0, 2.5])
LABELS = {
    "int": [0, 1, 2, 3],
    "bigint": [2**53, 2**53 + 1, 2**53 + 2, 2**53 + 3],
    "string": ["", "a", "b'\\$", "é"],
    "double": [-1.0, 1.0, 2.0, 5.0],
    "boolean": [False, True],
}
NUMBERS = st.integers(-4000, 4000).map(lambda x: x / 16)


@st.composite
def binary(draw):
    """Two classes, of which one may be missing, and scores of the second with ties."""
    kind = draw(st.sampled_from(list(LABELS)))
    labels = st.sampled_from(LABELS[kind][:2])
    rows = draw(
        st.lists(st.tuples(labels, labels, st.integers(0, 16), WEIGHTS), min_size=2, max_size=30)
    )
    frame = pd.DataFrame(rows, columns=["y", "p", "s", "w"])
    frame["s"] /= 16
    if not frame["w"].any():
        frame.loc[0, "w"] = 1.0
    scores = draw(st.sampled_from(["double", "float"]))
    frame["s"] = frame["s"].astype(np.float32 if scores == "float" else float)
    return frame, f"y {kind}, p {kind}, s {scores}, w double"


@st.composite
def multiclass(draw):
    """Three or four classes that all occur, and probabilities with ties."""
    kind = draw(st.sampled_from(["int", "bigint", "string", "double"]))
    count = draw(st.integers(3, 4))
    classes = LABELS[kind][:count]
    labels = st.sampled_from(classes)
    scores = st.tuples(*[st.integers(1, 6)] * count)
    rows = draw(st.lists(st.tuples(labels, labels, scores, WEIGHTS), max_size=20))
    # Every class has weight.
    rows += [(label, draw(labels), draw(scores), 1.0) for label in classes]
    frame = pd.DataFrame(rows, columns=["y", "p", "s", "w"])
    frame["s"] = [(np.array(s) / sum(s)).tolist() for s in frame["s"]]
    return frame, f"y {kind}, p {kind}, s array<double>, w double"


@st.composite
def numbers(draw):
    """Numbers of any sign, or positive ones, and what was predicted for them."""
    positive = draw(st.booleans())
    values = st.integers(1, 4000).map(lambda x: x / 16) if positive else NUMBERS
    rows = draw(st.lists(st.tuples(values, values, WEIGHTS), min_size=2, max_size=30))
    frame = pd.DataFrame(rows, columns=["y", "p", "w"])
    if not frame["w"].any():
        frame.loc[0, "w"] = 1.0
    return frame, "y double, p double, w double"


def spread(spark, frame, schema, parts):
    """Make the DataFrame, in as many partitions, most of 40 or 200 empty."""
    rows = [tuple(row) for row in frame.astype(object).itertuples(index=False)]
    return spark.createDataFrame(rows, schema).repartition(parts).cache()
