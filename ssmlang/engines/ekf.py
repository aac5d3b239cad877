"""The extended Kalman filter: laws carried through the derivatives of the program's maps at the mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ssmlang.engines.base import EngineBase, register
from ssmlang.engines.nonlinear import Estimated, Law, Nonlinear
from ssmlang.engines.requirements import Requirements


@register
@dataclass(frozen=True)
class EKF(EngineBase):
    """First-order linearisation at the mean (Jazwinski 1970; Sarkka & Svensson 2023, algorithms 7.5 and 13.1)."""

    name: ClassVar[str] = "ekf"
    requires: ClassVar[Requirements] = Requirements(
        linear=False, gaussian=False, finite_order=True, exact=False, continuous=True, moments=True
    )  # fmt: skip

    def log_likelihood_terms(self, program: Nonlinear, y: Float[Array, "T m"]) -> Float[Array, " T"]:
        return self.filter(program, y).log_likelihood

    def filter(self, program: Nonlinear, y: Float[Array, "T m"]) -> Estimated:
        """Filtered and one-step-ahead moments of each row."""
        found, _ = _filter(program, y)
        return found

    def smooth(self, program: Nonlinear, y: Float[Array, "T m"]) -> Estimated:
        """Moments of each row given all of y."""
        filtered, (mean, cov, ahead, ahead_cov, cross) = _filter(program, y)
        n = program.facts.n

        def body(later: Law, row: tuple[Array, ...]) -> tuple[Law, Law]:
            m, P, m_, P_, C = row
            G = jnp.linalg.lstsq(P_, C.T)[0].T
            law = Law(m + G @ (later.mean - m_), P + G @ (later.cov - P_) @ G.T)
            return law, law

        last = Law(mean[-1], cov[-1])
        rows = (mean[:-1], cov[:-1], ahead[1:], ahead_cov[1:], cross[1:])
        _, back = jax.lax.scan(body, last, rows, reverse=True)
        mean = jnp.concatenate([back.mean, mean[-1:]])
        cov = jnp.concatenate([back.cov, cov[-1:]])
        t = jnp.arange(len(y))
        signal = jax.vmap(lambda t, m, P: _through(lambda s: program.observed(t, s).mean, Law(m, P)))(t, mean, cov)
        lets = jax.vmap(lambda t, m, P: _through(lambda s: program.definitions(t, s), Law(m, P)))(t, mean, cov)
        return Estimated(mean[:, :n], cov[:, :n, :n], signal.mean, signal.cov, filtered.log_likelihood,
                         definition_mean=lets.mean, definition_sd=_sd(lets.cov))  # fmt: skip


def _filter(program: Nonlinear, y: Array) -> tuple[Estimated, tuple[Array, ...]]:
    facts = program.facts
    n = facts.n
    e0 = jnp.zeros(facts.first_noises)
    start = _through(program.first, Law(e0, jnp.eye(len(e0))))
    still = jnp.zeros(facts.noises)

    def body(before: Law, row: tuple[Array, Array]) -> tuple[Law, tuple[Array, ...]]:
        t, y = row
        F = jax.jacfwd(lambda s: program.transition(t, s, still))(before.mean)
        G = jax.jacfwd(lambda e: program.transition(t, before.mean, e))(still)
        moved = Law(program.transition(t, before.mean, still), F @ before.cov @ F.T + G @ G.T)
        ahead = Law(*(jnp.where(t == 0, a, b) for a, b in zip(start, moved)))
        law, H = program.emission(t, ahead.mean, y), jax.jacfwd(lambda s: program.emission(t, s, y).mean)(ahead.mean)
        after, term = update(ahead, law, H, program.statistic(y))
        seen = program.observed(t, ahead.mean)
        H_ = jax.jacfwd(lambda s: program.observed(t, s).mean)(ahead.mean)
        lets = _through(lambda s: program.definitions(t, s), after)
        return after, (after.mean, after.cov, ahead.mean, ahead.cov, seen.mean, H_ @ ahead.cov @ H_.T + seen.cov, term,
                       lets.mean, _sd(lets.cov), before.cov @ F.T)  # fmt: skip

    _, (mean, cov, ahead, ahead_cov, seen, seen_cov, terms, lets, lets_sd, cross) = jax.lax.scan(
        body, start, (jnp.arange(len(y)), y))  # fmt: skip
    terms = jnp.where(program.exists, terms, -jnp.inf)
    found = Estimated(mean[:, :n], cov[:, :n, :n], seen, seen_cov, terms, ahead[:, :n], ahead_cov[:, :n, :n], lets,
                      lets_sd)  # fmt: skip
    return found, (mean, cov, ahead, ahead_cov, cross)


def update(ahead: Law, emission: Law, H: Float[Array, "k N"], z: Float[Array, " k"]) -> tuple[Law, Float[Array, ""]]:
    """The law after the statistic z, NaN where missing, and the log-density of z."""
    seen = ~jnp.isnan(z)
    H = jnp.where(seen[:, None], H, 0.0)
    R = jnp.where(seen[:, None] & seen[None, :], emission.cov, jnp.diag(jnp.where(seen, 0.0, 1.0)))
    v = jnp.where(seen, z - emission.mean, 0.0)
    S = H @ ahead.cov @ H.T + R
    L = jnp.linalg.cholesky(S)
    W = jax.scipy.linalg.solve_triangular(L, H @ ahead.cov, lower=True)
    u = jax.scipy.linalg.solve_triangular(L, v, lower=True)
    term = -0.5 * jnp.sum(u**2) - jnp.sum(jnp.where(seen, jnp.log(jnp.diagonal(L)) + 0.5 * jnp.log(2 * jnp.pi), 0.0))
    K = jax.scipy.linalg.solve_triangular(L, W, lower=True, trans=1).T
    I_KH = jnp.eye(len(ahead.mean)) - K @ H
    return Law(ahead.mean + W.T @ u, I_KH @ ahead.cov @ I_KH.T + K @ jnp.where(seen[:, None], R, 0.0) @ K.T), term


def _through(f, law: Law) -> Law:  # type: ignore[no-untyped-def]
    J = jax.jacfwd(f)(law.mean)
    return Law(f(law.mean), J @ law.cov @ J.T)


def _sd(cov: Array) -> Array:
    variance = jnp.diagonal(cov, axis1=-2, axis2=-1)
    positive = variance > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, variance, 1.0)), 0.0)
