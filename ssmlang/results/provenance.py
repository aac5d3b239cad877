"""Where a result comes from: attributes that a NetCDF file can hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from ssmlang.model.contents import KEPT_NUMBERS, Contents, contents_of

_PACKAGES = ("ssmlang", "jax", "numpyro")


@lru_cache(maxsize=64)
def source_hash(text: str) -> str:
    """The first 16 hexadecimal digits of SHA-256 of a model's text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def provenance(*, model: str, source: str = "", engine: str = "", **more: Any) -> dict[str, Any]:
    """Attributes of a result: model's name and hash, engine, versions, and whatever else the caller adds."""
    attrs: dict[str, Any] = {"model": model, **({"engine": engine} if engine else {})}
    if source:
        attrs["model_hash"] = source_hash(source)
    return plain({**attrs, **_versions(), **more})


def noted(bounds: Sequence[Any]) -> dict[str, str]:
    """What was noted as data were read, as the attribute `notes`: rows inserted for gaps, times that were not used."""
    said = ["; ".join((note.message, *note.why, *note.help)) for bound in bounds for note in bound.notes]
    return {"notes": ". ".join(dict.fromkeys(said))} if said else {}


@cache
def _versions() -> dict[str, str]:
    """Versions of what made a result; read once, for the metadata are files."""
    found = {}
    for package in _PACKAGES:
        try:
            found[f"{package}_version"] = version(package)
        except PackageNotFoundError:  # a source tree that was never installed
            continue
    return found


def of_parameters(values: Mapping[str, Any]) -> dict[str, str]:
    """Parameter values as the attribute `params`; the text for values met lately is not made again."""
    contents: Contents | None = getattr(values, "contents", None)
    if contents is None:
        arrays = {name: np.asarray(value, float) for name, value in values.items()}
        contents = contents_of(arrays)
        if sum(a.size for a in arrays.values()) > KEPT_NUMBERS:
            return {"params": _text(contents)}
    return {"params": _lately(contents)}


def _text(contents: Contents) -> str:
    return _JSON.encode({name: np.frombuffer(raw).reshape(shape).tolist() for name, shape, raw in contents})


_lately = lru_cache(maxsize=8)(_text)


def plain(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Attributes as text and numbers alone: what is nested becomes JSON, None is left out."""
    out: dict[str, Any] = {}
    for key, value in attrs.items():
        if value is None:
            continue
        key = str(key)
        if isinstance(value, bool | np.bool_):
            out[key] = int(value)
        elif isinstance(value, str | int | float | np.number):
            out[key] = value
        else:
            out[key] = _JSON.encode(value)
    return out


def _jsonable(value: Any) -> Any:
    return np.asarray(value).tolist()


_JSON = json.JSONEncoder(default=_jsonable)
