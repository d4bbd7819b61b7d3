"""``raydp_ml.diagnose()`` and ``python -m raydp_ml doctor``: what is missing, and what to do."""

from __future__ import annotations

from raydp_ml.diagnosis.checks import diagnose
from raydp_ml.diagnosis.report import Check, Diagnosis

__all__ = ["Check", "Diagnosis", "diagnose"]
