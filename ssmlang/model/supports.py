"""Which numbers a law can give, whatever its arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from ssmlang.model.distributions import DISTRIBUTIONS
from ssmlang.model.model import Dist, Model


class Support(NamedTuple):
    """`holds`: which of some numbers are possible, not of NaN; `words` goes on from the name of the law."""

    holds: Callable[[np.ndarray], np.ndarray]
    words: str


def within(law: Dist) -> Support | None:
    """The support of a law of numbers each by itself, the ends included where its density need not be zero there; None
    where it is all numbers, or depends on the arguments."""
    if law.event_ndim:
        return None
    return _OPEN.get(law.name) or _CLOSED.get(DISTRIBUTIONS[law.name].support)


_COUNTS = Support(lambda values: (values >= 0) & (values == np.rint(values)), "gives the counts 0, 1, 2, ...")
_CLOSED: Mapping[str, Support] = {
    "nonnegative_integer": _COUNTS,
    "bounded_integer": _COUNTS,
    "boolean": Support(lambda values: (values == 0) | (values == 1), "gives 0 and 1"),
    "positive": Support(lambda values: values >= 0, "gives no negative number"),
    "unit": Support(lambda values: (values >= 0) & (values <= 1), "gives numbers between 0 and 1"),
}
_OPEN: Mapping[str, Support] = dict.fromkeys(
    ("LogNormal", "InverseGamma"), Support(lambda values: values > 0, "gives positive numbers")
)
_ENDS: Mapping[str, tuple[float, float]] = {
    "nonnegative_integer": (0.0, np.inf),
    "bounded_integer": (0.0, np.inf),
    "multinomial": (0.0, np.inf),
    "boolean": (0.0, 1.0),
    "positive": (0.0, np.inf),
    "unit": (0.0, 1.0),
}


def ends_of(law: Dist) -> tuple[float, float]:
    """What no value of a law goes beyond, whatever its arguments; infinite where nothing is known."""
    return _ENDS.get(DISTRIBUTIONS[law.name].support, (-np.inf, np.inf))


def whole_numbers(model: Model) -> frozenset[str]:
    """Names of the observations that are whole numbers, for all their laws give nothing else."""
    emissions = [e for e in model.equations if e.role == "emission"]
    whole = lambda law: law is not None and DISTRIBUTIONS[law.name].discrete
    some = {t.name for e in emissions if whole(e.law) for t in e.targets}
    return frozenset(some - {t.name for e in emissions if not whole(e.law) for t in e.targets})
