"""Reads what the logger `raydp_ml` says at INFO."""

from __future__ import annotations

import logging


def facts(caplog, event):
    """Return the names and values of the lines of an event, in their order."""
    lines = [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("raydp_ml.") and record.levelno == logging.INFO
    ]
    said = [line.split(" ") for line in lines]
    found = [dict(word.split("=", 1) for word in words[1:]) for words in said if words[0] == event]
    assert all(float(fact["seconds"]) >= 0 for fact in found)
    return found
