"""scikit-learn's own tests, as they are installed, with our classes in the place of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import sklearn

from tests.upstream.sklearn_classes import FILES, IN_MEMORY

ROOT = Path(__file__).parents[2]
TESTS = Path(sklearn.__file__).parent
LISTED = "1.9.1"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sklearn.__version__ != LISTED,
        reason=f"the expected failures are those of scikit-learn {LISTED}'s tests",
    ),
]


def run(plugin, files=FILES, *options):
    """Run upstream's tests in a process of their own; return what pytest prints."""
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider"]
    # Nothing of upstream's own configuration is installed, and ours is not for its tests.
    command += ["-c", os.devnull, "--rootdir", str(TESTS), "-p", f"tests.upstream.{plugin}"]
    command += [*options, *(str(TESTS / name) for name in files)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTEST_ADDOPTS": ""}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-20_000:]
    return done.stdout


@pytest.mark.timeout(1200)
def test_sklearn_in_memory():
    assert " passed" in run("sklearn_in_memory", IN_MEMORY)


# Each group with the number of its tests that use Spark at least: in memory all would pass.
USING_SPARK = {
    "encoders": (
        340,
        "preprocessing/tests/test_common.py",
        "preprocessing/tests/test_discretization.py",
        "preprocessing/tests/test_encoders.py",
        "preprocessing/tests/test_function_transformer.py",
        "preprocessing/tests/test_label.py",
        "preprocessing/tests/test_target_encoder.py",
    ),
    "imputers and selectors": (
        160,
        "feature_selection/tests/test_chi2.py",
        "feature_selection/tests/test_feature_select.py",
        "feature_selection/tests/test_variance_threshold.py",
        "impute/tests/test_common.py",
        "impute/tests/test_impute.py",
    ),
    "texts": (80, "feature_extraction/tests/test_text.py"),
    "side by side": (
        160,
        "compose/tests/test_column_transformer.py",
        "tests/test_pipeline.py",
    ),
    "scalers": (330, "preprocessing/tests/test_data.py"),
    "polynomials": (320, "preprocessing/tests/test_polynomial.py"),
    "components": (
        100,
        "decomposition/tests/test_pca.py",
        "decomposition/tests/test_truncated_svd.py",
    ),
}


def test_every_file_is_in_a_group():
    assert sorted(file for _, *files in USING_SPARK.values() for file in files) == sorted(FILES)


# What has nothing to do with our classes, and what takes minutes there: hundreds of fits, 50,000
# rows that the driver sends, covariances of 300 columns, wide sparse matrices in memory.
LEFT_OUT = [
    "iterative",
    "test_pca_sparse",
    "test_pca_svd_solver_auto",
    "test_polynomial_features_csr_X_degree_4",
    "test_quantile_transform_subsampling",
    "test_select_fdr_regression",
    "test_standard_scaler_transform_with_partial_fit",
    "test_target_encoding_for_linear_regression",
]


@pytest.mark.timeout(2400)
@pytest.mark.parametrize("group", USING_SPARK)
def test_sklearn_on_spark(group):
    least, *files = USING_SPARK[group]
    left_out = " and ".join(f"not {test}" for test in LEFT_OUT)
    printed = run("sklearn_on_spark", files, "-k", left_out)
    assert int(re.search(r"(\d+) tests used Spark", printed)[1]) >= least
