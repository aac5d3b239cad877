"""The forward pass in factor form: a diffuse head of fixed length, then the plain filter; as `_forward`, on factors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ssmlang.engines import _diffuse as diffuse
from ssmlang.engines import _factor as factor
from ssmlang.engines import _factor_diffuse as factor_diffuse
from ssmlang.engines._diffuse import Flat
from ssmlang.engines._diffuse_head import DiffuseHead
from ssmlang.engines._factor import Compress, Root, Turn, plainly
from ssmlang.engines._factor_diffuse import Spent
from ssmlang.engines._rows import Row, Rows
from ssmlang.engines._univariate import Entry, Innovation
from ssmlang.engines.companion import Markov, companion
from ssmlang.engines.layout import Layout
from ssmlang.engines.program import LinearGaussian

UNROLLED_ENTRIES = 8
"""Up to this many observations are written out in the code of a row of the likelihood; more are looped over."""

UNROLLED_MOMENTS = 3
"""The same where moments are wanted: that runs once or twice, and compiles in half the time."""


@partial(jax.tree_util.register_dataclass, data_fields=["rows", "B"], meta_fields=[])
@dataclass(frozen=True)
class Loaded:
    """Rows of a Markov form, and the loading B of the noises that enter the memory; never differentiated."""

    rows: Rows
    B: Float[Array, "*T N k"]

    @classmethod
    def of(cls, program: LinearGaussian, markov: Markov, layout: Layout, steps: int) -> Loaded:
        """A loading that varies is moved up one row, as `Rows` moves the transition."""
        B = factor.loading(program, layout)
        return cls(Rows.of(markov, steps), B if B.ndim == 2 else jnp.concatenate([B[1:], B[-1:]]))

    def part(self, start: int, stop: int) -> Loaded:
        """Rows start..stop-1."""
        return Loaded(self.rows.part(start, stop), self.B if self.B.ndim == 2 else self.B[start:stop])

    @property
    def varying(self) -> tuple[dict[str, Array], Array | None]:
        """What to feed a scan with."""
        return self.rows.varying, None if self.B.ndim == 2 else self.B

    def row(self, varying: tuple[dict[str, Array], Array | None]) -> tuple[Row, Float[Array, "N k"]]:
        """One row from its varying part."""
        return self.rows.row(varying[0]), self.B if varying[1] is None else varying[1]


class Step(NamedTuple):
    """All that is known when a row has been taken in."""

    row: Row
    predicted: Root
    predicted_flat: Flat | None
    filtered: Root
    filtered_flat: Flat | None
    innovations: Innovation
    turns: Turn
    spent: Spent | None


State = tuple[Root, Flat | None]
Emit = Callable[[Step, Any], Any]
"""What a row hands out, of its step and of what the compression of the time update kept."""


def begin(program: LinearGaussian, layout: Layout, steps: int) -> tuple[Loaded, State]:
    """The rows, and the law of row 0; no flat part where the program has none."""
    markov = companion(program, layout)
    flat = diffuse.start(markov.diffuse, layout) if markov.diffuse.shape[1] else None
    return Loaded.of(program, markov, layout, steps), (factor.start(program, markov, layout), flat)


def take_in(state: State, row: Row, y: Float[Array, " m"], layout: Layout, unrolled: int, compress: Compress) -> Step:
    """All observations of one row, one after the other."""
    begun = factor.variances(state[0].S)
    marks = np.array([[j == only for j in range(layout.size)] for only in layout.selected], bool)

    def one(carry: State, i: Any, only: Array | None) -> tuple[State, tuple[Innovation, Turn, Spent | None]]:
        entry = Entry(row.Z[i], y[i], row.d[i], row.R[i], only)
        root, flat = carry
        if flat is None:
            root, found, turn = factor.update(root, entry, begun, layout)
            return (root, None), (found, turn, None)
        root, flat, found, turn, spent = factor_diffuse.update(root, flat, entry, begun, layout, compress)
        return (root, flat), (found, turn, spent)

    m, after = layout.structure.m, state
    if m <= (unrolled if state[1] is None else 1):
        parts = []
        for i in range(m):
            only = jnp.asarray(marks[i]) if marks[i].any() else None
            after, part = one(after, i, only)
            parts.append(part)
        found = jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts)
    else:
        after, found = jax.lax.scan(lambda c, x: one(c, *x), state, (jnp.arange(m), jnp.asarray(marks)))
    return Step(row, *state, *after, *found)


def forward(
    rows: Loaded,
    y: Float[Array, "T m"],
    state: State,
    layout: Layout,
    emit: Emit,
    unrolled: int = UNROLLED_MOMENTS,
    compress: Compress = plainly,
) -> tuple[State, Any]:
    """All rows, in diffuse form if the state has a flat part; up to `unrolled` observations a row are written out."""

    def body(carry: State, x: tuple[Any, Array]) -> tuple[State, Any]:
        row, B = rows.row(x[0])
        step = take_in(carry, row, x[1], layout, unrolled, compress)
        root, kept = factor.time_update(step.filtered, row, B, layout, compress)
        flat = None if step.filtered_flat is None else diffuse.time_update(step.filtered_flat, row, layout)
        return (root, flat), emit(step, kept)

    # Backwards a row is worked out again from its first factor, without the factorisation that leads to the next.
    if state[1] is None:
        body = jax.checkpoint(body, prevent_cse=False)
    return jax.lax.scan(body, state, (rows.varying, y))


def run(
    program: LinearGaussian,
    y: Float[Array, "T m"],
    layout: Layout,
    head: DiffuseHead,
    emit: Emit,
    unrolled: int = UNROLLED_MOMENTS,
) -> Any:
    """What `emit` makes of each row, stacked over all rows; see `_forward.run`."""
    steps = len(y)
    rows, state = begin(program, layout, steps)

    def plain(rows: Loaded, y: Array, state: State) -> Any:
        return forward(rows, y, (state[0], None), layout, emit, unrolled)[1]

    if state[1] is None:
        return plain(rows, y, state)
    state, first = forward(rows.part(0, head.rows), y[: head.rows], state, layout, emit)
    if head.rows == steps:
        return first
    rest = (rows.part(head.rows, steps), y[head.rows :], state)
    if head.certain:
        last = plain(*rest)
    else:
        assert state[1] is not None
        flat = lambda rows, y, state: forward(rows, y, state, layout, emit)[1]
        last = jax.lax.cond(diffuse.exhausted(state[1]), plain, flat, *rest)
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, last)
