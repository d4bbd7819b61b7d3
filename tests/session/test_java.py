"""Which Java is taken, and the one clear error where there is none that will do."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap

import pytest

from raydp_ml.exceptions import SessionError
from raydp_ml.session.java import find_java, parse_version

REMEDY = r"version 17 or newer: install one .* or set JAVA_HOME to its folder\."


@pytest.fixture
def fake_java(tmp_path):
    """Make a folder like a Java installation, whose `java` prints and exits as told."""

    def make(output, status=0, name="jdk"):
        home = tmp_path / name
        (home / "bin").mkdir(parents=True)
        program = home / "bin" / "java"
        program.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{output}\nEND\nexit {status}\n")
        program.chmod(0o755)
        return home

    return make


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_402"', 8),
        ('openjdk version "21" 2023-09-19', 21),
        ('openjdk version "24-ea" 2025-03-18', 24),
        ('Picked up JAVA_TOOL_OPTIONS: -Dversion=3\nopenjdk version "11.0.2"', 11),
        ("no such thing", None),
    ],
)
def test_versions_are_read(output, version):
    assert parse_version(output) == version


def test_java_home_goes_before_path(fake_java, monkeypatch):
    home = fake_java('openjdk version "21.0.1"')
    other = fake_java('openjdk version "17.0.1"', name="other")
    monkeypatch.setenv("JAVA_HOME", str(home))
    monkeypatch.setenv("PATH", str(other / "bin"), prepend=":")
    java = find_java()
    assert (java.version, java.home) == (21, str(home))


def test_path_is_searched_without_java_home(fake_java, monkeypatch):
    home = fake_java('openjdk version "17.0.1"')
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(home / "bin"), prepend=":")
    java = find_java()
    assert (java.version, java.executable) == (17, str(home / "bin" / "java"))
    assert java.home is None


def test_no_java(monkeypatch, tmp_path):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SessionError, match=f"No Java was found: .*{REMEDY}"):
        find_java()


def test_a_broken_java_home_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(
        SessionError, match=rf"JAVA_HOME is '{tmp_path}', but there is no program .*{REMEDY}"
    ):
        find_java()


def test_too_old(fake_java, monkeypatch):
    home = fake_java('openjdk version "11.0.22" 2024-01-16')
    monkeypatch.setenv("JAVA_HOME", str(home))
    with pytest.raises(
        SessionError, match=rf"Java 11, found through JAVA_HOME='{home}' .* is too old\. .*{REMEDY}"
    ):
        find_java()


@pytest.mark.parametrize(
    ("output", "status"), [("Error: could not create the JVM", 1), ("hello", 0), ("", 0)]
)
def test_a_java_that_does_not_answer(fake_java, monkeypatch, output, status):
    monkeypatch.setenv("JAVA_HOME", str(fake_java(output, status)))
    with pytest.raises(SessionError, match=r"did not answer with a version .*exit status"):
        find_java()


def test_init_spark_raises_only_this_error(fake_java):
    program = """
        import sys
        import raydp_ml
        raydp_ml.init_spark()
    """
    home = fake_java('java version "1.8.0_402"')
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={"JAVA_HOME": str(home), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.count("Traceback") == 1
    assert "py4j" not in result.stderr
    assert re.search(rf"SessionError: Java 8, .*{REMEDY}", result.stderr)
