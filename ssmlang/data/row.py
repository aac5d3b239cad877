"""One row of data given by name: what a stream takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ssmlang.data.sources import TIME_NAMES
from ssmlang.data.steps import bad_step
from ssmlang.data.support import check_support
from ssmlang.data.values import to_codes
from ssmlang.language.diagnostics import Diagnostic, SsmError
from ssmlang.language.suggest import suggest
from ssmlang.model.model import Model, Observation, Values, Variable


class RowReader:
    """Reads rows in a model's terms: a value for each variable, or for each entry (`fix[east]`)."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.variables: dict[str, Variable] = {**model.observations, **model.inputs}
        self.continuous = bool(model.differentials)
        self.entries = {
            entry: (name, i) for name, v in self.variables.items() if v.shape for i, entry in enumerate(v.entry_names())
        }

    def read(self, row: Any) -> dict[str, np.ndarray]:
        """Every observation and input in its own shape; what is absent or None is NaN.

        Raises E402 for what is no dict, E415 for a name that the model does not have, E403 for a wrong shape, E404 for
        what is no number, E405 for what is infinite, E406 for what an observation cannot be.
        """
        if hasattr(row, "to_dict") and hasattr(row, "index"):  # a pandas Series: what `frame.iterrows()` gives
            row = row.to_dict()
        elif hasattr(row, "_asdict"):  # a named tuple: what `frame.itertuples()` gives
            row = {name: value for name, value in row._asdict().items() if name != "Index"}
        if not isinstance(row, Mapping):
            raise SsmError(Diagnostic("E402", f"a row of type `{type(row).__name__}` has no names",
                                      help=('give the values by name: {"y": 0.3}',)))  # fmt: skip
        found = {name: np.full(v.shape, np.nan) for name, v in self.variables.items()}
        for key, value in row.items():
            if key in self.variables:
                found[key] = self._value(key, value)
            elif key in self.entries:
                name, at = self.entries[key]
                found[name].reshape(-1)[at] = self._one(name, value, key)
            else:
                raise SsmError(self._unknown(str(key)))
        for name, value in found.items():
            if np.isinf(value).any():
                raise SsmError(Diagnostic("E405", f"`{name}` is infinite", help=("a missing value is NaN or absent",)))
        if self.continuous and "dt" in found and (found["dt"] < 0).any():
            raise SsmError(bad_step(float(found["dt"].min()), "in this row"))
        check_support(self.model, {name: found[name][None] for name in self.model.observations}, lambda _: "this row")
        return found

    def _value(self, name: str, value: Any) -> np.ndarray:
        variable = self.variables[name]
        if value is None:
            return np.full(variable.shape, np.nan)
        if isinstance(value, Mapping):
            return self._labelled(name, value)
        if not variable.shape:
            return np.array(self._one(name, value, name))
        array = np.asarray(value)
        if _values(variable) is not None and array.shape == variable.shape:
            return np.array([self._one(name, v, name) for v in array.reshape(-1)], float).reshape(array.shape)
        if array.dtype.kind not in "fiuO" or array.dtype.kind == "O":
            flat = [_number(name, v) for v in array.reshape(-1)]
            array = np.array(flat, float).reshape(array.shape)
        if array.shape != variable.shape:
            raise SsmError(_shape(name, array.shape, variable.shape))
        return array.astype(float)  # a copy

    def _labelled(self, name: str, value: Mapping[Any, Any]) -> np.ndarray:
        """A vector as a dict by label."""
        variable = self.variables[name]
        if len(variable.shape) != 1:
            raise SsmError(Diagnostic("E403", f"`{name}` is no vector, so that a dict by label does not give it"))
        axis = variable.axes[0]
        labels = list(axis.labels) if axis is not None else list(range(variable.shape[0]))
        out = np.full(variable.shape, np.nan)
        for label, number in value.items():
            if label not in labels:
                known = ", ".join(str(x) for x in labels)
                raise SsmError(Diagnostic("E415", f"`{name}` has no entry {label!r}", help=(f"one of {known}",)))
            out[labels.index(label)] = self._one(name, number, name)
        return out

    def _one(self, name: str, value: Any, key: str) -> float:
        """A number; of a discrete observation its position or integer. Raises E406 for a value that is none of them."""
        values = _values(self.variables[name])
        if values is None or value is None:
            return _number(key, value)
        if np.ndim(value) > 0:
            raise SsmError(_shape(key, np.shape(value), ()))
        return float(to_codes(np.asarray([value], object), key, values, lambda _: "this row")[0])

    def _unknown(self, key: str) -> Diagnostic:
        if key.lower() in TIME_NAMES:
            mend = "`dt` is the time since the row before" if "dt" in self.variables else "rows are counted 0, 1, ..."
            return Diagnostic("E415", f"a row has no `{key}`", help=(f"leave it out: {mend}",))
        names = [*self.variables, *self.entries]
        close = suggest(key, names)
        known = ", ".join(f"`{n}`" for n in self.variables)
        help = (f"did you mean `{close}`?",) if close else (f"a row may have {known}",)
        return Diagnostic("E415", f"the model has no observation and no input `{key}`", help=help)


def _values(variable: Variable) -> Values | None:
    return variable.values if isinstance(variable, Observation) else None


def _number(name: str, value: Any) -> float:
    if value is None:
        return float("nan")
    kind = np.asarray(value).dtype.kind
    if np.ndim(value) > 0:
        raise SsmError(_shape(name, np.shape(value), ()))
    if kind not in "fiu":
        raise SsmError(Diagnostic("E404", f"`{name}` is {value!r}, which is not a number",
                                  help=("a missing value is NaN, None or absent",)))  # fmt: skip
    return float(value)


def _shape(name: str, got: tuple[int, ...], wanted: tuple[int, ...]) -> Diagnostic:
    said = "a number" if wanted == () else f"of shape {wanted}"
    return Diagnostic("E403", f"`{name}` has shape {got} in this row, and is {said}")
