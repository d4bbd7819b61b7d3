"""scikit-learn's calibrators as plain values, and back."""

from __future__ import annotations

from typing import Any

import sklearn

# Private: the kinds of calibrators.
from sklearn.calibration import _SigmoidCalibration, _TemperatureScaling
from sklearn.isotonic import IsotonicRegression

_KINDS = {
    "isotonic": IsotonicRegression,
    "sigmoid": _SigmoidCalibration,
    "temperature": _TemperatureScaling,
}
_VERSION = "_sklearn_version"


def saved_calibrator(calibrator: Any) -> dict[str, Any]:
    """Return what pickling would keep, numbers and arrays all of it."""
    return {key: value for key, value in calibrator.__getstate__().items() if key != _VERSION}


def restored_calibrator(method: str, state: dict[str, Any]) -> Any:
    """Return the calibrator of that state."""
    made = _KINDS[method]()
    made.__setstate__({**state, _VERSION: sklearn.__version__})
    return made
