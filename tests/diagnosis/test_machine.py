"""Checks of the machine and of what is installed, in states that are really there."""

from __future__ import annotations

import os
import resource
import socket

import pytest
from ray._private.utils import check_version_info

from raydp_ml.diagnosis import installed, machine, rays


def test_a_folder_for_temporary_files_that_cannot_be_written(monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "missing"))
    check = machine.temporary_files()
    assert check.status == "failure"
    assert f"{tmp_path}/missing cannot be written" in check.found
    assert "Set TMPDIR (and RAY_TMPDIR" in check.remedy


def test_a_folder_too_long_for_sockets(monkeypatch, tmp_path):
    folder = tmp_path / ("x" * 80)
    folder.mkdir()
    monkeypatch.setenv("RAY_TMPDIR", str(folder))
    check = machine.temporary_files()
    assert (check.status, "107 is the most" in check.found) == ("failure", True)
    path = folder / "ray" / "session_2026-11-30_00-00-00_000000_1234567" / "sockets"
    path.mkdir(parents=True)
    with (
        socket.socket(socket.AF_UNIX) as server,
        pytest.raises(OSError, match="AF_UNIX path too long"),
    ):
        server.bind(str(path / "plasma_store"))


def test_few_open_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (800, hard))
    try:
        check = machine.open_files()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (check.status, check.found.startswith("800 (")) == ("warning", True)
    assert "ulimit -n" in check.remedy


def test_fewer_cpus_than_programs_see():
    allowed = os.sched_getaffinity(0)
    if os.cpu_count() == 1:
        pytest.skip("the machine has one CPU")
    os.sched_setaffinity(0, {min(allowed)})
    try:
        check = machine.cpus()
    finally:
        os.sched_setaffinity(0, allowed)
    assert check.found == f"1 of the {os.cpu_count()} that programs see"
    assert "n_jobs=1" in check.remedy


def test_a_token_that_others_can_read(monkeypatch, tmp_path):
    for folder in tmp_path.parents:
        if not folder.stat().st_mode & 0o001 and folder.owner() == tmp_path.owner():
            folder.chmod(folder.stat().st_mode | 0o001)
    tmp_path.chmod(0o755)
    token = tmp_path / "token"
    token.write_text("t" * 32)
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
    token.chmod(0o644)
    check = rays.authentication()
    assert check.status == "warning"
    assert f"chmod 600 {token}" in check.remedy
    assert "tttt" not in str(check)
    token.chmod(0o600)
    assert rays.authentication().status == "ok"
    token.chmod(0o644)
    tmp_path.chmod(0o700)
    assert rays.authentication().status == "ok", "behind a folder that nobody else can enter"


def test_no_authentication(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    check = rays.authentication()
    assert (check.status, "runs code as this user" in check.found) == ("warning", True)


def test_whose_a_port_is():
    if os.getuid() != 0:
        pytest.skip("only root can open a socket as another user")
    os.seteuid(65534)
    try:
        theirs = socket.create_server(("127.0.0.1", 0))
    finally:
        os.seteuid(0)
    with theirs, socket.create_server(("127.0.0.1", 0)) as mine:
        assert rays.owner_of(theirs.getsockname()[1]) == 65534
        assert rays.owner_of(mine.getsockname()[1]) == 0
        free = mine.getsockname()[1]
    assert rays.owner_of(free) is None


def test_an_address_where_nobody_answers(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setattr(rays, "connected", lambda: None)  # of a run with a Ray of its own
    check = rays.cluster()
    assert check.status == "failure"
    assert f"RAY_ADDRESS names a Ray at {address}, where nobody answers" in check.found
    assert "unset RAY_ADDRESS" in check.remedy


def test_a_client_address(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "ray://10.0.0.1:10001")
    monkeypatch.setattr(rays, "connected", lambda: None)
    check = rays.cluster()
    assert (check.status, "ray job submit" in check.remedy) == ("failure", True)


def test_what_ray_says_of_another_version():
    theirs = {"ray_version": "2.9.0", "python_version": "3.8.1"}
    with pytest.raises(RuntimeError) as caught:
        check_version_info(theirs, "10.0.0.1")
    error, remedy = rays._refusal(f"Traceback\nRuntimeError: {caught.value}")
    assert error.startswith("Version mismatch: The cluster was started with: Ray: 2.9.0; Python: 3")
    assert remedy.startswith("Use the cluster's versions")


def test_a_jar_that_is_none(monkeypatch, tmp_path):
    broken = tmp_path / "raydp_ml.jar"
    monkeypatch.setattr("raydp_ml.session.class_path.JAR", broken)
    broken.write_bytes(b"no archive")
    check = installed.jar()
    assert (check.status, f"{broken} cannot be read" in check.found) == ("failure", True)


def test_loopback_and_host_name_answer():
    assert machine.loopback().status == "ok"
    assert machine.host_name().status in {"ok", "warning"}
