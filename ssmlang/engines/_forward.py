"""The forward pass over the rows: a diffuse head of fixed length, then the plain filter.

What a row hands out is chosen by the caller (`emit`), so the log-likelihood stores no moments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ssmlang.engines import _diffuse as diffuse
from ssmlang.engines import _univariate as univariate
from ssmlang.engines._diffuse import DiffuseGain, Flat
from ssmlang.engines._diffuse_head import DiffuseHead
from ssmlang.engines._kernel import one_kernel
from ssmlang.engines._rows import Row, Rows
from ssmlang.engines._univariate import Entry, Finite, Innovation
from ssmlang.engines.companion import Markov
from ssmlang.engines.layout import Layout

UNROLLED_ENTRIES = 8
"""Up to this many observations are written out in the code of a row of the likelihood, which runs thousands of times;
more are looped over, and so is all of the diffuse form: it runs for few rows, and what it costs is compile time."""

UNROLLED_MOMENTS = 3
"""The same where moments are wanted: that runs once or twice, and compiles in half the time."""


class Step(NamedTuple):
    """All that is known when a row has been taken in: for `emit`."""

    row: Row
    predicted: Finite
    predicted_flat: Flat | None
    filtered: Finite
    filtered_flat: Flat | None
    innovations: Innovation
    gains: DiffuseGain | None


Emit = Callable[[Step], Any]
State = tuple[Finite, Flat | None]


def initial_state(markov: Markov, layout: Layout) -> State:
    """The law of row 0; no flat part where the program has none."""
    flat = diffuse.start(markov.diffuse, layout) if markov.diffuse.shape[1] else None
    return univariate.start(markov.mean, markov.cov, layout), flat


def take_in(state: State, row: Row, y: Float[Array, " m"], layout: Layout, unrolled: int) -> Step:
    """All observations of one row, one after the other."""
    begun = univariate.variances(state[0].P)
    selectors = _selectors(layout)

    def one(carry: State, i: Any, only: Array | None) -> tuple[State, tuple[Innovation, DiffuseGain | None]]:
        entry = Entry(row.Z[i], y[i], row.d[i], row.R[i], only)
        finite, flat = carry
        if flat is None:
            finite, found = univariate.update(finite, entry, begun, layout)
            return (finite, None), (found, None)
        finite, flat, found, gain = diffuse.update(finite, flat, entry, begun, layout)
        return (finite, flat), (found, gain)

    m, after = layout.structure.m, state
    if m <= (unrolled if state[1] is None else 1):
        parts = []
        for i in range(m):
            only = jnp.asarray(selectors[i]) if selectors[i].any() else None
            after, part = one(after, i, only)
            parts.append(part)
        found, gains = jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts)
    else:
        after, (found, gains) = jax.lax.scan(lambda c, x: one(c, *x), state, (jnp.arange(m), jnp.asarray(selectors)))
    return Step(row, *state, *after, found, gains)


def forward(
    rows: Rows, y: Float[Array, "T m"], state: State, layout: Layout, emit: Emit, unrolled: int = UNROLLED_MOMENTS
) -> tuple[State, Any]:
    """All rows, in diffuse form if the state has a flat part; up to `unrolled` observations a row are written out."""

    def pass_through(rows: Rows, y: Array, state: State) -> tuple[State, Any]:
        across = univariate.at_hand(rows, layout)

        def body(carry: State, x: tuple[dict[str, Array], Array]) -> tuple[State, Any]:
            row = rows.row(x[0])
            step = take_in(carry, row, x[1], layout, unrolled)
            finite = univariate.time_update(step.filtered, row, layout, across)
            flat = None if step.filtered_flat is None else diffuse.time_update(step.filtered_flat, row, layout)
            return (finite, flat), emit(step)

        # Backwards, a row is worked out again from the moments it began with: cheaper than to store what it computed.
        # (Not so in the diffuse form, whose rows are few and slow to compile.)
        if state[1] is None:
            body = jax.checkpoint(body, prevent_cse=False)
        return jax.lax.scan(body, state, (rows.varying, y))

    return one_kernel(pass_through, layout.fused)(rows, y, state)


def run(
    markov: Markov,
    y: Float[Array, "T m"],
    layout: Layout,
    head: DiffuseHead,
    emit: Emit,
    unrolled: int = UNROLLED_MOMENTS,
) -> Any:
    """What `emit` makes of each row, stacked over all rows.

    The head's rows are run in diffuse form; if a direction is still diffuse after them, the others are too.
    """

    def plain(rows: Rows, y: Array, state: State) -> Any:
        return forward(rows, y, (state[0], None), layout, emit, unrolled)[1]

    steps = len(y)
    rows, state = Rows.of(markov, steps), initial_state(markov, layout)
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


def _selectors(layout: Layout) -> np.ndarray:
    """(m, N): marks the entry that an observation reads where it reads just one."""
    marks = np.zeros((layout.structure.m, layout.size), bool)
    for i, j in enumerate(layout.selected):
        if j is not None:
            marks[i, j] = True
    return marks
