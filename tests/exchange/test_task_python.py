"""Python tasks of a session of the user's own, whose Python is another one than this program's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from raydp_ml.exchange.task_python import OURS, _problem_here

MODEL = """
import os, sys, numpy as np, pandas as pd
from raydp_ml.xgboost import XGBRegressor
rows = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0] * 10, "y": [1.0, 2.0, 3.0, 5.0] * 10})
# An objective whose predictions the JVM does not compute.
model = XGBRegressor(objective="count:poisson", n_estimators=3, num_workers=0)
model.fit(rows[["x"]], rows["y"])
"""

OWN = """
from pyspark.sql import SparkSession
from pyspark.sql.functions import udf
spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
df = spark.createDataFrame(rows)
predicted = [row.prediction for row in model.predict(df).collect()]
assert predicted == model.predict(rows[["x"]]).tolist()
# Only our own functions run in this program's Python.
assert spark.sparkContext.pythonExec == "python3"
where = udf(lambda _: __import__("sys").executable, "string", useArrow=False)
print(spark.range(1).select(where("id")).head()[0])
"""

CLUSTER = """
import raydp_ml
spark = raydp_ml.init_spark(mode="standalone", driver_memory="1g")
try:
    model.predict(spark.createDataFrame(rows))
except raydp_ml.exceptions.SessionError as error:
    print(error)
"""


def run(program, python, folder):
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("PYSPARK_PYTHON", None)
    if python is not None:
        environment["PYSPARK_PYTHON"] = str(python)
    done = subprocess.run(
        [sys.executable, "-c", MODEL + program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """Folder of a Python of the same version, without any package."""
    folder = tmp_path_factory.mktemp("bare") / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=120)
    return folder / "bin"


def test_what_a_python_of_this_machine_lacks(bare):
    assert _problem_here(sys.executable, OURS) == ""
    assert (
        _problem_here(str(bare / "python3"), ("json", "pyarrow")) == "it lacks the module pyarrow"
    )
    assert _problem_here("no-such-python", OURS) == "it does not exist"
    assert _problem_here(shutil.which("false"), OURS).startswith("it does not run: ")


@pytest.mark.slow
def test_in_a_local_session_our_functions_run_in_the_programs_own_python(bare):
    assert run(OWN, None, bare) == str(bare / "python3")


@pytest.mark.slow
def test_elsewhere_an_error_before_the_job_names_both(bare):
    said = run(CLUSTER, bare / "python3", bare)
    assert f"run {str(bare / 'python3')!r}, and " in said
    assert f"this program runs {sys.executable!r}" in said
    assert "PYSPARK_PYTHON" in said
