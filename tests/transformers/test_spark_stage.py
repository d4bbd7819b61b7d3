"""SQL statements and ``pyspark.ml`` stages as steps of a scikit-learn Pipeline."""

from __future__ import annotations

import copy
import pickle
import re

import numpy as np
import pandas as pd
import pytest
from pyspark.errors import IllegalArgumentException
from sklearn.base import clone
from sklearn.utils._param_validation import InvalidParameterError

import raydp_ml
from raydp_ml.exceptions import SchemaError
from raydp_ml.exchange.sql_text import select
from raydp_ml.pipeline import FeatureUnion
from raydp_ml.sql import SQLTransformer


@pytest.fixture
def df(spark):
    return spark.createDataFrame([(1.0, 4.0), (2.0, 5.0), (6.0, 3.0)], ["a", "b"])


def test_sql(df):
    step = SQLTransformer("select *, a / b as `ratio{}`, '{x}' as text from __THIS__ where a < 3")
    made = clone(step).fit_transform(df)
    assert made.columns == ["a", "b", "ratio{}", "text"]
    assert [tuple(row) for row in made.collect()] == [
        (1.0, 4.0, 0.25, "{x}"),
        (2.0, 5.0, 0.4, "{x}"),
    ]
    with pytest.raises(TypeError, match="takes a Spark DataFrame, since its SQL is Spark's"):
        step.transform(pd.DataFrame({"a": [1.0]}))


QUERIES = [
    "select a, '__THIS__ {b}' as t from __THIS__ -- __THIS__ {c}",
    "with t as (select a + 1 as a from __THIS__), u as (select * from t) select a, '' as t from u",
    "select a, '' as t from __THIS__ where a in (select max(a) from __THIS__)",
    "select x.a, '' as t from __THIS__ x join __THIS__ y on x.a = y.b - 2",
    "select a, '' as t from (select * from __this__) union all select 9D, '' from __THIS__",
    "select __THIS__.a, '' as t from __THIS__ where exists (select 1 from __THIS__ y where b = 4)",
    "with __THIS__ as (select a * 2 as a from __THIS__) select a, '' as t from __THIS__",
    "select s.a, '' as t from __THIS__, lateral (select a * b as a) s",
    "select sum(b) over (order by a rows between 1 preceding and current row) as a, '' as t "
    "from __THIS__ qualify row_number() over (order by b) > 1",
    "select id * 1D as a, '' as t from range(2) join (values (0), (1)) v (id) using (id), __THIS__",
    "from __THIS__ |> where a > 1 |> select a, '' as t",
    "/* select */ (select a, '' as t from __THIS__ order by a limit 1) /* __THIS__ */",
    "select max(a) as a, '' as t from __THIS__ group by b having max(a) > 1 order by 1;",
]


@pytest.mark.slow
@pytest.mark.parametrize("statement", QUERIES)
def test_queries(spark, df, statement):
    made = SQLTransformer(statement).fit_transform(df)
    df.createOrReplaceTempView("frame_of_the_test")
    text = statement.replace("__THIS__", "frame_of_the_test").replace(
        "__this__", "frame_of_the_test"
    )
    text = text.replace("'frame_of_the_test {b}'", "'__THIS__ {b}'")
    want = spark.sql(text)
    assert made.columns == want.columns
    assert sorted(map(tuple, made.collect())) == sorted(map(tuple, want.collect()))


REFUSED = [
    ("select 1", "must be SQL in which __THIS__ is the DataFrame. Got 'select 1'"),
    ("select '__THIS__' as __THIS__", "must be SQL in which __THIS__ is the DataFrame"),
    ("with __THIS__ as (select 1) select * from __THIS__", "SQL in which __THIS__ is the Data"),
    ("sel __THIS__", "must be a query that Spark can parse"),
    ("insert overwrite directory '/tmp/x' using csv select a from __THIS__", "and no command"),
    ("insert into other select a from __THIS__", "and no command"),
    ("from __THIS__ insert into other select a", "and no command"),
    ("set spark.sql.shuffle.partitions=77 -- __THIS__", "and no command"),
    ("create or replace temp view other as select * from __THIS__", "and no command"),
    ("create table other as select * from __THIS__", "and no command"),
    ("cache table other as select * from __THIS__", "and no command"),
    ("drop table __THIS__", "and no command"),
    ("add jar '__THIS__'", "and no command"),
    ("explain select * from __THIS__", "and no command"),
    ("execute immediate 'select * from __THIS__'", "and no command"),
    ("begin select * from __THIS__; end", "and no command"),
    ("select transform(a) using 'cat' as (a string) from __THIS__", "and no command"),
    ("select * from (select transform(a) using 'cat' as (a string) from __THIS__)", "no command"),
    ("select reflect('java.lang.System', 'exit', 1) from __THIS__", "the function 'reflect'"),
    ("select * from __THIS__ where a > JAVA_METHOD('x', 'y')", "the function 'JAVA_METHOD'"),
    ("select system.builtin.try_reflect('x', 'y') from __THIS__", "the function 'try_reflect'"),
    ("select identifier('reflect')('x', 'y') from __THIS__", "the function 'identifier'"),
    ("select * from __THIS__ where a in (select reflect('x', 'y'))", "the function 'reflect'"),
    ("with t as (select reflect('x', 'y') as r) select * from t, __THIS__", "function 'reflect'"),
    ("select * from __THIS__, values (reflect('x', 'y'))", "the function 'reflect'"),
]


@pytest.mark.parametrize(("statement", "message"), REFUSED)
def test_what_is_no_query_is_refused_before_it_runs(spark, df, statement, message):
    before = spark.catalog.listTables(), spark.conf.get("spark.sql.shuffle.partitions")
    with pytest.raises(InvalidParameterError, match=re.escape(message)):
        SQLTransformer(statement).fit(df)
    assert before == (spark.catalog.listTables(), spark.conf.get("spark.sql.shuffle.partitions"))


TABLES = [
    "select * from __THIS__, secret",
    "select * from __THIS__, spark_catalog.default.secret",
    "select * from __THIS__, parquet.`/etc`",
    "select * from __THIS__ where a = (select max(a) from secret)",
    "with secret as (select * from secret) select * from secret, __THIS__",
    "select (with s as (select 1 as a) select max(a) from s), (select max(a) from s) from __THIS__",
    "select * from __THIS__, lateral (select * from secret)",
    "select * from __THIS__ union all table secret",
    "select * from __THIS__ join secret version as of 1",
    "select * from __THIS__, own_table_function(1)",
]


@pytest.mark.parametrize("statement", TABLES)
def test_other_tables_are_named(df, statement):
    with pytest.raises(
        (SchemaError, InvalidParameterError), match=r"may read __THIS__ only|command"
    ):
        SQLTransformer(statement).fit(df)


def test_a_query_that_does_not_fit(df):
    with pytest.raises(SchemaError, match=r"does not fit the DataFrame.*\['a', 'b'\].*`c`"):
        SQLTransformer("select c from __THIS__").fit(df)


def test_tables_that_the_user_allows(spark, df, tmp_path):
    spark.createDataFrame([(1.0, 10.0), (2.0, 20.0)], ["a", "rate"]).createOrReplaceTempView(
        "Rates"
    )
    try:
        statement = "select b * rate as r from __THIS__ join rates using (a)"
        step = SQLTransformer(statement, tables=["rates"]).fit(df)
        assert sorted(row[0] for row in step.transform(df).collect()) == [40.0, 100.0]
        assert pickle.loads(pickle.dumps(step)).transform(df).count() == 2
        step.save(tmp_path / "one")
        nested = FeatureUnion([("sql", SQLTransformer("select * from __THIS__", tables="rates"))])
        nested.fit(df).save(tmp_path / "two")
        for folder, find in (
            ("one", lambda loaded: loaded),
            ("two", lambda loaded: loaded.transformer_list[0][1]),
        ):
            path = tmp_path / folder / "estimator.json"
            assert "rates" not in path.read_text().replace(statement, "")
            # Whatever a file says, it allows nothing.
            text = path.read_text().replace('"statement": ', '"tables": ["rates"], "statement": ')
            path.write_text(text)
            assert find(raydp_ml.load(tmp_path / folder)).tables == ()
        loaded = raydp_ml.load(tmp_path / "one")
        with pytest.raises(
            SchemaError, match=r"tables=\['rates'\].*loaded from a file, which cannot"
        ):
            loaded.transform(df)
        assert loaded.set_params(tables=["rates"]).transform(df).count() == 2
    finally:
        spark.catalog.dropTempView("Rates")


FOREIGN = [
    ("select own_function(a) as r from __THIS__", "the function 'own_function'"),
    ("select session.own_function(a) as r from __THIS__", "'session.own_function'"),
    ("select system.session.own_function(a) as r from __THIS__", "system.session.own_function'"),
    ("select a, r from __THIS__ lateral view own_function(array(a)) as r", "'own_function'"),
    ("select transform(array(a), x -> own_function(x)) as r from __THIS__", "'own_function'"),
    ("select * from __THIS__ where a in (select own_function(a) from __THIS__)", "'own_function'"),
    ("select default.own_function(a) as r from __THIS__", "'default.own_function'"),
    ("select spark_catalog.default.own_function(a) as r from __THIS__", "default.own_function'"),
    ("select from_xml('<a/>', 'a int', map('rowValidationXSDPath', '/etc/x')) from __THIS__",
     "the function 'from_xml'"),
    ("select builtin.schema_of_xml('<a/>') as r from __THIS__", "'builtin.schema_of_xml'"),
    ("select from_avro(b, '{}', map('avroSchemaUrl', '/etc/x')) from __THIS__", "'from_avro'"),
    ("select FROM_PROTOBUF(b, 'java.lang.System') from __THIS__", "'FROM_PROTOBUF'"),
    ("select * from __THIS__, python_worker_logs()", "'python_worker_logs'"),
    ("select '${env:HOME}' as home from __THIS__", "a query without ${variables}"),
    ("select '${spark.app.id}' as id, * from __THIS__", "a query without ${variables}"),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "message"), FOREIGN)
def test_what_a_loaded_query_may_not_do(spark, df, tmp_path, statement, message):
    spark.udf.register("own_function", lambda x: x, "double")
    try:
        SQLTransformer(statement).save(tmp_path / "it")
        step = raydp_ml.load(tmp_path / "it")
        for one in (step, clone(step), pickle.loads(pickle.dumps(step)), copy.deepcopy(step)):
            with pytest.raises(InvalidParameterError, match=re.escape(message)):
                one.transform(df)
    finally:
        spark.sql("drop temporary function own_function")


def test_a_loaded_query_calls_sparks_own_functions(spark, df, tmp_path):
    statement = "select sqrt(a) as r, own_function(b) as o from __THIS__ order by builtin.abs(a)"
    with_own = SQLTransformer(statement)
    without = SQLTransformer(statement.replace("own_function", "exp"))
    spark.udf.register("own_function", lambda x: -x, "double")
    spark.udf.register("sqrt", lambda x: -1.0, "double")
    spark.conf.set("spark.sql.functionResolution.sessionOrder", "first")
    try:
        without.save(tmp_path / "it")
        made = raydp_ml.load(tmp_path / "it").transform(df).toPandas()
        np.testing.assert_allclose(made["r"], np.sqrt([1.0, 2.0, 6.0]))
        # In his own query, the user's functions are what he calls; also in one that he looked at.
        with_own.save(tmp_path / "own")
        step = raydp_ml.load(tmp_path / "own")
        assert step.statement == statement
        mine = step.set_params(statement=str(step.statement))
        assert [tuple(row) for row in mine.transform(df).collect()] == [
            (-1.0, -4.0), (-1.0, -5.0), (-1.0, -3.0),
        ]  # fmt: skip
    finally:
        spark.conf.unset("spark.sql.functionResolution.sessionOrder")
        spark.sql("drop temporary function own_function")
        spark.sql("drop temporary function sqrt")


@pytest.mark.slow
@pytest.mark.parametrize("statement", QUERIES)
def test_loaded_queries(df, tmp_path, statement):
    own = SQLTransformer(statement)
    own.save(tmp_path / "it")
    made = raydp_ml.load(tmp_path / "it").fit_transform(df)
    want = own.transform(df)
    assert made.columns == want.columns
    assert sorted(map(tuple, made.collect())) == sorted(map(tuple, want.collect()))


@pytest.mark.parametrize(("statement", "message"), REFUSED)
def test_a_loaded_query_runs_nothing_either(df, tmp_path, statement, message):
    SQLTransformer(statement).save(tmp_path / "it")
    with pytest.raises(InvalidParameterError, match=re.escape(message)):
        raydp_ml.load(tmp_path / "it").transform(df)


@pytest.mark.parametrize("text", ["reflect('java.lang.System', 'gc')", "(select max(a) from t)"])
def test_our_own_text_calls_no_java_and_reads_no_table(df, text):
    """What a loaded estimator put into its SQL would be no way around either."""
    with pytest.raises(IllegalArgumentException, match="No part of a transformer"):
        select(df, "a", f"if({text} is null, a, b) AS c")
