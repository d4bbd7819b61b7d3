"""What a person installs: a light import, and a wheel with the jar."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = ["pyspark", "ray", "xgboost", "torch", "pandas", "sklearn", "pyarrow", "numpy"]


def run(*command, cwd=None, timeout=300):
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_import_loads_nothing_heavy():
    loaded = run(sys.executable, "-c", "import sys, raydp_ml; print(*sys.modules)").split()
    assert [name for name in HEAVY if name in loaded] == []


def test_estimators_load_their_libraries_when_they_train():
    modules = "raydp_ml.model_selection, raydp_ml.torch, raydp_ml.xgboost"
    loaded = run(sys.executable, "-c", f"import sys, {modules}; print(*sys.modules)").split()
    assert [name for name in ("optuna", "torch", "xgboost", "pyspark") if name in loaded] == []


@pytest.mark.parametrize(
    "module", ["exchange.block_server", "training.gang.tasks", "training.torch.loop"]
)
def test_an_actor_imports_what_it_uses(module):
    # The first call of a session waits for it, and scikit-learn alone takes a second or more.
    loaded = run(
        sys.executable, "-c", f"import sys, raydp_ml.{module}; print(*sys.modules)"
    ).split()
    assert [name for name in ("pandas", "pyspark", "sklearn", "xgboost") if name in loaded] == []


def test_every_public_name_resolves():
    import raydp_ml

    for name in raydp_ml.__all__:
        assert getattr(raydp_ml, name).__doc__
    assert set(raydp_ml.__all__) <= set(dir(raydp_ml))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = raydp_ml.nothing


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_wheel_works_elsewhere(tmp_path):
    run(
        sys.executable,
        *["-m", "build", "--outdir", tmp_path / "dist"],  # the wheel from the source archive
        cwd=ROOT,
        timeout=800,
    )
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    (source,) = (tmp_path / "dist").glob("*.tar.gz")
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, source)
    with tarfile.open(source) as archive:
        sources = [name.partition("/")[2] for name in archive.getnames()]
    assert {"examples/kubernetes/Dockerfile", "examples/kubernetes/rayjob.yaml"} <= set(sources)
    names = zipfile.ZipFile(wheel).namelist()
    assert "raydp_ml/jvm/raydp_ml.jar" in names
    assert "raydp_ml/py.typed" in names
    assert [name for name in names if name.endswith("licenses/LICENSE")]
    assert not [name for name in names if name.startswith(("tests", "benchmarks", "examples"))]
    assert not [name for name in names if name.endswith(".java")]
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "--no-deps", wheel)
    # The dependencies are borrowed from this environment; the package itself is the wheel's.
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    Path(site, "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    code = (
        "import raydp_ml; from raydp_ml.exchange import jvm; print(raydp_ml.__file__);"
        "spark = raydp_ml.init_spark();"
        "assert jvm.java_object(spark, 'exchange.BlockExport') is not None;"
        "print(raydp_ml.from_spark(spark.range(1000)).to_arrow()['id'].to_pylist()[-1]);"
        "raydp_ml.stop_spark()"
    )
    out = run(python, "-c", code, cwd=tmp_path).split()
    assert out[0].startswith(site)
    assert out[-1] == "999"
