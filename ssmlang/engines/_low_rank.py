"""The extended Kalman filter with a precision that is a diagonal and a low rank: for states of many entries.

For programs whose entries move apart from each other, x_t = f x_{t-1} + c + sqrt(q) e with vectors f and q (parameters
of a network that stand still or walk, say). The law of a row has the precision

    D^-1 + W W',     W = D^-1/2 B,     that is     P = D^1/2 (I + B B')^-1 D^1/2

with a diagonal D and B of N x r. A step costs O(N (r + k)^2), k observations a row; nothing of N x N is formed.

    step     D- = f^2 D + q,   B- = f (D/D-)^1/2 B C,   C C' = (I + B' (q/D-) B)^-1            exact
    update   B+ = [B, D^1/2 H' R^-1/2] with r + k columns, exact; the mean by all of them

Of B+ the r directions are kept in which the precision exceeds the diagonal most. The rest goes into the diagonal, row
by row: D / (1 + sum of squares). Exact where r >= N, and the means as long as no more than r + k directions were
observed (Chang, Duran-Martin, Shestopaloff, Jones & Murphy 2023, Low-rank extended Kalman filtering, the diagonal
variant, in the coordinates of the diagonal, which may have zeros). Derivatives take the directions that are kept as
they are found.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ssmlang.engines._evidence import averaged, axes_seen, counted_alone
from ssmlang.engines._linearise import Affine, value_and_jacobian
from ssmlang.engines._on_average import on_average, sides_of
from ssmlang.engines._unstuck import PROBED, unstuck
from ssmlang.engines.nonlinear import Estimated, Nonlinear


class LowRank(NamedTuple):
    """Mean m and covariance D^1/2 (I + B B')^-1 D^1/2."""

    m: Float[Array, " N"]
    D: Float[Array, " N"]
    B: Float[Array, "N r"]

    def times(self, V: Float[Array, "N k"]) -> Float[Array, "N k"]:
        """P V."""
        half = jnp.sqrt(jnp.where(self.D > 0, self.D, 1.0)) * (self.D > 0)
        scaled = half[:, None] * V
        return half[:, None] * (scaled - self.B @ _solved(self.B, self.B.T @ scaled))

    @property
    def sd(self) -> Float[Array, " N"]:
        """Standard deviations of the entries."""
        L = jnp.linalg.cholesky(jnp.eye(self.B.shape[1]) + self.B.T @ self.B)
        inside = jax.scipy.linalg.solve_triangular(L, self.B.T, lower=True)
        variance = self.D * (1.0 - jnp.sum(inside**2, axis=0))
        return jnp.where(variance > 0, jnp.sqrt(jnp.where(variance > 0, variance, 1.0)), 0.0)


def _solved(B: Float[Array, "N r"], V: Float[Array, "r k"]) -> Float[Array, "r k"]:
    """(I + B'B)^-1 V."""
    return jax.scipy.linalg.cho_solve((jnp.linalg.cholesky(jnp.eye(B.shape[1]) + B.T @ B), True), V)


def begun(program: Nonlinear, rank: int) -> LowRank:
    """The law of row 0: entry i reads a number of its own, so that one of each shows all sizes."""
    facts = program.facts
    still = jnp.zeros(facts.first_noises)
    m = program.first(still)
    return LowRank(m, (program.first(still + 1.0) - m) ** 2, jnp.zeros((facts.N, rank)))


def moved(program: Nonlinear, t: Array, law: LowRank) -> LowRank:
    """The law a row later."""
    still = jnp.zeros(program.facts.noises)
    m, f = jax.jvp(lambda s: program.transition(t, s, still), (law.m,), (jnp.ones_like(law.m),))
    q = (program.transition(t, law.m, still + 1.0) - m) ** 2
    D = f**2 * law.D + q
    there = D > 0
    safe = jnp.where(there, D, 1.0)
    # What is forgotten altogether was its own share of what is known of the others.
    G = jnp.eye(law.B.shape[1]) + law.B.T @ (jnp.where(there, q / safe, 1.0)[:, None] * law.B)
    share = jnp.where(there & (law.D > 0), law.D / safe, 1.0)
    kept = jnp.where(there & (law.D > 0), f * jnp.sqrt(share), 0.0)[:, None] * law.B
    # With G = L L', C = L'^-1.
    B = jax.scipy.linalg.solve_triangular(jnp.linalg.cholesky(G), kept.T, lower=True).T
    return LowRank(m, D, B)


def updated(program: Nonlinear, t: Array, law: LowRank, y: Float[Array, " m"]) -> tuple[LowRank, Float[Array, ""]]:
    """The law after a row's observations, and their log-density."""
    z = program.statistic(y)
    there = ~jnp.isnan(z)
    both = there[:, None] & there
    mean, H = value_and_jacobian(lambda s: program.emission(t, s, y).mean, law.m)
    R = program.emission(t, law.m, y).cov
    H, e = jnp.where(there[:, None], H, 0.0), jnp.where(there, z - mean, 0.0)
    R = jnp.where(both, R, jnp.eye(len(z)))
    PH = law.times(H.T)
    S = H @ PH + R
    L = jnp.linalg.cholesky(0.5 * (S + S.T))
    m = law.m + PH @ jax.scipy.linalg.cho_solve((L, True), e)
    own = jax.scipy.linalg.solve_triangular(jnp.linalg.cholesky(R), H, lower=True)
    half = jnp.sqrt(jnp.where(law.D > 0, law.D, 1.0)) * (law.D > 0)
    after = _narrowed(m, law.D, jnp.concatenate([law.B, half[:, None] * own.T], axis=1), law.B.shape[1])
    if program.facts.counted:
        sight = Affine(H, mean - H @ law.m, R)
        sides = axes_seen(after.times(H.T), H, False)
        counts = counted_alone(program.facts, y)
        seen = ~jnp.isnan(program.statistic(counts))
        density = lambda s: program.log_emission(t, s, counts)
        term = averaged(density, law.m, H @ PH, m, sides, sight, z, seen, False)
    else:
        u = jax.scipy.linalg.solve_triangular(L, e, lower=True)
        logs = jnp.where(there, jnp.log(jnp.diagonal(L)) + 0.5 * jnp.log(2 * jnp.pi), 0.0)
        term = -0.5 * jnp.sum(u**2) - jnp.sum(logs)
    return after, term


def _narrowed(m: Array, D: Array, B: Float[Array, "N q"], rank: int) -> LowRank:
    _, V = jnp.linalg.eigh(jax.lax.stop_gradient(B.T @ B))
    turned = B @ V[:, ::-1]
    grown = 1.0 + jnp.sum(turned[:, rank:] ** 2, axis=1)
    return LowRank(m, D / grown, turned[:, :rank] / jnp.sqrt(grown)[:, None])


def terms(program: Nonlinear, y: Float[Array, "T m"], rank: int) -> Float[Array, " T"]:
    """Log-density of each row given the rows before it."""
    return _passed(program, y, rank, lambda t, ahead, after, term: term)


def filtered(program: Nonlinear, y: Float[Array, "T m"], rank: int) -> Estimated:
    """Filtered and one-step-ahead moments, standard deviations in place of covariances of states."""
    n, none = program.facts.n, jnp.zeros(0)

    def told(t: Array, ahead: LowRank, after: LowRank, term: Array) -> Estimated:
        law = program.observed(t, ahead.m)
        H = value_and_jacobian(lambda s: program.observed(t, s).mean, ahead.m)[1]
        lets = (none, none)
        if program.facts.definitions:
            value, J = value_and_jacobian(lambda s: program.definitions(t, s), after.m)
            variance = jnp.sum(J * after.times(J.T).T, axis=1)
            lets = value, jnp.where(variance > 0, jnp.sqrt(jnp.where(variance > 0, variance, 1.0)), 0.0)
        return Estimated(
            after.m[:n], None, law.mean, H @ ahead.times(H.T) + law.cov, term, predicted_mean=ahead.m[:n],
            definition_mean=lets[0], definition_sd=lets[1], sd=after.sd[:n], predicted_sd=ahead.sd[:n],
        )  # fmt: skip

    found: Estimated = _passed(program, y, rank, told)
    return found


def observed_on_average(program: Nonlinear, y: Float[Array, "T m"], rank: int) -> Float[Array, "T q"]:
    """`Nonlinear.observed`'s mean one row ahead, over what observations see of the law."""
    nothing = jnp.full(program.facts.m, jnp.nan)

    def told(t: Array, ahead: LowRank, after: LowRank, term: Array) -> Array:
        H = value_and_jacobian(lambda s: program.emission(t, s, nothing).mean, ahead.m)[1]
        return on_average(lambda s: program.observed(t, s).mean, ahead.m, sides_of(ahead.times, H))

    found: Array = _passed(program, y, rank, told)
    return found


def _passed(program: Nonlinear, y: Float[Array, "T m"], rank: int, told: Callable[..., Any]) -> Any:
    def body(ahead: LowRank, row: tuple[Array, Array]) -> tuple[LowRank, Any]:
        t, y = row
        after, term = updated(program, t, ahead, y)
        term = jnp.where(program.exists, term, -jnp.inf)
        return moved(program, t + 1, after), told(t, ahead, after, term)

    start = begun(program, rank)
    if program.facts.augmented:
        rows = jnp.arange(min(len(y), PROBED))
        start = start._replace(m=unstuck(program, start.m, jnp.sqrt(start.D), jax.random.key(0), rows))
    return jax.lax.scan(body, start, (jnp.arange(len(y)), y))[1]
