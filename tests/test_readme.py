"""What the README shows runs, in a folder of its own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.fresh_folder import run_python

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()

SHARING = ("transformers", "metrics", "inspection", "torch", "search")
"""The blocks that begin in a session; they run in one, one after the other."""

# What a reader has before a block, by the block's mark; in a session, `spark` too.
SETUP = {
    "quickstart": "",
    "transformers": "",
    "metrics": "",
    # As much as the block asks for: Ray takes our word for it.
    "cluster": """
import ray, raydp_ml
ray.init(num_cpus=6, resources={"special": 3}, _memory=16 * 2**30, include_dashboard=False)
""",
    "inspection": """
import matplotlib
matplotlib.use("Agg")
df = spark.range(2000).selectExpr("rand(1) as hour", "rand(2) as distance")
df = df.selectExpr("*", "2 * hour - distance + 3 as arr_delay")
train, test = df.randomSplit([0.8, 0.2], seed=0)
""",
    "torch": """
features = [f"rand({i}) as x{i}" for i in range(3)]
label = "2 * x0 - x1 + 3 as arr_delay"
df = spark.range(20_000).selectExpr("id", *features).selectExpr("* except (id)", label)
train, test = df.randomSplit([0.8, 0.2], seed=0)
""",
    "log": "",
    "search": """
df = spark.range(2000).selectExpr("rand(1) AS a", "rand(2) AS b").selectExpr("*", "a > b AS late")
""",
}
# What a reader may expect after it.
CHECK = {
    # The label is 2 (x) plus uniform noise of variance 1/12 beside a signal of variance 3333.
    "quickstart": "assert model.score(test, 'y') > 0.999",
    "transformers": """
import sklearn.preprocessing
scaled = [row[0] for row in features.transform(shops).select("sales__sales").collect()]
known = sklearn.preprocessing.scale([3.0, 4.0, 5.0])  # the missing one is the mean
np.testing.assert_allclose(scaled, known)
""",
    "metrics": """
found = metrics.report(scored, ["roc_auc", "confusion_matrix"])
assert found["roc_auc"] == 1.0
assert found["confusion_matrix"].tolist() == [[1, 1], [0, 1]]
""",
    "cluster": """
assert spark.range(1000).selectExpr("sum(id)").first()[0] == 499500
assert ray.available_resources().get("special", 0) == 0
assert ray.cluster_resources()["memory"] - ray.available_resources()["memory"] == 12 * 2**30
groups = ray.util.placement_group_table().values()
assert [group["strategy"] for group in groups if group["state"] == "CREATED"] == ["SPREAD"]
raydp_ml.stop_spark()
ray.shutdown()
""",
    "inspection": """
from numpy.testing import assert_allclose
rows = test.toPandas()
names = ["hour", "distance"]
values = explained.toPandas().contributions.tolist()
assert_allclose([sum(value) for value in values], model.predict(rows[names]), rtol=1e-5)
# The rule is linear.
assert_allclose(found.average[0][-1] - found.average[0][0], 1.8, atol=0.2)
""",
    "torch": """
assert len(network.history_) == 20
# The label is a rule without noise, which a network of 64 units comes near to.
assert 0.9 < model.score(test, "arr_delay") < 1
""",
    "log": """
import contextlib
import io
from raydp_ml.xgboost import XGBRegressor
with contextlib.redirect_stderr(io.StringIO()) as said:
    logging.getLogger().handlers[0].setStream(said)
    XGBRegressor(n_estimators=2).fit([[1.0], [2.0]], [1.0, 2.0])
assert "fit estimator=XGBRegressor rows=2 " in said.getvalue()
""",
    "search": """
assert (train.count(), test.count()) == (1600, 400)
assert search.best_score_ == max(search.cv_results_["mean_test_score"]) > 0.98
assert search.score(test, "late") > 0.98
""",
}
OUTPUT = {
    "quickstart": "|prediction|",
    "transformers": "|sales__sales|region__region_north|region__region_south|y|",
    "metrics": "",
    "cluster": "",
    "inspection": "contributions",
    "torch": "|prediction|",
    "log": "",
    "search": "|prediction|",
}


def blocks(language):
    """Blocks of the README by their marks; one without a mark has none."""
    pattern = rf"(?:<!-- (?:test|command): (\S+) -->\n)?```{language}\n(.*?)```"
    return re.findall(pattern, README, re.DOTALL)


def test_every_python_block_has_a_mark_of_its_own():
    marks = [mark for mark, _ in blocks("python")]
    assert sorted(marks) == sorted(SETUP)


def source_of(mark):
    return "\n".join([SETUP[mark], dict(blocks("python"))[mark], CHECK[mark]])


@pytest.mark.cluster
@pytest.mark.parametrize(
    "mark",
    [
        pytest.param(mark, marks=pytest.mark.slow) if mark == "cluster" else mark
        for mark in SETUP
        if mark not in SHARING
    ],
)
def test_a_python_block_runs(mark, tmp_path):
    done = run_python("-c", source_of(mark), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert OUTPUT[mark] in done.stdout.replace(" ", "")


IN_ONE_SESSION = """
import contextlib, io, json, traceback
import raydp_ml
spark = raydp_ml.init_spark("readme")
found = {{}}
for mark, source in {sources!r}.items():
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            exec(source, {{"__name__": "__main__", "raydp_ml": raydp_ml, "spark": spark}})
        except Exception:
            traceback.print_exc(file=printed)
    found[mark] = printed.getvalue()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What each block printed, an error's traceback too."""
    program = IN_ONE_SESSION.format(sources={mark: source_of(mark) for mark in SHARING})
    done = run_python("-c", program, cwd=tmp_path_factory.mktemp("readme"))
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("mark", SHARING)
def test_a_python_block_runs_in_a_session(mark, printed):
    assert "Traceback" not in printed[mark], printed[mark]
    assert OUTPUT[mark] in printed[mark].replace(" ", "")


def test_the_commands_install_from_the_constraints():
    commands = dict(blocks("bash"))
    for mark in ("main-job", "tests"):
        assert "pip install -q -c constraints.txt" in commands[mark]
