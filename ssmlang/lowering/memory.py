"""Where each series stands in the memory of a general program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import jax.numpy as jnp
import numpy as np
from jax import Array

from ssmlang.model import expr
from ssmlang.model.expr import Node
from ssmlang.model.model import Model, nodes_of

Key = tuple[str, str]
"""(sort, name): "state", "augment", "obs" (one that is latent) or "noise"."""


@dataclass(frozen=True)
class Place:
    """A series in the memory: how many numbers it has, how many rows of it are kept, what its values are."""

    size: int
    depth: int
    shape: tuple[int, ...]
    whole: bool = False
    """Whether it takes whole numbers alone"""


@dataclass(frozen=True)
class Memory:
    """The layout of s_t: row t of every series, then row t - 1 of those that are kept so long, and so on."""

    places: Mapping[Key, Place]

    @cached_property
    def starts(self) -> dict[tuple[str, str, int], int]:
        """Where (sort, name, lag) begins."""
        found, at = {}, 0
        for lag in range(max((p.depth for p in self.places.values()), default=0)):
            for (sort, name), place in self.places.items():
                if lag < place.depth:
                    found[sort, name, lag] = at
                    at += place.size
        return found

    @cached_property
    def size(self) -> int:
        return sum(p.size * p.depth for p in self.places.values())

    @cached_property
    def n(self) -> int:
        """Entries of x: states and augmented parameters, which come first."""
        return sum(p.size for (sort, _), p in self.places.items() if sort in ("state", "augment"))

    @cached_property
    def whole(self) -> tuple[int, ...]:
        """Entries that take whole numbers alone."""
        return tuple(self.starts[k] + i for k in self.starts for p in [self.places[k[:2]]] if p.whole
                     for i in range(p.size))  # fmt: skip

    @property
    def deep(self) -> bool:
        """Whether the memory holds more than x_t."""
        return self.size != self.n

    def get(self, s: Array, sort: str, name: str, lag: int) -> Array:
        """The value, flat."""
        first = self.starts[sort, name, lag]
        return s[first : first + self.places[sort, name].size]

    def holds(self, sort: str, name: str, lag: int) -> bool:
        return (sort, name, lag) in self.starts

    def pushed(self, s: Array, now: Mapping[Key, Array]) -> Array:
        """The memory a row later."""
        parts = [now[sort, name] if lag == 0 else self.get(s, sort, name, lag - 1) for sort, name, lag in self.starts]
        return jnp.concatenate(parts) if parts else jnp.zeros(0)

    def made(self, rows: Mapping[tuple[str, str, int], Array]) -> Array:
        """The memory of row 0 from the rows 0, -1, ...; where there is no value, that of row 0.

        Nothing that is scored reads such a row, but what is not scored is worked out too: a root of zero there would
        have no derivative.
        """
        blank = lambda k: rows.get((*k[:2], 0), jnp.zeros(self.places[k[:2]].size))
        parts = [rows[k] if k in rows else blank(k) for k in self.starts]
        return jnp.concatenate(parts) if parts else jnp.zeros(0)


def memory_of(model: Model, sizes: Mapping[str, int], latent: Sequence[str] = (), *, definitions: bool = True,
              scored: bool = False, told: Sequence[str] = ()) -> tuple[Memory, tuple[str, ...]]:  # fmt: skip
    """The memory of a model, and the named noises outside of it that observations of their own row read, and nothing
    else but states of the next row, of those that are `told`.

    `sizes`: of augmented parameters on their unconstrained scale. `latent`: observations that are part of the state.
    Without `definitions`, what these alone read is left out. `scored`: the laws of these observations are asked for
    their densities too, given the memory of the row itself.
    """
    depth: dict[Key, int] = {}
    readers: dict[str, set[str]] = {name: set() for name in model.noises}

    def reads(nodes: Sequence[Node], by: str) -> None:
        base = 1 if by == "transition" else 0
        for sort, name, lag in expr.references(nodes):
            if not isinstance(lag, int) or sort in ("input", "increment") or (sort == "obs" and name not in latent):
                continue
            if sort == "noise":
                readers[name].add("later" if lag else by)
            depth[sort, name] = max(depth.get((sort, name), 0), lag + 1 - base)

    for e in model.equations:
        moved = e.role == "transition" or any(t.name in latent for t in e.targets)
        if moved:
            reads(nodes_of(e), "transition")
        if e.role == "emission" and (scored or not moved):
            reads(nodes_of(e), "emission")
    for d in model.differentials:
        reads([d.value], "transition")
    for let in model.definitions.values() if definitions else ():
        if let.series and let.value is not None:
            reads([let.value], "definition")
    places: dict[Key, Place] = {}
    for s in model.states.values():
        places["state", s.name] = Place(s.size, max(1, depth.get(("state", s.name), 1)), s.shape, s.values is not None)
    for name, size in sizes.items():
        shape = model.parameters[name].shape
        places["augment", name] = Place(size, max(1, depth.get(("augment", name), 1)), shape)
    for name in latent:
        o = model.observations[name]
        places["obs", name] = Place(o.size, max(1, depth.get(("obs", name), 1)), o.shape, o.values is not None)
    for v in model.noises.values():
        if v.name not in told and readers[v.name] not in (set(), {"transition"}, {"emission"}):
            places["noise", v.name] = Place(v.size, max(1, depth["noise", v.name]), v.shape)
    return Memory(places), tuple(n for n, by in readers.items() if by == {"emission"} or n in told)


def whole(at: np.ndarray, size: int) -> bool:
    """Whether positions are all there are, in order."""
    return len(at) == size and bool((at == np.arange(size)).all())
