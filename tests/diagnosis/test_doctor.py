"""``python -m raydp_ml doctor`` where all is well, and in each bad state, by real means."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

import raydp_ml
from raydp_ml.diagnosis import diagnose
from raydp_ml.diagnosis.following import in_process_of_its_own
from raydp_ml.diagnosis.trip import SETTLED, STARTS, STOP
from tests.fresh_folder import run_python

PACKAGE = Path(raydp_ml.__file__).parent
TRIP = (*STARTS, *SETTLED, STOP)
REMEDY = "Java runtime of version 17 or newer: install one"

pytestmark = pytest.mark.cluster


def doctor(*arguments, python=(sys.executable,), **environment):
    """Run the doctor with --json; its exit status, and its checks by name."""
    changed = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), **environment}
    changed = {name: value for name, value in changed.items() if value is not None}
    done = subprocess.run(
        [*python, "-m", "raydp_ml", "doctor", "--json", *arguments],
        cwd="/",  # Python looks for modules in its working folder first
        env=changed,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found["ok"] == (done.returncode == 0)
    return done.returncode, {check["name"]: check for check in found["checks"]}


def failures(checks):
    return [name for name, check in checks.items() if check["status"] == "failure"]


def assert_not_tried(checks, needed):
    for name in TRIP:
        assert checks[name]["status"] == "skipped"
        assert checks[name]["found"] == f"not tried: needs {needed}"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_all_is_well_and_nothing_is_left(tmp_path):
    done = run_python("-m", "raydp_ml", "doctor", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    lines = [line for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert lines[-1].startswith("All is well")
    for name in TRIP:
        (line,) = [line for line in lines if line[9:].startswith(f"{name} ")]
        assert line.startswith("ok "), done.stdout
        assert line.endswith(" s)")


def test_nothing_is_installed(tmp_path):
    # A copy, beside which lies no metadata, as in the folder of an editable installation.
    shutil.copytree(PACKAGE, tmp_path / "raydp_ml", ignore=shutil.ignore_patterns("__pycache__"))
    # (-S: without the installed packages.)
    status, checks = doctor(python=(sys.executable, "-S"), PYTHONPATH=str(tmp_path))
    needed = ["pyspark", "ray", "scikit-learn", "pyarrow", "pandas", "numpy", "cryptography"]
    assert (status, failures(checks)) == (1, needed)
    assert checks["ray"] == {
        "name": "ray",
        "status": "failure",
        "found": "not installed",
        "remedy": "pip install 'ray'",
        "seconds": None,
    }
    assert (checks["xgboost"]["status"], checks["torch"]["status"]) == ("warning", "ok")
    assert "raydp_ml itself is not installed" in checks["python"]["found"]
    assert_not_tried(checks, ", ".join([*needed, "Ray cluster"]))


def test_no_java(tmp_path):
    status, checks = doctor(PATH=str(tmp_path), JAVA_HOME=None)
    assert (status, failures(checks)) == (1, ["java"])
    assert checks["java"]["found"].startswith("No Java was found")
    assert REMEDY in checks["java"]["remedy"]
    assert_not_tried(checks, "java")
    assert checks["memory"]["status"] != "skipped", "the others are made"


def test_java_11(tmp_path):
    # A program that says what such a Java says stands in for one.
    program = tmp_path / "bin" / "java"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    program.chmod(0o755)
    status, checks = doctor(JAVA_HOME=str(tmp_path))
    assert (status, failures(checks)) == (1, ["java"])
    assert checks["java"]["found"].startswith(f"Java 11, found through JAVA_HOME='{tmp_path}'")
    assert REMEDY in checks["java"]["remedy"]
    assert_not_tried(checks, "java")


def test_a_java_without_the_vector_module(tmp_path):
    program = tmp_path / "bin" / "java"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\nif [ $1 = --list-modules ]; then echo java.base@17; exit; fi\n"
        "echo 'openjdk version \"17.0.2\" 2022-01-18' >&2\n"
    )
    program.chmod(0o755)
    status, checks = doctor("--quick", JAVA_HOME=str(tmp_path))
    assert (status, failures(checks)) == (1, ["java"])
    assert "without the module jdk.incubator.vector" in checks["java"]["found"]


def test_a_missing_jar(tmp_path):
    without = shutil.ignore_patterns("raydp_ml.jar", "__pycache__", "src")
    shutil.copytree(PACKAGE, tmp_path / "raydp_ml", ignore=without)
    status, checks = doctor(PYTHONPATH=str(tmp_path))
    assert (status, failures(checks)) == (1, ["jar"])
    assert checks["jar"]["found"] == f"{tmp_path}/raydp_ml/jvm/raydp_ml.jar is missing"
    assert "pip install" in checks["jar"]["remedy"]
    assert_not_tried(checks, "jar")


@pytest.mark.parametrize(
    ("version", "found", "remedy"),
    [
        ("3.5.9", "3.5.9, and raydp_ml needs <4.4,>=4.0", "pip install 'pyspark<4.4,>=4.0'"),
        (
            "4.3.9",
            "4.3.9, but the jars of {home} are of Spark ['{installed}']",
            "uninstall pyspark",
        ),
    ],
)
def test_a_spark_of_another_version(tmp_path, version, found, remedy):
    """Metadata of another pyspark over the installed one, as two installations leave it."""
    import pyspark

    said = tmp_path / f"pyspark-{version}.dist-info" / "METADATA"
    said.parent.mkdir()
    said.write_text(f"Metadata-Version: 2.1\nName: pyspark\nVersion: {version}\n")
    status, checks = doctor(PYTHONPATH=os.pathsep.join([str(PACKAGE.parent), str(tmp_path)]))
    assert (status, failures(checks)) == (1, ["pyspark"])
    home = Path(pyspark.__file__).parent
    assert checks["pyspark"]["found"] == found.format(home=home, installed=pyspark.__version__)
    assert remedy in checks["pyspark"]["remedy"]
    assert_not_tried(checks, "pyspark")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_small_shared_memory(tmp_path):
    """64 MB, as in a container of Docker's: all works, on disk, and the doctor says so."""
    small = "mount -t tmpfs -o size=64m tmpfs /dev/shm"
    allowed = subprocess.run(["unshare", "-m", "sh", "-c", small], capture_output=True, check=False)
    if allowed.returncode:
        pytest.skip("this user may not mount a file system of its own")
    run = f'{small} && exec "{sys.executable}" -m raydp_ml doctor --json'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", run],
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["/dev/shm"]["status"] == "warning"
    assert checks["/dev/shm"]["found"].startswith("64 MiB free of 64, and Ray wants ")
    assert "--shm-size" in checks["/dev/shm"]["remedy"]
    assert [checks[name]["status"] for name in TRIP] == ["ok"] * len(TRIP)
    # Whoever has not asked the doctor is warned by the session.
    start = "from raydp_ml.session import ray_runtime; ray_runtime.ensure_ray()"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", f'{small} && exec "{sys.executable}" -c "{start}"'],
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert done.stderr.startswith("Ray's object store is a file on disk, as /dev/shm has no more")
    assert done.stderr.count("\n") == 1


@pytest.fixture
def somebody_elses_ray():
    """Start a Ray with a token of its own, as another user would; give its folder."""
    folder = Path(tempfile.mkdtemp(prefix="rt-", dir="/tmp"))  # short, for sockets
    home = folder / "home"
    home.mkdir()
    ray = [sys.executable, "-m", "ray.scripts.scripts"]
    environment = {**os.environ, "HOME": str(home), "RAY_TMPDIR": str(folder)}
    quiet = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([*ray, "get-auth-token", "--generate"], check=True, **quiet)
    start = ["start", "--head", "--block", "--num-cpus=1", "--port=0", "--include-dashboard=false"]
    quiet["env"] = {**environment, "RAY_AUTH_MODE": "token"}
    head = subprocess.Popen([*ray, *start, f"--temp-dir={folder}/ray"], **quiet)
    try:
        deadline = time.monotonic() + 120
        while not (folder / "ray" / "ray_current_cluster").exists():
            assert time.monotonic() < deadline
            assert head.poll() is None
            time.sleep(0.1)
        yield folder
    finally:
        children = psutil.Process(head.pid).children(recursive=True)
        head.terminate()
        head.wait(60)
        psutil.wait_procs(children, timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_a_ray_that_is_someone_elses(somebody_elses_ray, tmp_path):
    folder = somebody_elses_ray
    address = (folder / "ray" / "ray_current_cluster").read_text().strip()
    told = {"RAY_TMPDIR": str(folder), "RAY_AUTH_MODE": None, "RAY_ADDRESS": None}
    status, checks = doctor(HOME=str(tmp_path), **told)
    assert (status, failures(checks)) == (1, ["Ray cluster"])
    assert f"a Ray runs at {address}" in checks["Ray cluster"]["found"]
    assert "it asks for a token, and this process has none" in checks["Ray cluster"]["found"]
    assert "RAY_AUTH_TOKEN_PATH" in checks["Ray cluster"]["remedy"]
    assert "RAY_ADDRESS=local" in checks["Ray cluster"]["remedy"]
    assert_not_tried(checks, "Ray cluster")
    # With its token all is well.
    status, checks = doctor("--quick", HOME=str(folder / "home"), **told)
    assert (status, checks["Ray cluster"]["status"]) == (0, "ok")
    assert "1 node and 1 CPUs" in checks["Ray cluster"]["found"]


def test_a_round_trip_that_takes_too_long_is_ended(tmp_path):
    done = run_python("-m", "raydp_ml", "doctor", "--timeout", "0.4", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "FAILURE  start Ray           did not end within 0.2 s" in done.stdout
    assert "not tried: needs start Ray" in done.stdout


def test_what_follows_a_step_that_fails_is_not_tried(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(PACKAGE.parent))
    monkeypatch.setenv("RAY_ADDRESS", "ray://10.0.0.1:1")  # is refused before anything starts
    first, *others, last = in_process_of_its_own(200)
    assert (first.name, first.status) == ("start Ray", "failure")
    assert first.found.startswith("SessionError: RAY_ADDRESS is 'ray://10.0.0.1:1', a client con")
    assert first.remedy
    assert {check.found for check in others} == {"not tried: needs start Ray"}
    assert (last.name, last.status, last.found) == (STOP, "ok", "nothing is left")


def test_a_live_session_is_used(spark):
    before = spark.sparkContext.applicationId
    diagnosis = diagnose()
    assert diagnosis.ok, str(diagnosis)
    assert {check.name for check in diagnosis.checks} >= set(SETTLED)
    assert not {check.name for check in diagnosis.checks} & {*STARTS, STOP}
    assert "this process is connected" in diagnosis["Ray cluster"].found
    assert spark.sparkContext.applicationId == before
    assert spark.range(3).count() == 3


@pytest.mark.parametrize("timeout", [0, -1, "60", None, True, float("nan")])
def test_a_time_that_is_none(timeout):
    with pytest.raises(ValueError, match="'timeout' parameter of diagnose must be a number of sec"):
        diagnose(timeout=timeout)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["cure"], "invalid choice: 'cure'"),
        (["doctor", "--timeout", "0"], "must be a number above 0, got 0"),
        (["doctor", "--timeout", "soon"], "invalid"),
    ],
)
def test_wrong_arguments(capsys, arguments, text):
    from raydp_ml.__main__ import main

    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert text in capsys.readouterr().err
