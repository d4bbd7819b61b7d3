"""Frames that hypothesis thinks of: nulls, NaN, constants, one row, empty and skewed partitions."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

# Values far below the others would be lost in the squares of either side.
DOUBLES = st.floats(-1e6, 1e6).map(lambda x: round(x, 3))
KINDS = {
    "double": st.one_of(DOUBLES, st.just(float("nan")), st.none()),
    "int": st.integers(-1000, 1000),
    "boolean": st.booleans(),
    "decimal(10,2)": st.decimals(-1000, 1000, places=2),
}
WHOLE = {**KINDS, "double": DOUBLES}
CATEGORIES = {
    "string": st.one_of(st.text(max_size=3), st.none()),
    "double": st.sampled_from([0.5, -1.0, float("nan"), None]),
    "bigint": st.integers(2**53 - 2, 2**53 + 2),
    "boolean": st.one_of(st.booleans(), st.none()),
}
FEW = settings(
    max_examples=5,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def frames(draw, kinds, least=1, columns=2):
    """Rows of several columns of each kind, of which one is constant, and how they are spread."""
    names = [kind for kind in kinds for _ in range(columns)]
    count = draw(st.integers(least, 25))
    rows = [tuple(draw(kinds[kind]) for kind in names) for _ in range(count)]
    constant = draw(st.integers(0, len(names) - 1))
    value = next((row[constant] for row in rows if row[constant] is not None), None)
    rows = [(*row[:constant], value, *row[constant + 1 :]) for row in rows]
    schema = ", ".join(f"c{i} {kind}" for i, kind in enumerate(names))
    return rows, schema, draw(st.sampled_from([1, 3, 40, "skewed"]))


def spread(spark, frame):
    """Make the DataFrame, with as many partitions, most of 40 and two of 4 skewed ones empty."""
    rows, schema, parts = frame
    context = spark.sparkContext
    if parts == "skewed":
        pieces = [[], rows[:-1], [], rows[-1:]]
        spread_rows = context.parallelize(pieces, len(pieces)).flatMap(lambda piece: piece)
    else:
        spread_rows = context.parallelize(rows, parts)
    return spark.createDataFrame(spread_rows, schema).cache()
