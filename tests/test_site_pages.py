"""What the pages of the site show runs: all marked blocks of a page, in one process."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.site_pages import DOCS, PAGES, blocks, name_of

# These start a session of their own; the others begin with what the list of guides shows.
BY_THEMSELVES = {
    "first_steps",
    "tutorial",
    "how_to/own_session",
    "how_to/spark_connect",
    "how_to/ray_cluster",
    "how_to/index",
}
# Serve on ports of their own: other tests serve at the same time.
SERVE = """
import ray, ray.serve
ray.init(num_cpus=2, include_dashboard=False)
ray.serve.start(http_options={{"port": {}}})
"""
BEFORE = {
    "first_steps": f"""
{SERVE.format(8764)}
with open("rides.csv", "w") as file:
    print("id,miles,zone,fare", file=file)
    for number in range(2000):
        miles = number * 17 % 1999 / 200
        zone = "ab"[number % 2]
        fare = "" if number % 50 == 0 else 3 + 2 * miles + 5 * (zone == "b")
        print(number, miles, zone, fare, sep=",", file=file)
""",
    "how_to/inspection": "import matplotlib; matplotlib.use('Agg')",
    "how_to/looking": "import matplotlib; matplotlib.use('Agg')",
    "tutorial": SERVE.format(8765),
}
PROGRAMS = {name_of(page): blocks(page) for page in PAGES if blocks(page)}

# The noise of the delays has a variance of 25, of some 230: nothing can score above 0.9.
LEARNT = "assert 0.8 < model.score(test, 'arr_delay') < 0.95"
CHECK = {
    "first_steps": """
import json, urllib.request
assert fares.score(others, "fare") > 0.98
assert network.score(test, "y") > 0.98
assert search.best_score_ > 0.99
assert metrics.r2_score(spark.read.parquet("scored"), "y") > 0.99
with urllib.request.urlopen("http://127.0.0.1:8764/", b'[{"x": 42, "z": 0.5}]') as answer:
    assert 80 < json.loads(answer.read())["prediction"][0] < 90
serve.shutdown()
""",
    "tutorial": """
assert metrics.r2_score(scored, "fare") > 0.8
assert abs(again.predict(ride) - best.predict(ride)).max() < 1e-3
""",
    "how_to/index": "assert (train.count(), test.count()) == (16_000, 4_000)",
    "how_to/transformers": "assert 'sales__sales' in features.transform(shops).columns",
    "how_to/torch": LEARNT,
    "how_to/model_selection": "assert search.score(test, 'late') > 0.9",
    "how_to/metrics": "assert metrics.roc_auc_score(scored) == 1",
    "how_to/inspection": LEARNT,
    "how_to/workers": LEARNT,
    "how_to/categories": f"{LEARNT}; assert 0.8 < encoded.score(test, 'arr_delay') < 0.95",
    "how_to/imbalance": """
assert metrics.average_precision_score(scored, "late") > 0.5
assert 0 < tuned.best_threshold_ < 1
heavy = pipe.predict(test).selectExpr("avg(prediction)").first()[0]
assert heavy > tuned.estimator_.predict(test).selectExpr("avg(prediction)").first()[0]
""",
    "how_to/early_stopping": f"""
{LEARNT}
assert model[-1].best_iteration < 499
assert alone.best_iteration < 499
""",
    "how_to/ranking": """
assert metrics.ndcg_score(ranked, "relevance", "prediction", k=10, group="query") > 0.9
""",
    "how_to/torch_module": f"""
{LEARNT}
rows = test.drop("arr_delay").toPandas()
again, model = (pipe.set_output(transform="pandas") for pipe in (again, model))
assert abs(again.predict(rows) - model.predict(rows)).max() < 1e-6
""",
    "how_to/bigger_than_memory": f"{LEARNT}; assert 0.8 < scaled.score(test, 'arr_delay') < 0.95",
    "how_to/looking": f"""
{LEARNT}
assert open("looks.png", "rb").read(4) == b"\\x89PNG"
assert len(right.lines) == 2  # of the scores, and of the best round
assert {{label.get_text() for label in left.get_yticklabels()}} == {{"month", "hour", "distance"}}
""",
    "how_to/reproducible": "assert (first.predict(rows) == second.predict(rows)).all()",
    "how_to/saving": """
scored = spark.read.parquet("scored")
assert scored.count() == test.count()
error = scored.selectExpr("avg(abs(prediction - arr_delay))").first()[0]
assert error < 8
""",
    "how_to/streaming": """
assert spark.read.parquet("scored").count() == test.count()
error = spark.read.parquet("scored").selectExpr("avg(abs(prediction - arr_delay))").first()[0]
assert error < 8
batches = learnt.get_booster().num_boosted_rounds() / 10
assert batches >= 2 and batches == int(batches)
assert learnt.score(test, "arr_delay") > 0.5
""",
    "how_to/spark_connect": "assert model.score(df, 'y') > 0.99; spark.stop()",
    "how_to/own_session": "assert model.score(df, 'y') > 0.99",
    "how_to/ray_cluster": "assert model.get_num_boosting_rounds() == 20",
    "coming_from/xgboost_spark": LEARNT,
    "coming_from/pyspark_ml": "assert 0.8 < search.score(test, 'arr_delay') < 0.95",
    "coming_from/raydp": "assert len(model[-1].history_) == 10",
    "coming_from/ray_train": "assert model.get_num_boosting_rounds() == 50",
    "coming_from/scikit_learn": f"{LEARNT}; assert predictions.count() == 4_000",
}
NEEDS = {
    "first_steps": "starlette",
    "tutorial": "starlette",
    "how_to/torch": "torch",
    "how_to/torch_module": "torch",
    "coming_from/raydp": "torch",
    "how_to/spark_connect": "grpc_status",
}


def test_every_page_with_a_program_has_a_check():
    assert sorted(PROGRAMS) == sorted(CHECK)


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_page_runs(name, tmp_path):
    if name in NEEDS and find_spec(NEEDS[name]) is None:
        pytest.skip(f"needs {NEEDS[name]}")
    before = [BEFORE.get(name, ""), *([] if name in BY_THEMSELVES else PROGRAMS["how_to/index"])]
    # The tutorial's last block ends the session that its check needs.
    *shown, last = PROGRAMS[name]
    parts = [*shown, CHECK[name], last] if name == "tutorial" else [*shown, last, CHECK[name]]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join([*before, *parts])],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]


@pytest.mark.cluster
@pytest.mark.slow
def test_the_site_is_built_without_warnings(tmp_path):
    if find_spec("sphinx") is None:
        pytest.skip("needs the extra [docs]")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    done = subprocess.run(
        [*command, "-d", tmp_path / "trees", DOCS, tmp_path / "html"],
        cwd=DOCS.parent,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    page = tmp_path / "html/reference/generated/raydp_ml.xgboost.XGBRegressor.html"
    assert "num_workers" in page.read_text()
