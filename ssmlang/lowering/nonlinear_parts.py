"""Small parts of the lowering of general programs: sources that count, readers, orders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from ssmlang.engines.nonlinear import FLAT, UNDONE
from ssmlang.lowering.sources import EXACT
from ssmlang.model import expr
from ssmlang.model.affine import Affine, Interpreter
from ssmlang.model.model import Dist, Equation, InitialEquation, Model, Values, nodes_of


class Augmented(Mapping[tuple[str, int], Array]):
    """Augmented parameters on their own scale, made when read."""

    def __init__(self, make: Callable[[str, int], Array]) -> None:
        self._make = make

    def __getitem__(self, key: tuple[str, int]) -> Array:
        return self._make(*key)

    def __iter__(self) -> Any:
        return iter(())

    def __len__(self) -> int:
        return 0


class Counter:
    """A source that counts the standard normal numbers it is asked for."""

    def __init__(self) -> None:
        self.count = 0

    def normals(self, size: int) -> Array:
        self.count += size
        return jnp.zeros(size)

    def law(self, law: Any, args: Mapping[str, Array], values: Values | None = None) -> Array:
        del args, values
        return self.normals(int(np.prod(law.shape)))


def additive(e: Equation, told: Sequence[str] = ()) -> bool:
    """Whether an equation is affine in what is random in its row, with a scale that does not read that."""
    now = lambda sort, name, lag: (lag == 0 and sort in ("state", "noise")) or (sort == "noise" and name in told)
    reads_now = lambda nodes: any(now(*r) for r in expr.references(nodes))
    if e.law is not None and e.law.name == "LogNormal":
        return False
    nodes = nodes_of(e)
    if not reads_now(nodes):
        return True
    if e.law is not None and (
        e.law.name not in EXACT or reads_now([v for k, v in e.law.args.items() if k != "loc"])
    ):
        return False
    center = e.value if e.law is None else e.law.args.get("loc")
    return center is None or isinstance(Interpreter(now)(center), Affine)


def in_order(initials: Sequence[InitialEquation]) -> list[InitialEquation]:
    """Initial laws such that each comes after those whose values it reads."""
    done: list[InitialEquation] = []
    waiting = list(initials)
    while waiting:
        targets = {(t.name, -t.row) for i in waiting for t in i.targets}
        free = (i for i in waiting if not targets & {(n, lag) for _, n, lag in expr.references(nodes_of(i))})
        ready = next(free, waiting[0])
        done.append(ready)
        waiting.remove(ready)
    return done


def with_wide_starts(model: Model) -> tuple[Model, int]:
    """The model with a wide normal law in place of each `Diffuse()`, and how many numbers that is."""
    count = sum(len(t.entries) for i in model.initials if i.special == "diffuse" for t in i.targets)

    def proper(i: InitialEquation) -> InitialEquation:
        size = sum(len(t.entries) for t in i.targets)
        args = {"loc": expr.const(np.zeros(size)), "scale": expr.const(np.full(size, FLAT))}
        return replace(i, law=Dist("Normal", args, (size,), 0, i.span), special=None)

    found = tuple(proper(i) if i.special == "diffuse" else i for i in model.initials)
    return (replace(model, initials=found) if count else model), count


def flattened(density: Callable[..., Array], flat: int) -> Callable[..., Array]:
    """`log_emission` where so many first numbers are flat. The density of a flat law is one: what the wide law that
    stands for it has is taken out in row 0."""
    return (lambda t, *rest: density(t, *rest) + jnp.where(t == 0, flat * UNDONE, 0.0)) if flat else density
