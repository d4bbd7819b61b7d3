"""The nodes of an ONNX graph that is being written, and the features that flow through it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx

__all__ = ["Features", "Nodes", "as_labels", "import_onnx"]


def import_onnx() -> Any:
    """Import onnx, or say how to get it."""
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            "to_onnx needs the package onnx. Install it: pip install raydp_ml[onnx]"
        ) from error
    return onnx


class Nodes:
    """The nodes and constants that were added, in order.

    Parameters
    ----------
    taken : iterable of str, default=()
        Names of the graph's inputs, which nothing else may bear.

    Attributes
    ----------
    nodes : list of onnx.NodeProto
    constants : list of onnx.TensorProto
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._taken = frozenset(taken)

    def _free(self, name: str) -> str:
        while name in self._taken:
            name += "_"
        return name

    def add(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output, and return the output's name."""
        from onnx import helper

        name = self._free(f"{kind}_{len(self.nodes)}")
        self.nodes.append(
            helper.make_node(kind, list(inputs), [name], name, domain=domain, **attributes)
        )
        return name

    def constant(self, values: Any) -> str:
        """Add a constant tensor of an array's values, and return its name."""
        from onnx import helper, numpy_helper

        name = self._free(f"constant_{len(self.constants)}")
        array = np.asarray(values)
        if array.dtype.kind in "UO":
            texts = [str(value).encode() for value in array.ravel()]
            string = helper.np_dtype_to_tensor_dtype(np.dtype(object))
            made = helper.make_tensor(name, string, array.shape, texts)  # type: ignore[arg-type]
        else:
            made = numpy_helper.from_array(np.ascontiguousarray(array), name)
        self.constants.append(made)
        return name

    def cast(self, name: str, dtype: Any) -> str:
        """Cast a tensor to a type of NumPy's."""
        from onnx import helper

        return self.add("Cast", name, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def columns(self, name: str, places: Sequence[int] | np.ndarray) -> str:
        """Pick columns of a matrix."""
        return self.add("Gather", name, self.constant(np.array(places, dtype=np.int64)), axis=1)

    def joined(self, names: Sequence[str]) -> str:
        """Put matrices next to each other."""
        return names[0] if len(names) == 1 else self.add("Concat", *names, axis=1)


@dataclass(frozen=True)
class Features:
    """What a step is given: matrices next to each other, of doubles or of strings.

    Attributes
    ----------
    parts : tuple of (str, int, bool)
        For each matrix its name, how many columns it has, and whether these are strings.
    """

    parts: tuple[tuple[str, int, bool], ...]

    @classmethod
    def of(cls, name: str, count: int) -> Features:
        """One matrix of doubles."""
        return cls(((name, count, False),))

    @property
    def count(self) -> int:
        """Number of columns."""
        return sum(count for _, count, _ in self.parts)

    def numbers(self, nodes: Nodes) -> str:
        """Return all columns as one matrix of doubles."""
        return nodes.joined([name for name, count, _ in self.parts if count])

    def picked(self, nodes: Nodes, places: Sequence[int]) -> Features:
        """Return some of the columns, in the order of `places`."""
        owners = [
            (part, place) for part, (_, count, _) in enumerate(self.parts) for place in range(count)
        ]
        if list(places) == list(range(len(owners))):
            return self
        made: list[tuple[str, int, bool]] = []
        chosen = [owners[place] for place in places]
        while chosen:
            part = chosen[0][0]
            run = [place for owner, place in chosen if owner == part]
            if any(owner != part for owner, _ in chosen[: len(run)]):
                run = [chosen[0][1]]
            chosen = chosen[len(run) :]
            name, count, text = self.parts[part]
            whole = run == list(range(count))
            made.append((name if whole else nodes.columns(name, run), len(run), text))
        return Features(tuple(made))

    def beside(self, other: Features) -> Features:
        """Return these columns and then those of another."""
        return Features((*self.parts, *other.parts))


def as_labels(classes: np.ndarray, who: str) -> np.ndarray:
    """Return classes as ONNX holds them: strings, or integers of 64 bits.

    Raises
    ------
    TypeError
        For other labels, such as floats that are no whole numbers.
    """
    if all(isinstance(value, str) for value in classes.tolist()):
        return classes.astype(object)
    try:
        whole = classes.astype(np.int64)
    except (TypeError, ValueError, OverflowError):
        whole = np.zeros(0, dtype=np.int64)
    if np.array_equal(whole, classes):
        return whole
    raise TypeError(
        f"The classes of this {who}, {classes[:5].tolist()}, are neither strings nor whole "
        "numbers, and ONNX knows no others. Train with such labels."
    )
