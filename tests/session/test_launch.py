"""Files and environments for Spark's JVMs."""

from __future__ import annotations

import os
import stat

from raydp_ml.session.launch import patched_environment, to_properties, write_private


def test_properties_are_escaped():
    text = to_properties({"spark.a:b": "x=1: y#2", "spark.c": " \\two\nlines\t"})
    assert text == "spark.a\\:b=x=1: y#2\nspark.c=\\ \\\\two\\nlines\\t\n"


def test_a_private_file_is_readable_by_its_owner_only(tmp_path):
    write_private(tmp_path / "secret", "x")
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def test_the_environment_is_put_back(monkeypatch):
    monkeypatch.setenv("RAYDP_ML_A", "1")
    monkeypatch.delenv("RAYDP_ML_B", raising=False)
    with patched_environment({"RAYDP_ML_A": None, "RAYDP_ML_B": "2"}):
        assert "RAYDP_ML_A" not in os.environ
        assert os.environ["RAYDP_ML_B"] == "2"
    assert os.environ["RAYDP_ML_A"] == "1"
    assert "RAYDP_ML_B" not in os.environ
