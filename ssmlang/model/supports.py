"""Which numbers a law can give, whatever its arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from ssmlang.model.distributions import DISTRIBUTIONS
from ssmlang.model.model import Dist


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
