"""The default network: a multilayer perceptron with embeddings for categories."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "logistic": nn.Sigmoid,
    "identity": nn.Identity,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU,
}


def embedding_width(categories: int) -> int:
    """Return the width of an embedding: 1.6 * n ** 0.56, at most 600.

    The rule of thumb of the library fastai (Howard and Gugger, Information 11, 2020).
    """
    width: float = 1.6 * categories**0.56
    return min(600, round(width))


class MLP(nn.Module):
    """Linear layers with an activation between them.

    Parameters
    ----------
    n_features : int
        Numbers of each row.
    n_outputs : int
    hidden_layer_sizes : sequence of int
    activation : str
        A key of `ACTIVATIONS`.
    dropout : float
        Share of each hidden layer that is dropped in training.
    categories : sequence of int, default=()
        For each category column, how many categories there are. Code 0 stands for an unknown
        category, whose embedding stays zero.
    embedding_dim : int or None, default=None
        Width of every embedding; None for `embedding_width`.

    Notes
    -----
    Weights and biases begin as scikit-learn's MLP estimators have them: uniform within
    sqrt(6 / (fan_in + fan_out)), or sqrt(2 / ...) for the logistic activation (Glorot and Bengio,
    AISTATS 2010).
    """

    def __init__(
        self,
        n_features: int,
        n_outputs: int,
        hidden_layer_sizes: Sequence[int] = (100,),
        activation: str = "relu",
        dropout: float = 0.0,
        categories: Sequence[int] = (),
        embedding_dim: int | None = None,
    ) -> None:
        super().__init__()
        widths = [embedding_dim or embedding_width(count) for count in categories]
        self.embeddings = nn.ModuleList(
            nn.Embedding(count + 1, wide, padding_idx=0)
            for count, wide in zip(categories, widths, strict=True)
        )
        width = n_features + sum(widths)
        layers: list[nn.Module] = []
        for size in hidden_layer_sizes:
            layers += [self._linear(width, size, activation), ACTIVATIONS[activation]()]
            if dropout:
                layers.append(nn.Dropout(dropout))
            width = size
        layers.append(self._linear(width, n_outputs, activation))
        self.layers = nn.Sequential(*layers)

    @staticmethod
    def _linear(inputs: int, outputs: int, activation: str) -> nn.Linear:
        layer = nn.Linear(inputs, outputs)
        bound = math.sqrt((2.0 if activation == "logistic" else 6.0) / (inputs + outputs))
        nn.init.uniform_(layer.weight, -bound, bound)
        nn.init.uniform_(layer.bias, -bound, bound)
        return layer

    def forward(self, X: torch.Tensor, categories: torch.Tensor | None = None) -> torch.Tensor:
        """Return the outputs.

        Parameters
        ----------
        X : Tensor of shape (n, n_features)
        categories : Tensor of shape (n, number of category columns), dtype int64, or None

        Returns
        -------
        Tensor of shape (n, n_outputs)
        """
        if categories is not None:
            parts = [table(categories[:, i]) for i, table in enumerate(self.embeddings)]
            X = torch.cat([X, *parts], dim=1)
        output: torch.Tensor = self.layers(X)
        return output
