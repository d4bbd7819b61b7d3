"""Column roles in Spark's metadata."""

from __future__ import annotations

import pytest
from pyspark.sql import functions

import raydp_ml
from raydp_ml.exceptions import SchemaError


def roles_of(df):
    return {f.name: f.metadata["raydp_ml"]["role"] for f in df.schema if "raydp_ml" in f.metadata}


@pytest.fixture
def df(spark):
    return spark.createDataFrame([(1.0, 2.0, True, 3, "x")], ["a", "odd.`name", "v", "y", "id"])


def test_roles_are_written_beside_other_metadata(df):
    df = df.withMetadata("a", {"unit": "km"})
    made = raydp_ml.set_roles(
        df, label="y", sample_weight="a", group="odd.`name", validation="v", ignore="id"
    )
    assert roles_of(made) == {
        "y": "label",
        "a": "sample_weight",
        "odd.`name": "group",
        "v": "validation",
        "id": "ignore",
    }
    assert made.schema["a"].metadata["unit"] == "km"
    assert made.columns == df.columns
    assert made.collect() == df.collect()


def test_a_second_call_replaces_the_holder_and_keeps_the_other_roles(df):
    made = raydp_ml.set_roles(df, label="y", ignore=["id", "v"])
    made = raydp_ml.set_roles(made, label="a")
    assert roles_of(made) == {"a": "label", "id": "ignore", "v": "ignore"}
    made = raydp_ml.set_roles(made, ignore=["y"], sample_weight="a")
    assert roles_of(made) == {"a": "sample_weight", "y": "ignore"}


def test_roles_survive_what_keeps_the_column(df, tmp_path):
    made = raydp_ml.set_roles(df, label="y")
    made = made.filter("a > 0").select("y", "a").withColumn("b", functions.lit(1)).repartition(2)
    made.write.parquet(str(tmp_path / "frame"))
    again = df.sparkSession.read.parquet(str(tmp_path / "frame"))
    assert roles_of(again) == {"y": "label"}
    assert roles_of(again.withColumn("y", functions.col("y") * 2)) == {}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"label": "Y2"}, r"no column 'Y2', given as the label. .*The columns are: \['a'"),
        ({"ignore": ["idd"]}, "no column 'idd', given as the ignore. Did you mean 'id'"),
        ({"label": "y", "ignore": "y"}, "'y' cannot be both label and ignore"),
        ({"label": "y", "group": "y"}, "'y' cannot be both label and group"),
    ],
)
def test_names_that_cannot_be(df, arguments, text):
    with pytest.raises(SchemaError, match=text):
        raydp_ml.set_roles(df, **arguments)


def test_other_frames_have_no_roles():
    with pytest.raises(TypeError, match=r"takes a Spark DataFrame. Got dict instead"):
        raydp_ml.set_roles({}, label="y")
