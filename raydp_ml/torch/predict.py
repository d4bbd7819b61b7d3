"""Predictions of a module on a Spark DataFrame."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from raydp_ml.models.predictor import Predictor, rows_table
from raydp_ml.torch.output import class_shares, module_output
from raydp_ml.training.rows.layout import Layout
from raydp_ml.training.torch.rows import Input, arrays_of, require_finite

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ModulePredictor(Predictor["torch.nn.Module"]):
    """All that a Spark task needs besides the module.

    Attributes
    ----------
    inputs : tuple of Input
        Of the features in the layout.
    one_logit : bool
        As `class_shares` takes it.
    names : dict of str to str
        What the features are called in errors, where that is something else.
    """

    inputs: tuple[Input, ...]
    one_logit: bool = False
    names: dict[str, str] = field(default_factory=dict)

    def load(self, raw: bytes) -> torch.nn.Module:
        """Return the module."""
        import torch
        from pyspark import cloudpickle

        # Spark runs one task per core already.
        torch.set_num_threads(1)
        return cloudpickle.loads(raw)

    def with_layout(self, layout: Layout) -> ModulePredictor:
        """Return a predictor of the same features under other names."""
        pairs = zip(self.layout.features, layout.features, strict=True)
        new = {was.name: feature for was, feature in pairs}
        inputs = tuple(
            Input(item.name, tuple(new[of.name] for of in item.features), item.dtype)
            for item in self.inputs
        )
        names = {feature.name: was for was, feature in new.items()}
        return replace(self, layout=layout, inputs=inputs, names=names)

    def compute(self, model: torch.nn.Module, rows: pa.StructArray) -> np.ndarray:
        """Return values, or the shares of classes."""
        arrays = arrays_of(rows_table(rows), self.inputs)
        require_finite(arrays, self.inputs, True, self.names)
        values = module_output(model, self.inputs, arrays)
        if self.output in {"value", "values"}:
            return values
        return class_shares(values, self.one_logit)
