"""scikit-learn-compatible machine learning for data that lives in Spark.

Nothing heavy is imported here: each public name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raydp_ml.bars import progress_bars
    from raydp_ml.conversion.onnx_graphs import to_onnx
    from raydp_ml.conversion.sklearn_objects import to_sklearn
    from raydp_ml.diagnosis import diagnose
    from raydp_ml.exchange import Blocks, from_spark, to_spark
    from raydp_ml.roles import set_roles
    from raydp_ml.saving.folders import load, save
    from raydp_ml.session import init_spark, spark_session, stop_spark
    from raydp_ml.transformers.spark_stage import spark_transformer

__version__ = "0.2.0"

_NAMES = {
    "Blocks": "raydp_ml.exchange",
    "diagnose": "raydp_ml.diagnosis",
    "from_spark": "raydp_ml.exchange",
    "to_spark": "raydp_ml.exchange",
    "init_spark": "raydp_ml.session",
    "spark_session": "raydp_ml.session",
    "stop_spark": "raydp_ml.session",
    "progress_bars": "raydp_ml.bars",
    "set_roles": "raydp_ml.roles",
    "load": "raydp_ml.saving.folders",
    "save": "raydp_ml.saving.folders",
    "spark_transformer": "raydp_ml.transformers.spark_stage",
    "to_onnx": "raydp_ml.conversion.onnx_graphs",
    "to_sklearn": "raydp_ml.conversion.sklearn_objects",
}
_SUBMODULES = (
    "calibration",
    "compose",
    "datasets",
    "decomposition",
    "diagnosis",
    "exceptions",
    "exchange",
    "feature_extraction",
    "feature_selection",
    "impute",
    "inspection",
    "metrics",
    "mlflow",
    "model_selection",
    "pipeline",
    "preprocessing",
    "serve",
    "session",
    "sql",
    "torch",
    "xgboost",
)

_OF_EXTRAS = ("mlflow", "serve")

__all__ = [
    "Blocks",
    "diagnose",
    "from_spark",
    "init_spark",
    "load",
    "progress_bars",
    "save",
    "set_roles",
    "spark_session",
    "spark_transformer",
    "stop_spark",
    "to_onnx",
    "to_sklearn",
    "to_spark",
]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        value = getattr(importlib.import_module(_NAMES[name]), name)
        globals()[name] = value
        return value
    if name in _SUBMODULES:
        return importlib.import_module(f"raydp_ml.{name}")
    raise AttributeError(f"module 'raydp_ml' has no attribute {name!r}")


def __dir__() -> list[str]:
    # Whoever looks at all names imports what they stand for, and extras may not be installed.
    installed = {name for name in _SUBMODULES if name not in _OF_EXTRAS}
    return sorted({*globals(), *_NAMES, *installed})
