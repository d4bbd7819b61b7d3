"""What a person installs: a light import, layers that point one way, and a wheel with the jar."""

from __future__ import annotations

import ast
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "raydp_ml"
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
    code = "import sys, raydp_ml.torch, raydp_ml.xgboost; print(*sys.modules)"
    loaded = run(sys.executable, "-c", code).split()
    assert [name for name in ("torch", "xgboost", "pyspark") if name in loaded] == []


def test_every_public_name_resolves():
    import raydp_ml

    for name in raydp_ml.__all__:
        assert getattr(raydp_ml, name).__doc__
    assert set(raydp_ml.__all__) <= set(dir(raydp_ml))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = raydp_ml.nothing


def imports_of(path):
    """Modules that a file imports, whether at the top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


LAYERS = ["session", "exchange", "training"]


@pytest.mark.parametrize("layer", LAYERS)
def test_layers_point_one_way(layer):
    """session -> exchange -> training -> estimators: nothing imports upward."""
    allowed = {f"raydp_ml.{name}" for name in [*LAYERS[: LAYERS.index(layer) + 1], "exceptions"]}
    for path in (PACKAGE / layer).rglob("*.py"):
        ours = {
            ".".join(name.split(".")[:2])
            for name in imports_of(path)
            if name.startswith("raydp_ml.")
        }
        assert ours <= allowed, f"{path.relative_to(ROOT)} imports {sorted(ours - allowed)}"


def test_only_the_seams_know_py4j_and_actors():
    for path in PACKAGE.rglob("*.py"):
        layer = path.relative_to(PACKAGE).parts[0]
        names = {name.split(".")[0] for name in imports_of(path)}
        text = path.read_text()
        if layer not in ("session", "exchange"):
            assert "py4j" not in names, path
            assert "._jvm" not in text, path
        if layer not in ("session", "exchange", "training"):
            assert "ray.remote" not in text, path


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_wheel_works_elsewhere(tmp_path):
    run(
        sys.executable,
        *["-m", "build", "--wheel", "--outdir", tmp_path / "dist"],
        cwd=ROOT,
        timeout=800,
    )
    (wheel,) = (tmp_path / "dist").iterdir()
    names = zipfile.ZipFile(wheel).namelist()
    assert "raydp_ml/jvm/raydp_ml.jar" in names
    assert "raydp_ml/py.typed" in names
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
