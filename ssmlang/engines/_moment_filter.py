"""The filter of a program whose maps are linearised row by row: mean and covariance, carried forward."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ssmlang.engines._kernel import one_kernel
from ssmlang.engines._linearise import Map
from ssmlang.engines._moment_rows import Rows, standard
from ssmlang.engines._slopes import with_slopes
from ssmlang.engines._unstuck import PROBED
from ssmlang.engines.nonlinear import Estimated, Law

Update = Callable[[Array, Law, Array, Array], tuple[Law, Law, Array]]
"""(t, law ahead, row of y, its statistic) to the law after, the law at which the emission was linearised, the
log-density"""


class Passed(NamedTuple):
    """What the filter leaves of each row."""

    after: Law
    ahead: Law
    at: Law
    """where the emission was linearised"""
    terms: Float[Array, " T"]


def once(rows: Rows) -> Update:
    """The update that linearises at the law ahead."""

    def taken(t: Array, ahead: Law, y: Array, z: Array) -> tuple[Law, Law, Array]:
        law, term = rows.taken(t, ahead, y, z)
        return law, ahead, term

    return taken


def log_likelihood(rows: Rows, taken: Update, y: Float[Array, "T m"]) -> Float[Array, ""]:
    """The log-density of y: rows after the last with an observation are not gone through."""
    z, start = rows.statistic(y), rows.first(jnp.arange(min(len(y), PROBED)))
    seen = jnp.any(~jnp.isnan(y), axis=1)
    last = jnp.max(jnp.where(seen, jnp.arange(len(y)), 0))

    def run(start: Law, y: Array, z: Array, last: Array) -> Array:
        def body(carry: tuple[Law, Array], row: tuple[Array, Array, Array]) -> tuple[tuple[Law, Array], None]:
            (ahead, total), (t, y, z) = carry, row
            after, _, term = taken(t, ahead, y, z)
            # Where nothing is left to be seen the numbers may grow beyond bounds, and derivatives with them.
            live = t < last
            safe = Law(*(jnp.where(live, a, b) for a, b in zip(after, start, strict=True)))
            return (rows.moved(t + 1, safe), total + term), None

        begun = (start, jnp.zeros((), z.dtype))
        # Backwards, a row is worked out again from the law it began with: quicker than reading all of it back.
        again = jax.checkpoint(body, prevent_cse=False) if rows.repeatable else body
        return jax.lax.scan(again, begun, (jnp.arange(len(y)), y, z))[0][1]

    value = with_slopes(run, rows.fused, rows.by_numbers)(start, y, z, last)
    return jnp.where(rows.program.exists, value, -jnp.inf)


def passed(rows: Rows, taken: Update, y: Float[Array, "T m"]) -> Passed:
    """The filter over all rows."""
    z, start = rows.statistic(y), rows.first(jnp.arange(min(len(y), PROBED)))

    def run(start: Law, y: Array, z: Array) -> Passed:
        def body(ahead: Law, row: tuple[Array, Array, Array]) -> tuple[Law, Passed]:
            t, y, z = row
            after, at, term = taken(t, ahead, y, z)
            return rows.moved(t + 1, after), Passed(after, ahead, at, term)

        return jax.lax.scan(body, start, (jnp.arange(len(y)), y, z))[1]

    found = one_kernel(run, rows.fused)(start, y, z)
    after, ahead, at = (jax.vmap(rows.covariance)(law) for law in (found.after, found.ahead, found.at))
    return Passed(after, ahead, at, found.terms)


def terms(rows: Rows, found: Passed) -> Float[Array, " T"]:
    """The log-density of each row."""
    return jnp.where(rows.program.exists, found.terms, -jnp.inf)


def estimated(rows: Rows, found: Passed, t: Int[Array, " T"] | None = None) -> Estimated:
    """Filtered and one-step-ahead moments, of observations and definitions too; `t`: the rows, all if left out."""
    n = rows.program.facts.n
    t = jnp.arange(len(found.terms)) if t is None else t
    seen = jax.vmap(lambda t, law: observed(rows, t, law, noise=True))(t, found.ahead)
    lets = jax.vmap(lambda t, law: definitions(rows, t, law))(t, found.after)
    return Estimated(
        found.after.mean[:, :n], found.after.cov[:, :n, :n], seen.mean, seen.cov, terms(rows, found),
        found.ahead.mean[:, :n], found.ahead.cov[:, :n, :n], lets.mean, sd(lets.cov),
    )  # fmt: skip


def observed(rows: Rows, t: Array, law: Law, *, noise: bool) -> Law:
    """Moments of y_t; or, without its noise, of its mean given the memory."""
    program = rows.program
    spread = (lambda s: program.observed(t, s).cov) if noise else None
    return _through(rows, Map(lambda s, e: program.observed(t, s).mean, spread, 0), law)


def definitions(rows: Rows, t: Array, law: Law) -> Law:
    """Moments of what the program defines."""
    if not rows.program.facts.definitions:
        return Law(jnp.zeros(0), jnp.zeros((0, 0)))
    return _through(rows, Map(lambda s, e: rows.program.definitions(t, s), None, 0), law)


def _through(rows: Rows, f: Map, law: Law) -> Law:
    found = rows.way.moments(f, law, False)
    return Law(found.mean, 0.5 * (found.cov + found.cov.T))


def sd(cov: Float[Array, "*T k k"]) -> Float[Array, "*T k"]:
    """Standard deviations."""
    return standard(jnp.diagonal(cov, axis1=-2, axis2=-1))
