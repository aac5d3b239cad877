"""One row of a filter that carries mean and covariance: the maps of a program, the update by an observation."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ssmlang.engines._elementwise import elementwise
from ssmlang.engines._evidence import counted_alone, evidence
from ssmlang.engines._hoisted import hoisted
from ssmlang.engines._kernel import on_cpu, one_kernel
from ssmlang.engines._linearise import Affine, Linearisation, Map, Moments, Taylor, value_and_jacobian
from ssmlang.engines._products import FUSED_LIMIT, product, product_transposed, symmetric
from ssmlang.engines._row_update import eliminated
from ssmlang.engines._unstuck import unstuck
from ssmlang.engines._written import FORWARD_LIMIT
from ssmlang.engines.nonlinear import Law, Nonlinear

ZERO = 16.0
"""Times N + 1 units of rounding: the part of its variance below which what is left of an observation's is none."""


class Rows:
    """The maps of a program as a linearisation takes them; element by element where the memory is small."""

    repeatable: ClassVar[bool] = True
    """Whether a row worked out a second time gives the same numbers to rounding"""

    def __init__(self, program: Nonlinear, way: Linearisation) -> None:
        self.program, self.way = program, way
        facts = program.facts
        self.fused = max(facts.N, facts.k) <= FUSED_LIMIT
        self.by_numbers = FORWARD_LIMIT if self.fused and on_cpu() else 0
        t, s, e, y = jnp.asarray(1), jnp.zeros(facts.N), jnp.zeros(facts.noises), jnp.zeros(facts.m)
        quick = lambda function, *example: elementwise(hoisted(function, *example), self.fused)
        self._transition = quick(program.transition, t, s, e)
        self._mean = quick(lambda t, s, y: program.emission(t, s, y).mean, t, s, y)
        self._cov = quick(lambda t, s, y: program.emission(t, s, y).cov, t, s, y)
        self._log_emission = quick(program.log_emission, t, s, y) if facts.counted else program.log_emission
        self._by_ratio = bool(facts.counted)
        # What is linear is carried exactly by its derivatives, whatever the way.
        self._moving: Linearisation = Taylor() if facts.linear else way
        self._seeing: Linearisation = Taylor() if facts.linear_emission else way

    def transition(self, t: Array) -> Map:
        """From the memory of the row before to that of row t."""
        facts = self.program.facts
        if not facts.additive or isinstance(self._moving, Taylor):
            return Map(lambda s, e: self._transition(t, s, e), None, facts.noises)
        still = jnp.zeros(facts.noises)

        def both(s: Array) -> tuple[Array, Array]:
            value, G = value_and_jacobian(lambda e: self._transition(t, s, e), still)
            return value, product_transposed(G, G, self.fused)

        return Map(lambda s, e: self._transition(t, s, still), lambda s: both(s)[1], 0, both)

    def emission(self, t: Array, y: Array) -> Map:
        """From the memory of row t to the statistic of its observations."""
        return Map(lambda s, e: self._mean(t, s, y), lambda s: self._cov(t, s, y), 0)

    def first(self, times: Int[Array, " rows"], probe: Nonlinear | None = None) -> Law:
        """The law of row 0; augmented parameters that nothing would move from their prior means start from a draw,
        which is looked for in some rows of the program or of `probe`."""
        facts = self.program.facts
        e = jnp.zeros(facts.first_noises)
        begun = Map(lambda e, _: self.program.first(e), None, 0)
        way = Taylor() if facts.linear else self.way
        found = way.moments(begun, Law(e, jnp.eye(len(e))), False)
        if not facts.augmented:
            return Law(found.mean, found.cov)
        sd = standard(jnp.diagonal(found.cov))
        return Law(unstuck(probe or self.program, found.mean, sd, jax.random.key(0), times), found.cov)

    def moved(self, t: Array, law: Law) -> Law:
        """The law of row t from that of the row before."""
        mean, cov, _ = self._moving.moments(self.transition(t), law, self.fused)
        return Law(mean, symmetric(cov))

    def transition_affine(self, t: Array, law: Law) -> Affine:
        return self._moving.affine(self.transition(t), law, self.fused)

    def emission_moments(self, t: Array, law: Law, y: Array) -> Moments:
        return self._seeing.moments(self.emission(t, y), law, self.fused)

    def emission_affine(self, t: Array, law: Law, y: Array) -> Affine:
        return self._seeing.affine(self.emission(t, y), law, self.fused)

    def taken(self, t: Array, ahead: Law, y: Array, z: Array) -> tuple[Law, Float[Array, ""]]:
        """The law after a row's observations, linearised at the law ahead, and their log-density."""
        if self._by_ratio:
            return self.scored(t, ahead, self.emission_affine(t, self.covariance(ahead), y), y, z)
        return self._taken(t, ahead, y, z)

    def scored(self, t: Array, ahead: Law, sight: Affine, y: Array, z: Array) -> tuple[Law, Float[Array, ""]]:
        """The same by an affine emission that is given; where observations are not Gaussian, see `evidence`."""
        there = ~jnp.isnan(z)  # the law of what is not seen may not exist: an increment before the first row
        sight = Affine(jnp.where(there[:, None], sight.A, 0.0), jnp.where(there, sight.b, 0.0),
                       jnp.where(there[:, None] & there, sight.Omega, 0.0))  # fmt: skip
        after, term = self.updated(ahead, sight, z)
        if self._by_ratio:
            counts = counted_alone(self.program.facts, y)
            seen = ~jnp.isnan(self.program.statistic(counts))
            density = lambda s: self._log_emission(t, s, counts)
            term = evidence(density, self.covariance(ahead), self.covariance(after), sight, z, seen, self.fused)
            if len(self.program.facts.counted) < self.program.facts.m:  # what is exact may be contradicted
                others = self.updated(ahead, sight, jnp.where(seen, jnp.nan, z))[1]
                term = jnp.where(jnp.isneginf(others), -jnp.inf, term)
        return after, term

    def updated(self, ahead: Law, sight: Affine, z: Array) -> tuple[Law, Float[Array, ""]]:
        """The law after a row's observations by an affine emission, and its density of their statistic."""
        return update(ahead, moments_of(ahead, sight, self.fused), z, self.fused)

    def _taken(self, t: Array, ahead: Law, y: Array, z: Array) -> tuple[Law, Float[Array, ""]]:
        return update(ahead, self.emission_moments(t, ahead, y), z, self.fused)

    def covariance(self, law: Law) -> Law:
        """A law as it is carried, with its covariance."""
        return law

    def statistic(self, y: Float[Array, "T m"]) -> Float[Array, "T k"]:
        return jax.vmap(self.program.statistic)(y)


def moments_of(law: Law, sight: Affine, fused: bool) -> Moments:
    """Moments of an affine image."""
    cross = product_transposed(law.cov, sight.A, fused)
    mean = product(sight.A, law.mean[:, None], fused)[:, 0] + sight.b
    return Moments(mean, symmetric(product(sight.A, cross, fused) + sight.Omega), cross)


def update(law: Law, of: Moments, z: Float[Array, " k"], fused: bool) -> tuple[Law, Float[Array, ""]]:
    """The law after the statistic z, NaN where missing, and the log-density of z.

    The entries are eliminated in their order: one that was known exactly before leaves no trace, and has density zero
    where it is another number than was known.
    """
    X, e, w, term = innovations(len(law.mean), of, z, fused)
    M = product_transposed(X, of.cross, fused)
    scaled = M * w[:, None]
    cov = symmetric(law.cov - product(M.T, scaled, fused))
    # What is left of a variance that was observed away altogether is rounding.
    before, after = (jnp.sum(P * np.eye(len(P)), axis=1) for P in (law.cov, cov))
    left = after > 4 * len(after) * float(jnp.finfo(cov.dtype).eps) * before
    cov = jnp.where(left[:, None] & left, cov, 0.0)
    return Law(law.mean + product(scaled.T, e[:, None], fused)[:, 0], cov), term


def innovations(
    N: int, of: Moments, z: Float[Array, " k"], fused: bool
) -> tuple[Float[Array, "k k"], Float[Array, " k"], Float[Array, " k"], Float[Array, ""]]:
    """X with X S X' = diag(1 / w), X (z - mean), w (zero for what is not used), and the log-density of z."""
    seen = ~jnp.isnan(z)
    v = jnp.where(seen, z - of.mean, 0.0)
    S = of.cov
    size = jax.lax.stop_gradient(jnp.sum(S * np.eye(len(v)), axis=1))
    bound = ZERO * (N + 1) * float(jnp.finfo(S.dtype).eps) * size
    X, D, w, zero = one_kernel(eliminated, not fused)(S, jnp.zeros_like(v), seen, bound)
    e = product(X, v[:, None], fused)[:, 0]
    term = -0.5 * jnp.sum(jnp.where(w > 0, jnp.log(D) + e * e * w + float(np.log(2 * np.pi)), 0.0))
    scale = jnp.abs(jnp.where(seen, z, 0.0)) + jnp.abs(of.mean) + jnp.sqrt(size)
    close = float(np.sqrt(ZERO * (N + 1) * float(jnp.finfo(S.dtype).eps)))
    against = seen & zero & (jnp.abs(jax.lax.stop_gradient(e)) > close * jax.lax.stop_gradient(scale))
    # A pivot that is no number is not above its bound: without this such a row would count as one that was not seen.
    lost = seen & jnp.isnan(of.mean + size)
    return X, e, w, jnp.where(jnp.any(lost), jnp.nan, jnp.where(jnp.any(against), -jnp.inf, term))


def standard(variance: Array) -> Array:
    """The square root, with derivative zero at zero."""
    positive = variance > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, variance, 1.0)), 0.0)
