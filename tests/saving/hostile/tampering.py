"""Files of saved folders, changed: at a place of one's own choice, or anywhere at random."""

from __future__ import annotations

import copy
import json
import shutil
import struct

import numpy as np

from raydp_ml.saving.ubjson import read_ubjson

_MARKERS = {"|i1": "i", "|u1": "U", ">i2": "I", ">i4": "l", ">i8": "L", ">f4": "d", ">f8": "D"}


def written_ubjson(value):
    """Write what `read_ubjson` reads, as XGBoost does."""
    if value is None or isinstance(value, bool):
        return {None: b"Z", True: b"T", False: b"F"}[value]
    if isinstance(value, str):
        return b"S" + _text(value)
    if isinstance(value, int):
        value = max(-(1 << 63), min(value, (1 << 63) - 1))
        small = -128 <= value < 128
        return struct.pack(">cb", b"i", value) if small else struct.pack(">cq", b"L", value)
    if isinstance(value, float):
        return b"d" + np.float32(value).astype(">f4").tobytes()
    if isinstance(value, bytes):  # as it is
        return value
    if isinstance(value, np.ndarray):
        marker = _MARKERS[value.dtype.newbyteorder(">").str]
        head = b"[$" + marker.encode() + b"#L" + struct.pack(">q", len(value))
        return head + value.astype(value.dtype.newbyteorder(">")).tobytes()
    if isinstance(value, list):
        return b"[#L" + struct.pack(">q", len(value)) + b"".join(map(written_ubjson, value))
    return b"{" + b"".join(_text(k) + written_ubjson(v) for k, v in value.items()) + b"}"


def _text(value):
    data = value.encode()
    return b"L" + struct.pack(">q", len(data)) + data


def places(value, path=()):
    """List the paths to all values within one."""
    yield path
    inner = value.items() if isinstance(value, dict) else ()
    if isinstance(value, (list, np.ndarray)):
        inner = enumerate(value)
    for key, item in inner:
        yield from places(item, (*path, key))


def at(value, path):
    for key in path:
        value = value[key]
    return value


def changed(value, path, new):
    """Return a copy with another value at a path; ``...`` takes it away."""
    if not path:
        return new
    value = value.copy() if isinstance(value, np.ndarray) else copy.deepcopy(value)
    if isinstance(value, np.ndarray):
        if new is ...:
            return np.delete(value, path[0])
        value[path[0]] = new
        return value
    holder = at(value, path[:-1])
    if isinstance(holder, np.ndarray):
        return changed(value, path[:-1], changed(holder, path[-1:], new))
    if new is ...:
        del holder[path[-1]]
    else:
        holder[path[-1]] = new
    return value


def edit_json(folder, path, new, file="estimator.json"):
    text = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(changed(text, path, new)))


def edit_booster(folder, path, new):
    model = read_ubjson((folder / "model.ubj").read_bytes())
    (folder / "model.ubj").write_bytes(written_ubjson(changed(model, path, new)))


NASTY = [
    None, True, False, 0, 1, -1, 2, 3, 7, 255, 4096, 65535, 1 << 24, (1 << 31) - 1, 1 << 31,
    -(1 << 31), (1 << 63) - 1, 10**30, 0.0, -0.5, 1e30, 1e308, "", "0", "1", "-1", "3", "nan",
    "2147483647", "99999999999", "[1,2,3]", "[]", "x" * 1000, "__class__", "a", "gbtree", "dart",
    "gblinear", "multi:softprob", "reg:squarederror", "binary:logistic", "rank:ndcg",
    "reg:quantileerror",
    [], {}, [0], [[]], [1, 2, 3], ["a"], {"a": 1}, [0] * 1000,
    {"$float": "nan"}, {"$float": "inf"}, {"$tuple": []}, {"$tuple": [1, 2]}, {"$dict": []},
    {"$array": [], "dtype": "float64", "shape": [0]},
    {"$array": [1, 2], "dtype": "int64", "shape": [2]},
    {"$array": [1, 2], "dtype": "int64", "shape": [1, 2]},
    {"$array": ["a", "b"], "dtype": "object", "shape": [2]},
    {"$array": [1e300, {"$float": "nan"}, -1], "dtype": "float64", "shape": [3]},
    {"$array": [0, 0], "dtype": "float64", "shape": [0, 1 << 30]},
    {"$array": ["a"], "dtype": "<U99999999", "shape": [1]},
    {"$scalar": {"$array": [1 << 60], "dtype": "int64", "shape": []}},
    {"$decimal": "1e999999"}, {"$slice": [0, None, None]}, {"$ufunc": "add"}, {"$type": "float64"},
    {"$dtype": "float32"}, {"$function": "sklearn.feature_selection.chi2"},
    {"$estimator": "raydp_ml.preprocessing.StandardScaler", "params": {}, "state": {}},
]  # fmt: skip


def anywhere(rng, folder, others):
    """Change one of the files of a folder at random, in one of many ways; return what was done."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    file = files[rng.integers(len(files))]
    way = rng.choice(["value", "value", "value", "value", "bytes", "cut", "splice", "swap"])
    if way == "value":
        try:
            return f"{file.name}: {_value(rng, file)}"
        except ValueError:  # what was tampered with before is no document any more
            way = "bytes"
    data = bytearray(file.read_bytes() or b"0")
    if way == "bytes":
        for place in rng.integers(len(data), size=rng.integers(1, 6)):
            data[place] = rng.integers(256)
    elif way == "cut":
        del data[rng.integers(len(data)) :]
    elif way == "splice":
        start, end = np.sort(rng.integers(len(data), size=2))
        to = rng.integers(len(data))
        data[to:to] = data[start:end]
    else:
        same = [path for path in others if path.name == file.name]
        shutil.copy(same[rng.integers(len(same))], file)
        return f"{file.name}: swapped"
    file.write_bytes(bytes(data))
    return f"{file.name}: {way}"


def _value(rng, file):
    if file.suffix == ".safetensors":
        data = file.read_bytes()
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        text = json.dumps(_tampered(rng, header)[0]).encode()
        file.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
        return "header"
    if file.suffix == ".json":
        made, said = _tampered(rng, json.loads(file.read_text()))
        file.write_text(json.dumps(made))
        return said
    made, said = _tampered(rng, read_ubjson(file.read_bytes()))
    try:
        file.write_bytes(written_ubjson(made))
    except (KeyError, TypeError, AttributeError, OverflowError):  # what UBJSON has not
        return "as it was"
    return said


def _tampered(rng, value):
    """Change a few values of a document: to others, to those of other places, or to nothing."""
    said = []
    for _ in range(rng.integers(1, 4)):
        known = list(places(value))
        path = known[rng.integers(len(known))]
        if not path:
            continue
        held = at(value, path)
        inside_array = isinstance(at(value, path[:-1]), np.ndarray)
        pick = rng.random()
        if isinstance(held, np.ndarray):
            new = _array(rng, held)
        elif inside_array:
            new = [0, 1, -1, 2, 3, len(known), 2**31 - 1, -(2**31), 77][rng.integers(9)]
            kind = np.iinfo(held.dtype) if held.dtype.kind in "iu" else None
            new = new if kind is None else int(np.clip(new, kind.min, kind.max))
        elif pick < 0.15:
            new = ...
        elif pick < 0.4:
            new = copy.deepcopy(at(value, known[rng.integers(len(known))]))
        else:
            new = copy.deepcopy(NASTY[rng.integers(len(NASTY))])
            if isinstance(held, int) and rng.random() < 0.5:
                new = held + int(rng.integers(-2, 3))
            elif isinstance(held, str) and held.isdigit() and rng.random() < 0.7:
                new = str(max(0, int(held) + int(rng.choice([-1, 1, 2, 1000, 10**8]))))
        try:
            value = changed(value, path, new)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError):
            continue
        said.append(f"{'/'.join(map(str, path))} = {str(new)[:80]}")
    return value, "; ".join(said)


def _array(rng, held):
    way = rng.integers(7)
    if way == 0:
        return held[: rng.integers(len(held) + 1)]
    if way == 1:
        return np.concatenate([held, held])
    if way == 2:
        return held[::-1]
    if way == 3:
        return held.astype(rng.choice(list(_MARKERS)))
    if way == 4:
        return rng.permutation(held)
    if way == 5 and held.dtype.kind in "iu" and len(held):
        return np.full_like(held, rng.choice([0, 1, np.iinfo(held.dtype).max]))
    return (held + 1).astype(held.dtype)
