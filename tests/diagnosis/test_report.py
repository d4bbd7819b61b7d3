"""How a diagnosis is shown, and what it comes to."""

from __future__ import annotations

import json

import pytest

from raydp_ml.diagnosis import Check, Diagnosis

FINE = Check("memory", "ok", "plenty", seconds=1.25)
SLOW = Check("/dev/shm", "warning", "64 MiB", "mount <more>")
BROKEN = Check("java", "failure", "none", "install one")
LEFT = Check("start Spark", "skipped", "not tried: needs java")


def test_warnings_are_allowed_and_failures_are_not():
    assert Diagnosis((FINE, SLOW, LEFT)).ok
    assert not Diagnosis((FINE, BROKEN)).ok


def test_the_table_has_a_line_for_each_check_and_what_to_do():
    assert str(Diagnosis((FINE, SLOW, BROKEN, LEFT))).splitlines() == [
        "ok       memory              plenty (1.2 s)",
        "warning  /dev/shm            64 MiB",
        "                             -> mount <more>",
        "FAILURE  java                none",
        "                             -> install one",
        "skipped  start Spark         not tried: needs java",
        "Failed: java (1 with warnings, 1 not tried).",
    ]
    assert Diagnosis((FINE,)).summary() == "All is well."


def test_checks_are_found_by_name():
    diagnosis = Diagnosis((FINE, BROKEN))
    assert diagnosis["java"] is BROKEN
    with pytest.raises(KeyError, match=r"no check 'jar'; there are \['memory', 'java'\]"):
        diagnosis["jar"]


def test_as_plain_values_and_as_html():
    diagnosis = Diagnosis((SLOW,))
    assert json.loads(json.dumps(diagnosis.to_dict())) == {
        "ok": True,
        "checks": [
            {
                "name": "/dev/shm",
                "status": "warning",
                "found": "64 MiB",
                "remedy": "mount <more>",
                "seconds": None,
            }
        ],
    }
    assert "<td>mount &lt;more&gt;</td>" in diagnosis._repr_html_()
