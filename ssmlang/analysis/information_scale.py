"""The unconstrained scale of a parameter's entries, where it is one function of each entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ssmlang.analysis.values import Unreadable, evaluate
from ssmlang.model.model import Parameter

Array = np.ndarray


@dataclass(frozen=True)
class Scale:
    """Identity on the whole line, log beyond one end, logit between two; the identity for entries that are bound to
    each other (stationary coefficients, a simplex, correlations)."""

    parameter: Parameter

    def ends(self, params: Mapping[str, Array], entry: int) -> tuple[float, float]:
        """The support's ends at other parameters' values."""
        p = self.parameter
        if p.support.kind not in ("real", "interval"):
            return -np.inf, np.inf
        found = []
        for node, otherwise in ((p.support.lower, -np.inf), (p.support.upper, np.inf)):
            try:
                value = np.broadcast_to(evaluate(node, params), p.shape) if node is not None else None
            except Unreadable:
                value = None
            found.append(otherwise if value is None else float(value.reshape(-1)[entry]))
        return found[0], found[1]

    @staticmethod
    def apply(value: float, low: float, high: float) -> float:
        with np.errstate(all="ignore"):
            if np.isfinite(low) and np.isfinite(high):
                return float(np.log(value - low) - np.log(high - value))
            if np.isfinite(low):
                return float(np.log(value - low))
            return float(-np.log(high - value)) if np.isfinite(high) else value

    @staticmethod
    def slope(value: float, low: float, high: float) -> float:
        """How fast the value moves with its unconstrained one."""
        if np.isfinite(low) and np.isfinite(high):
            return (value - low) * (high - value) / (high - low)
        if np.isfinite(low):
            return value - low
        return high - value if np.isfinite(high) else 1.0


def scale_of(p: Parameter) -> Scale:
    return Scale(p)
