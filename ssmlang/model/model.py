"""The Model: what a program says, as pure data. No text, no JAX."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ssmlang.language.source import Span
from ssmlang.model.expr import Axis, Node


@dataclass(frozen=True)
class Dist:
    """A law: a distribution's name with its arguments. `shape` is batch plus event; the last `event_ndim` dimensions
    are drawn jointly."""

    name: str
    args: Mapping[str, Node]
    shape: tuple[int, ...]
    event_ndim: int
    span: Span | None = None


@dataclass(frozen=True)
class Support:
    """Where a parameter lives: the support of its prior, met with what `in` declares.

    `lower`, `upper` (None: unbounded) may read other parameters. `declared`: the user wrote `in (lower, upper)`, so
    that the prior is truncated and normalised. `stationary`: coefficients of the own lags of one state or observation.
    """

    kind: Literal["real", "interval", "simplex", "correlation_cholesky", "stationary", "unit_circle", "integer"]
    lower: Node | None = None
    upper: Node | None = None
    declared: bool = False


@dataclass(frozen=True)
class Variable:
    name: str
    shape: tuple[int, ...]
    axes: tuple[Axis | None, ...]
    span: Span
    doc: str | None = None

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def entry_names(self) -> list[str]:
        """`level`, `x[0]`, `pos[east]`, `W1[0,1]`: one name an entry, in C order."""
        if not self.shape:
            return [self.name]
        labels = [a.labels if a is not None else tuple(range(n)) for a, n in zip(self.axes, self.shape)]
        return [
            f"{self.name}[{','.join(str(labels[d][i]) for d, i in enumerate(at))}]" for at in np.ndindex(*self.shape)
        ]


@dataclass(frozen=True)
class Parameter(Variable):
    """`augment`: joins the state, with `walk` the sd of its random walk on the unconstrained scale."""

    prior: Dist | None = None
    support: Support = Support("real")
    augment: bool = False
    walk: Node | None = None


@dataclass(frozen=True)
class Values:
    """The values of a discrete state or observation: positions on `axis`, or integers lower..upper (None: no end)."""

    axis: Axis | None
    lower: int | None
    upper: int | None

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the greatest value, infinite where there is no end."""
        if self.axis is not None:
            return 0, self.axis.size - 1
        return (-math.inf if self.lower is None else self.lower), (math.inf if self.upper is None else self.upper)


@dataclass(frozen=True)
class State(Variable):
    """`order`: how many of its own past rows its transition reads (None: the whole past). `depth`: how many rows back
    anything reads it."""

    values: Values | None = None
    order: int | None = 0
    depth: int = 0


@dataclass(frozen=True)
class Observation(Variable):
    values: Values | None = None


@dataclass(frozen=True)
class Input(Variable):
    pass


@dataclass(frozen=True)
class Noise(Variable):
    law: Dist | None = None


@dataclass(frozen=True)
class Definition(Variable):
    """A `let`. `series`: it has a value a row, and comes back with the results."""

    value: Node | None = None
    series: bool = False


@dataclass(frozen=True)
class Target:
    """Entries (C-order positions) of a variable that one equation gives."""

    name: str
    entries: tuple[int, ...]


@dataclass(frozen=True)
class Equation:
    """`law` (for ~) or `value` (for =) of the targets' entries, in C order; with several targets they are stacked and
    the law's or value's shape is (total,)."""

    role: Literal["transition", "emission"]
    targets: tuple[Target, ...]
    span: Span
    law: Dist | None = None
    value: Node | None = None
    guarded: frozenset[tuple[str, int]] = frozenset()
    """(name, lag) that it reads only in rows t >= lag: the terms of a sum over 1..min(p, t)."""
    steady: Equation | None = None
    """Of a differential equation over one step: the same over another, which does not change from row to row; what is
    stationary under the one is so under the other."""


@dataclass(frozen=True)
class InitialTarget:
    name: str
    row: int
    """0, -1, -2, ..."""
    entries: tuple[int, ...]


@dataclass(frozen=True)
class InitialEquation:
    """The law of entries at rows <= 0. References in it have a lag counted from row 0: lag 0 is row 0, lag 1 row -1.
    `special`: the exact diffuse or the stationary law, which have no expression."""

    targets: tuple[InitialTarget, ...]
    span: Span
    law: Dist | None = None
    value: Node | None = None
    special: Literal["diffuse", "stationary"] | None = None


@dataclass(frozen=True)
class StochasticDifferential:
    """d(x) = value, affine in its increments with no term outside of them.

    `dt` is the reference ("increment", "dt", 0), `dW` the reference ("increment", "dW", 0) of the target's shape,
    `dW[a]` the scalar ("increment", "dW[a]", 0); states and inputs are read at lag 1, held over the step.
    """

    target: Target
    span: Span
    value: Node


@dataclass(frozen=True)
class Lift:
    name: str
    value: Node
    mode: Literal["exact", "fitted"]
    span: Span


@dataclass(frozen=True)
class Assertion:
    property: str
    arguments: tuple[str, ...]
    span: Span


@dataclass(frozen=True)
class Model:
    """A checked program. Dictionaries are in the order of the file."""

    name: str
    doc: str | None
    axes: Mapping[str, Axis]
    constants: Mapping[str, np.ndarray]
    parameters: Mapping[str, Parameter]
    states: Mapping[str, State]
    observations: Mapping[str, Observation]
    inputs: Mapping[str, Input]
    noises: Mapping[str, Noise]
    definitions: Mapping[str, Definition]
    equations: tuple[Equation, ...]
    initials: tuple[InitialEquation, ...]
    differentials: tuple[StochasticDifferential, ...] = ()
    lifts: tuple[Lift, ...] = ()
    assertions: tuple[Assertion, ...] = ()
    missing_constants: tuple[str, ...] = field(default=())
    """Constants without a value: the program checks but cannot run until they are given."""


def nodes_of(item: Equation | InitialEquation) -> list[Node]:
    """The expressions of an equation or an initial law."""
    law = list(item.law.args.values()) if item.law is not None else []
    return [item.value, *law] if item.value is not None else law
