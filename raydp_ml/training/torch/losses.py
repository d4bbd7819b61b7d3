"""Losses and metrics of rows: sums, so that those of several workers add up."""

from __future__ import annotations

import copy

import numpy as np
import torch

from raydp_ml.exceptions import TrainingError
from raydp_ml.training.torch.spec import TorchSpec


class Loss:
    """The sum of the losses of rows, weighted by their own weights and those of their classes.

    Attributes
    ----------
    spec : TorchSpec
    criterion : callable
        That of `spec`, on the device.
    """

    def __init__(self, spec: TorchSpec, device: torch.device) -> None:
        self.spec = spec
        self.criterion = spec.criterion
        if isinstance(spec.criterion, torch.nn.Module):
            # It may hold tensors, such as weights of classes.
            self.criterion = copy.deepcopy(spec.criterion).to(device)
        self._device = device
        self._on_device: torch.Tensor | None = None
        # What a mean of the losses divides by, by class: weights of the criterion's own are in
        # its losses already.
        self._divisors = _own_class_weights(spec)

    def weigh_classes(self, by_class: np.ndarray | None) -> None:
        """Set the weights of the classes, shape (n_classes,), on top of the criterion's own."""
        if by_class is not None:
            weights = by_class.astype(np.float32)
            self._on_device = torch.from_numpy(weights).to(self._device)
            self._divisors = weights if self._divisors is None else weights * self._divisors

    def divisors(self, target: np.ndarray, weight: np.ndarray | None) -> np.ndarray | None:
        """Return what n rows count in the mean of their losses, shape (n,), or None for ones."""
        if self._divisors is None:
            return weight
        of_class: np.ndarray = self._divisors[target]
        return of_class if weight is None else of_class * weight

    def shaped(self, output: object, rows: int) -> torch.Tensor:
        """Check the module's output, and give it the shape of the target.

        Raises
        ------
        TrainingError
            If the module returned anything else.
        """
        spec = self.spec
        wanted: tuple[int, ...]
        also: tuple[int, ...] | None = None
        if spec.task == "classification" and not spec.one_logit:
            assert spec.classes is not None
            wanted = (rows, len(spec.classes))
        elif spec.n_targets:
            wanted = (rows, spec.n_targets)
        else:
            wanted, also = (rows,), (rows, 1)
        if not isinstance(output, torch.Tensor):
            raise TrainingError(
                f"The module's forward must return a tensor of shape {wanted} for {rows} rows. "
                f"Got {type(output).__name__} instead."
            )
        shape = tuple(output.shape)
        if shape == wanted:
            return output
        if shape == also:
            return output[:, 0]
        what = "n_classes scores" if len(wanted) == 2 and spec.classes is not None else "targets"
        raise TrainingError(
            f"The module returned a tensor of shape {shape} for {rows} rows, and {what} of shape "
            f"{wanted}{f' or {also}' if also else ''} are needed. Check its last layer (a module "
            "class may take the arguments n_features and n_outputs)."
        )

    def rows(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss of each row, shape (n,), or their mean, shape ()."""
        losses = self.criterion(output, target)
        if not isinstance(losses, torch.Tensor):
            raise TrainingError(
                f"The criterion must return a tensor. Got {type(losses).__name__} instead."
            )
        return losses.flatten(1).mean(dim=1) if losses.ndim > 1 else losses

    def total(
        self, output: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None
    ) -> torch.Tensor:
        """Return the weighted sum of the losses of n rows, shape ()."""
        losses = self.rows(output, target)
        if self._on_device is not None:
            of_class = self._on_device[target.long()]
            weight = of_class if weight is None else of_class * weight
        if losses.ndim == 0:
            if weight is not None and not bool((weight == weight[0]).all()):
                raise TrainingError(
                    "The criterion returns one number for all rows, which cannot be weighted. "
                    'Have it return one loss per row, as torch\'s own do with reduction="none".'
                )
            return losses * (len(target) if weight is None else weight.sum())
        return losses.sum() if weight is None else torch.dot(losses, weight.to(losses.dtype))

    def check(self, output: torch.Tensor, target: torch.Tensor) -> None:
        """Raise `TrainingError` for a criterion that does not fit the label."""
        name = getattr(self.spec.criterion, "__name__", type(self.spec.criterion).__name__)
        kind = "TorchClassifier" if self.spec.task == "classification" else "TorchRegressor"
        about = (
            f"The criterion {name} does not fit the label of {kind}, which is "
            f"{str(target.dtype).removeprefix('torch.')} of shape {tuple(target.shape)} for an "
            f"output of shape {tuple(output.shape)}"
        )
        advice = (
            "Take one for numbers (mse, l1, huber, ...), or TorchClassifier for classes."
            if self.spec.task == "regression"
            else "Take one for classes (cross_entropy, nll, ...), or TorchRegressor for numbers."
        )
        try:
            losses = self.rows(output, target)
        except TrainingError:
            raise
        except Exception as error:
            first = str(error).strip().splitlines()
            raise TrainingError(f"{about}: {first[0] if first else ''}. {advice}") from error
        # Torch's own give one loss for each row here, unless they take all rows for one.
        alone = losses.ndim == 0 and getattr(self.spec.criterion, "reduction", "mean") == "none"
        if alone or (losses.ndim == 1 and len(losses) != len(target)):
            raise TrainingError(
                f"{about}: it returned {losses.numel()} losses for {len(target)} rows. {advice}"
            )


def _own_class_weights(spec: TorchSpec) -> np.ndarray | None:
    """Return what a row of each class counts in the criterion's own mean, shape (n_classes,).

    Of torch's losses, these two alone divide by weights rather than by the number of rows, and
    leave out the rows of ``ignore_index`` (their documentation has the formula).
    """
    criterion = spec.criterion
    if spec.classes is None or not isinstance(
        criterion, (torch.nn.CrossEntropyLoss, torch.nn.NLLLoss)
    ):
        return None
    classes = len(spec.classes)
    ignored = 0 <= criterion.ignore_index < classes
    if criterion.weight is None and not ignored:
        return None
    if criterion.weight is not None and criterion.weight.shape != (classes,):
        return None  # `Loss.check` says so, with torch's own words.
    weights = np.ones(classes, np.float32)
    if criterion.weight is not None:
        weights = criterion.weight.detach().cpu().numpy().astype(np.float32)
    if ignored:
        weights[criterion.ignore_index] = 0.0
    return weights


def right_weight(
    spec: TorchSpec, output: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None
) -> torch.Tensor:
    """Return the weights of the rows whose class is right, summed, as float64 of shape ()."""
    right = (output > 0) == (target > 0.5) if spec.one_logit else output.argmax(dim=1) == target
    hits = right.to(torch.float64)
    return hits.sum() if weight is None else (hits * weight).sum()


def residuals(
    output: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None
) -> torch.Tensor:
    """Return the weighted squared residuals of each target, shape (n_targets,), float64."""
    squares = (output.double() - target.double()).square()
    squares = squares if squares.ndim == 2 else squares[:, None]
    return squares.sum(dim=0) if weight is None else weight.double() @ squares
