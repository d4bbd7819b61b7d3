"""The cases' own reckoning, and a quick run of all: contenders that did the same job."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import (
    airline,
    airline_data,
    explain,
    external,
    fit,
    memory,
    metrics,
    predict,
    scaling,
    search,
    serve,
    session,
    soak,
    transformers,
)
from benchmarks.growth import exponent, last_exponent
from benchmarks.harness import Measured, Table
from benchmarks.options import CASES, MODES, BadArgumentError, Options

ROOT = Path(__file__).parent.parent.parent


def measured(name, seconds, **facts):
    row = Measured(name, facts=facts)
    row.add(seconds, cpu_s=seconds, other_cpu_s=0)
    return row


def test_the_exponent_of_a_power_law_is_found():
    sizes = [10, 100, 1000, 10_000]
    assert exponent(sizes, [3 * n**1.3 for n in sizes]) == pytest.approx(1.3)
    assert exponent([1, 4], [8, 2]) == pytest.approx(-1)
    assert exponent([5, 7], [2, 2]) == pytest.approx(0)


def test_fixed_costs_weigh_least_in_the_last_step():
    sizes = [1000, 10, 100]  # in any order
    costs = [1 + n / 100 for n in sizes]
    assert last_exponent(sizes, costs) == pytest.approx(math.log10(11 / 2))
    assert exponent(sizes, costs) < last_exponent(sizes, costs)


@pytest.mark.parametrize("costs", [[1], [1, 0], [1, 2, 3]])
def test_what_has_no_power_law_is_refused(costs):
    with pytest.raises(ValueError, match="no power law goes through"):
        exponent([1, 2], costs)
    with pytest.raises(ValueError, match="no power law goes through"):
        exponent([2, 2], [1, 1])


def grown(axis, name, sizes, seconds):
    return [measured(name, s, **{axis: n}) for n, s in zip(sizes, seconds, strict=True)]


def test_the_growth_of_each_contender_is_stated():
    sizes = [10, 100, 1000]
    rows = grown("rows", "fit", sizes, [1, 1, 10]) + grown(
        "rows", "from_spark", sizes, [1, 10, 100]
    )
    assert scaling.growth_of("rows", rows) == (
        "fit grows as rows^0.50, in the last step as ^1.00; "
        "from_spark grows as rows^1.00, in the last step as ^1.00"
    )
    rows += grown("rows", "from_spark", [10_000], [2000])
    exchange, trained = scaling.targets(Table("", rows, axis="rows"))
    assert (exchange.value, exchange.met) == (pytest.approx(math.log10(20)), False)
    assert (trained.value, trained.met) == (pytest.approx(1), True)


def test_peaks_of_memory_grow_with_the_data():
    def row(times, driver, store):
        sizes = dict.fromkeys((f"{role} MB" for role in memory.ROLES), 0.0)
        sizes |= {"driver MB": driver, "object store MB": store}
        return measured("fit", 1, **{"rows": 1000 * times, "data MB": 40.0 * times, **sizes})

    rows = [row(1, 200.0, 50.0), row(2, 200.0, 100.0), row(4, 206.0, 200.0)]
    text = memory.growth_of(rows)
    assert text == "Peaks grow as driver rows^0.02, object store rows^1.00."
    driver, store = memory.targets(Table("", rows))
    assert (driver.value, driver.met) == (pytest.approx(6 / 120), True)
    assert (store.value, store.met) == (pytest.approx(150 / 120), False)


def test_what_grows_over_a_soak_is_found():
    sizes = [300.0, 100.0, 101.0, 100.0, 108.0, 107.0, 109.0]
    still = dict.fromkeys((*soak.COUNTS, soak.STORE, soak.WRONG), 0)
    rows = [measured("", 1, **still, **{soak.DRIVER: size}) for size in sizes]
    rows[-1].facts[soak.WRONG] = 1
    rows[-2].facts["threads"] = rows[-3].facts["threads"] = 2
    found = soak.targets(Table("", rows), Table("", rows[:2]))
    assert len(found) == 2 * (len(soak.COUNTS) + 3)
    assert [(target.text, target.value) for target in found if not target.met] == [
        ("in one session: driver MB grow by the factor", pytest.approx(1.08)),
        ("in one session: threads more at the end", 2),
        ("in one session: wrong results", 1),
    ]


def test_targets_of_a_contender_that_could_not_run_are_not_measured():
    rows = [measured(predict.OURS, 1.0), measured(predict.BY_HAND, 1.25)]
    rows += [Measured(predict.SPARK, error="OSError: x"), measured(predict.SPARK_VECTOR, 9.0)]
    spark, by_hand = predict.targets(10, Table("", rows))
    assert (spark.value, spark.met) == (None, False)
    assert (by_hand.value, by_hand.met) == (0.8, True)


def test_search_is_measured_beside_three_rivals():
    rivals = {search.IN_MEMORY: 4.0, search.TUNE: 5.0, search.SPARK: 20.0}
    rows = [measured(name, seconds) for name, seconds in {search.OURS: 2.0, **rivals}.items()]
    found = search.targets(Table("", rows))
    assert [(target.value, target.met) for target in found] == [
        (10.0, True),
        (2.0, True),
        (2.5, False),
    ]


def test_explain_is_measured_beside_xgboost_spark():
    rows = [measured(explain.OURS, 2.0), measured(explain.BY_HAND, 7.0)]
    (faster,) = explain.targets(10, Table("", [*rows, measured(explain.SPARK, 8.0)]))
    assert (faster.value, faster.met) == (4.0, True)


def test_a_fit_is_judged_by_speed_and_score():
    def table(ours, plain, spark, rmse):
        return Table(
            "",
            [
                measured(fit.OURS, ours, **{"held-out RMSE": rmse}),
                measured(fit.ONE, ours - 0.1),
                measured(fit.PLAIN, plain, **{"held-out RMSE": 1.0}),
                measured(fit.SPARK, spark, **{"held-out RMSE": 1.0}),
            ],
        )

    tables = table(4.0, 1.0, 8.0, 1.0), table(0.3, 0.1, 2.0, 1.0), {9: table(3.0, 2.0, 3.0, 1.05)}
    values = [(target.value, target.met) for target in fit.targets(*tables)]
    assert values == [
        (2, True),
        (0.3, True),
        (1.5, True),
        (pytest.approx(2.9 / 2), False),
        (1, False),
        (pytest.approx(3 / 2.9), False),
        (pytest.approx(0.05), False),
    ]


def test_an_airline_model_must_be_as_good():
    rows = [measured(name, 2.0, **{"test AUC": 0.75}) for name in (airline.PLAIN, airline.SPARK)]
    rows.append(measured(airline.OURS, 1.0, **{"test AUC": 0.74}))
    targets = airline.targets(Table("flights: 100 trees", rows))
    assert [target.text.split(":")[0] for target in targets] == ["flights"] * 3
    assert [target.met for target in targets] == [True, True, False]
    assert targets[2].value == pytest.approx(0.01)


BTS = ["MONTH", "DAY_OF_MONTH", "DAY_OF_WEEK", "OP_UNIQUE_CARRIER", "ORIGIN", "DEST"]
BTS += ["CRS_DEP_TIME", "DISTANCE", "DEP_DELAY"]
OLD_BTS = ["Month", "DayofMonth", "DayOfWeek", "Reporting_Airline", "Origin", "Dest"]
OLD_BTS += ["CRSDepTime", "Distance", "DepDelay"]


def on_time_records(names, rows=400):
    numbers = range(rows)
    values = [
        [1 + i % 12 for i in numbers],
        [1 + i % 28 for i in numbers],
        [1 + i % 7 for i in numbers],
        ["AA" if i % 3 else "UA" for i in numbers],
        ["JFK" if i % 2 else "LGA" for i in numbers],
        ["BOS"] * rows,
        [100 * (i % 24) + i % 60 for i in numbers],
        [187.0 + i for i in numbers],
        [None if i % 10 == 0 else float(i % 30) for i in numbers],
    ]
    return pd.DataFrame(dict(zip(names, values, strict=True)))


@pytest.mark.parametrize("names", [BTS, OLD_BTS])
def test_the_columns_of_on_time_records_are_found_by_their_names(tmp_path, names):
    on_time_records(names).to_parquet(tmp_path / "flights.parquet")
    source = airline_data.records("flights", str(tmp_path), 0.2)
    assert list(source.columns.values()) == names


def test_a_file_without_the_columns_is_refused(tmp_path):
    file = tmp_path / "flights.parquet"
    on_time_records(BTS).drop(columns=["ORIGIN", "DEP_DELAY"]).to_parquet(file)
    with pytest.raises(BadArgumentError) as caught:
        airline_data.check(str(file))
    assert str(caught.value).startswith(
        f"{file} lacks the columns ['origin', 'dep_delay'] of on-time records; it has ['MONTH', "
    )


@pytest.mark.slow
@pytest.mark.modes("local")
def test_flights_are_split_and_labelled(spark, tmp_path):
    given = on_time_records(BTS)
    given.to_parquet(tmp_path / "flights.parquet")
    source = airline_data.records("flights", str(tmp_path), 0.3)
    train, test = (df.toPandas() for df in source.frames(spark))
    flown = given[given.DEP_DELAY.notna()]
    assert 0.15 * len(flown) < len(test) < 0.45 * len(flown)
    both = pd.concat([train, test]).sort_values("distance")
    assert list(both.columns) == [*airline_data.FEATURES, airline_data.LABEL]
    assert both.distance.tolist() == flown.DISTANCE.tolist()
    assert both.late.tolist() == (flown.DEP_DELAY >= 15).astype(int).tolist()
    assert both.month.tolist() == flown.MONTH.astype(str).tolist()
    assert both.dep_time.tolist() == flown.CRS_DEP_TIME.tolist()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_all_quick(tmp_path):
    command = [sys.executable, "-m", "benchmarks", "all", "--quick", "--results", str(tmp_path)]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=1700, check=False
    )
    assert ended.returncode == 0, ended.stderr
    records = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in CASES}
    for name, record in records.items():
        assert record["commit"]
        assert {"pyspark", "ray", "java"} <= set(record["versions"])
        assert f"# {name}: {CASES[name]}" in (tmp_path / f"{name}.md").read_text()
        for table in record["tables"]:
            for contender in table["contenders"]:
                if contender["name"] != session.RAYDP:  # it may be there, or not
                    assert contender["error"] is None
                    assert 0 < contender["min_s"] <= contender["median_s"] <= contender["max_s"]
                    assert contender["cpu_s"] > 0
    tables = {name: record["tables"] for name, record in records.items()}
    check_session(*tables["session"])
    check_exchange(records["exchange"])
    check_fit(*tables["fit"])
    check_predict(*tables["predict"])
    check_explain(*tables["explain"])
    check_serve(tables["serve"])
    check_search(*tables["search"])
    check_torch(tables["torch"])
    check_transformers(*tables["transformers"])
    check_metrics(*tables["metrics"])
    check_airline(tables["airline"])
    check_memory(*tables["memory"])
    check_external(*tables["external"])
    check_soak(*tables["soak"])
    check_scaling(*tables["scaling"])


def facts(table, fact):
    return {row["name"]: row["facts"][fact] for row in table["contenders"] if fact in row["facts"]}


def check_session(cold, warm):
    names = [row["name"] for row in warm["contenders"]]
    assert set(names) ^ {row["name"] for row in cold["contenders"]} == {
        session.JVM,
        session.PLAIN_ENDING,
    }
    assert set(names) == set(session.QUICK_KINDS) - {session.JVM}
    assert all(row["facts"].get("left", 0) == 0 for row in warm["contenders"])


def check_exchange(record):
    to_arrow, to_spark, *others = record["tables"]
    by_mode = [table for table in others if "by mode" in table["title"]]
    by_partitions = [table for table in others if " partitions, " in table["title"]]
    assert (len(by_mode), len(by_partitions)) == (2, 2)
    for table in by_partitions:
        assert len(set(facts(table, "checksum").values())) == 1
    for table in by_mode:
        assert [row["facts"]["mode"] for row in table["contenders"]] == list(MODES)
        assert len(set(facts(table, "checksum").values())) == 1
    assert [t["limit"] for t in record["targets"][-2:]] == [1.2, 1.2]
    for table in (to_arrow, to_spark):
        assert len(set(facts(table, "rows").values())) == 1
        assert len(set(facts(table, "checksum").values())) == 1
        complete = set(facts(table, "rows")) - set(facts(table, "checksum"))
        assert all(name.startswith("floor") for name in complete)
        for row in table["contenders"]:
            assert {"driver", "jvm"} <= set(row["peak_pss_mb_by_role"])


def check_fit(cold, tiny, large):
    for table in (cold, tiny, large):
        ways = {fit.OURS, fit.PLAIN, fit.SPARK} | ({fit.ONE} if table is not cold else set())
        assert set(facts(table, "rows")) == ways
        assert len(set(facts(table, "rows").values())) == 1
        errors = facts(table, "held-out RMSE").values()
        assert max(errors) < 1.1 * min(errors)
    assert min(facts(large, "held-out RMSE").values()) < 1.0  # the label spreads by about 5


def check_predict(table):
    sums = facts(table, "checksum")
    assert set(sums) == {predict.OURS, predict.BY_HAND, predict.SPARK, predict.SPARK_VECTOR}
    assert len(set(sums.values())) == 1
    assert min(facts(table, "R²").values()) > 0.9


def check_explain(table):
    sizes = [facts(table, name) for name in ("|x0|", "|x3|", "|bias|")]
    for size in sizes:
        assert set(size) == {explain.OURS, explain.BY_HAND, explain.SPARK}
        assert max(size.values()) == pytest.approx(min(size.values()), rel=1e-4)


def check_search(table):
    scores = facts(table, "best AUC over the folds")
    assert set(scores) == {search.OURS, search.IN_MEMORY, search.TUNE, search.SPARK}
    assert max(scores.values()) - min(scores.values()) < 0.02  # other folds


def check_serve(tables):
    assert len(tables) == 3 * len(serve.SIZES)
    for table in tables:
        sums = facts(table, "sum")
        assert sums[serve.OURS] == pytest.approx(sums[serve.OWN], abs=2e-4)
        assert sums[serve.OUR_PIPELINE] == pytest.approx(sums[serve.OWN_PIPELINE], abs=2e-4)


@pytest.mark.slow
def test_one_row_in_memory_is_served_as_by_xgboost():
    tables, targets = serve.measure(Options(1, 2, (), quick=True, repeat=1))
    for table in tables:
        assert [row.error for row in table.rows] == [None] * 4
        sums = {row.name: row.facts["sum"] for row in table.rows}
        assert sums[serve.OURS] == pytest.approx(sums[serve.OWN], abs=2e-4)
        assert sums[serve.OUR_PIPELINE] == pytest.approx(sums[serve.OWN_PIPELINE], abs=2e-4)
    assert [target.limit for target in targets] == [1.2] * 6


def check_torch(tables):
    for table in tables:
        ran = [row for row in table["contenders"] if row["error"] is None]
        assert len(ran) >= 4
        assert len({row["facts"]["rows"] for row in ran}) == 1
        # A few batches teach little: all must have learnt as much as the loop by hand.
        scores = {row["name"]: row["facts"]["held-out R²"] for row in ran}
        by_hand = next(score for name, score in scores.items() if "by hand" in name)
        assert by_hand > 0
        scores.pop(session.RAYDP, None)
        assert all(abs(score - by_hand) < 0.05 for score in scores.values())


def check_transformers(fitted, transformed):
    for table, fact in ((fitted, "first ratio"), (transformed, "first variance")):
        found = facts(table, fact)
        assert set(found) == {transformers.OURS, transformers.SPARK, transformers.PLAIN}
        assert max(found.values()) < 1.02 * min(found.values())
        assert len(set(facts(table, "rows").values())) == 1


def check_metrics(table):
    assert len(set(facts(table, "right").values())) == 1
    for fact, within in (("roc_auc", 1e-2), ("average_precision", 1e-2), ("log_loss", 1e-9)):
        found = facts(table, fact)
        assert set(found) == {metrics.OURS, metrics.SPARK, metrics.PLAIN}
        assert found[metrics.OURS] == pytest.approx(found[metrics.PLAIN], rel=1e-9)
        assert found[metrics.OURS] == pytest.approx(found[metrics.SPARK], rel=within)


def check_airline(tables):
    assert len(tables) == 2
    for table in tables:
        aucs = facts(table, "test AUC")
        assert set(aucs) == {airline.OURS, airline.PLAIN, airline.SPARK}
        assert len(set(facts(table, "test rows").values())) == 1
        assert min(aucs.values()) > 0.55
        assert max(aucs.values()) < min(aucs.values()) + 0.02
        for row in table["contenders"]:
            assert set(row["parts"]) == {"read", "exchange", "matrix", "train", "predict"}
            total = sum(sum(seconds) for seconds in row["parts"].values())
            assert 0.8 * sum(row["seconds"]) < total <= sum(row["seconds"])


def check_memory(exchange, trained, quarter):
    for table in (exchange, trained):
        one, two = table["contenders"]
        assert two["facts"]["rows"] == 2 * one["facts"]["rows"]
        assert all(row["facts"]["driver MB"] > 50 for row in (one, two))
        assert all(row["facts"]["jvm MB"] > 100 for row in (one, two))
    for row in exchange["contenders"]:
        assert row["facts"]["object store MB"] >= 0.95 * row["facts"]["blocks MB"]
    assert facts(quarter, "sums")[memory.BACK][0] == exchange["contenders"][-1]["facts"]["rows"]
    assert len(facts(quarter, memory.LIMIT)) == 3


def check_external(*by_library):
    for table in by_library:
        scores = facts(table, "held-out R²")
        assert scores[external.EXTERNAL] == pytest.approx(scores[external.HELD], abs=0.01)
        assert len(set(facts(table, "rows").values())) == 1
        assert all(mb > 50 for mb in facts(table, memory.LARGEST).values())


def check_soak(one, many):
    for table in (one, many):
        assert set(facts(table, soak.WRONG).values()) == {0}
        assert all(count == 0 for count in facts(table, soak.STORE).values())
    assert all(size > 20 for size in facts(one, soak.HEAP).values())
    assert len(set(facts(many, "actors").values())) == 1


def check_scaling(by_rows, by_workers, by_partitions):
    assert [row["facts"]["workers"] for row in by_workers["contenders"]] == [1, 2]
    for table in (by_rows, by_partitions):
        assert table["note"].startswith(f"from_spark grows as {table['axis']}^")
        assert "; fit grows as" in table["note"]
    exported = [row["facts"] for row in by_rows["contenders"] if row["name"] == scaling.EXCHANGE]
    assert [each["rows"] for each in exported] == list(scaling.QUICK_ROWS)
    assert [each["rows exported"] for each in exported] == list(scaling.QUICK_ROWS)
