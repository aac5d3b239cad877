"""Whether what an equation gives is affine in what it reads and moves."""

from __future__ import annotations

from collections.abc import Callable

from ssmlang.model import expr
from ssmlang.model.affine import Affine, Interpreter
from ssmlang.model.model import Dist, Equation, InitialEquation

Moving = Callable[[str, str, int | str], bool]
"""(sort, name, lag): whether a series is among what moves."""


def is_steady(law: Dist, moving: Moving) -> bool:
    """Whether nothing but the location of a normal law moves."""
    rest = [v for k, v in law.args.items() if k != "loc" or law.name not in ("Normal", "MvNormal")]
    return law.name != "LogNormal" and not any(moving(*r) for r in expr.references(rest))


def is_linear(e: Equation | InitialEquation, moving: Moving) -> bool:
    """Whether an equation is affine in what moves, its noise of a law that does not."""
    if e.law is not None and not is_steady(e.law, moving):
        return False
    centre = e.value if e.law is None else e.law.args.get("loc")
    return centre is None or isinstance(Interpreter(moving)(centre), Affine)
