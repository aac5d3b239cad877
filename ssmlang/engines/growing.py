"""The Kalman filter on the growing state, of all rows so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ssmlang.engines._order_p import Extents, OrderP, order_p, own_noise
from ssmlang.engines._sweeps import sweeps
from ssmlang.engines.base import EngineBase, Filtered, Requirements, Smoothed, register
from ssmlang.engines.batch import check_data
from ssmlang.engines.program import LinearGaussian

SEGMENTS = 4
"""How often the arrays that hold the state are enlarged, at most."""
SEGMENT = 32
"""Rows between two enlargements, at least."""


class _Row(NamedTuple):
    """The numbers of one row of the equation and of its observations."""

    A: Float[Array, "P k k"]
    a: Float[Array, " k"]
    Q: Float[Array, "k k"]
    C: Float[Array, "lags m k"]
    d: Float[Array, " m"]
    R: Float[Array, " m"]
    y: Float[Array, " m"]
    spread: Float[Array, " m"]
    """variance of each observation before any data; what it is compared with to be called exactly predicted"""


class _Found(NamedTuple):
    mean: Float[Array, "*T n"]
    cov: Float[Array, "*T n n"]
    predicted_mean: Float[Array, "*T n"]
    predicted_cov: Float[Array, "*T n n"]
    observed_mean: Float[Array, "*T m"]
    observed_cov: Float[Array, "*T m m"]
    terms: Float[Array, "*T"]


@register
@dataclass(frozen=True)
class Growing(EngineBase):
    """The Kalman filter whose state is (x_0, ..., x_t): each row is appended, nothing is forgotten.

    Programs of any order, noises and initial laws of any rank; the initial law must be proper. Observations are taken
    in one at a time (Koopman & Durbin 2000), so nothing is factored or solved with. Time O(T^3 n^2 m), memory
    O(T^2 n^2), for a gradient O(T^3 n^2); the last covariance is the smoothed one. NaN in y is a missing value. The
    classical method for programs that read their whole past, kept as a measure for the others.
    """

    name: ClassVar[str] = "growing"
    requires: ClassVar[Requirements] = Requirements(linear=True, gaussian=True, finite_order=False, proper_start=True)

    def log_likelihood_terms(self, program: LinearGaussian, y: Float[Array, "T m"]) -> Float[Array, " T"]:
        """Log-density of each row given the rows before it; -inf where one contradicts an exact prediction."""
        return self._run(program, y)[2].terms

    def filter(self, program: LinearGaussian, y: Float[Array, "T m"]) -> Filtered:
        """Filtered and one-step-ahead moments; rows of NaN at the end are forecasts."""
        return Filtered(*self._run(program, y)[2])

    def smooth(self, program: LinearGaussian, y: Float[Array, "T m"]) -> Smoothed:
        """Moments given all of y, of the states and of the signal."""
        form, S, found = self._run(program, y)
        e = form.extents
        mean, cov = S[:, -1].reshape(e.rows, e.k), S[:, :-1].reshape(e.rows, e.k, e.rows, e.k)
        C = form.per_row("C") * (np.arange(e.k) < e.signal)
        wide = jax.vmap(lambda C, t: _laid_out(C, e.past + t, 0, e.rows))(C, jnp.arange(e.steps))
        signal_mean = wide @ S[:, -1] + form.d
        signal_cov = wide @ S[:, :-1] @ jnp.swapaxes(wide, 1, 2)
        rows = e.past + np.arange(e.steps)
        return Smoothed(mean[rows, : e.n], cov[rows, :, rows, :][:, : e.n, : e.n], signal_mean, signal_cov, found.terms)

    def _run(self, program: LinearGaussian, y: Array) -> tuple[OrderP, Array, _Found]:
        """The last state, and the moments of each row."""
        check_data(program, y)
        form = order_p(program, len(y), diagonal=True)
        e, k = form.extents, form.extents.k
        rows = _Row(
            A=form.per_row("A"), a=form.per_row("a"), Q=form.per_row("Q"), C=form.per_row("C"), d=form.per_row("d"),
            R=jnp.diagonal(form.per_row("R"), axis1=1, axis2=2), y=y, spread=_unconditional(form, program),
        )  # fmt: skip
        S = jnp.concatenate([form.cov, form.mean.reshape(-1, 1)], axis=1)
        parts, length = [], max(-(-e.steps // SEGMENTS), SEGMENT)
        for start in range(0, e.steps, length):
            stop = min(start + length, e.steps)
            more = (e.past + stop) * k - len(S)
            S = jnp.concatenate(
                [jnp.pad(S[:, :-1], ((0, more), (0, more))), jnp.pad(S[:, -1:], ((0, more), (0, 0)))], 1
            )
            taken = jax.tree.map(lambda a, start=start, stop=stop: a[start:stop], rows)
            step = lambda S, x: _advance(S, x[0], x[1], e)
            S, found = jax.lax.scan(step, S, (jnp.arange(start, stop), taken))
            parts.append(found)
        found = jax.tree.map(lambda *a: jnp.concatenate(a), *parts)
        return form, S, found._replace(terms=jnp.where(program.initial.exists, found.terms, -jnp.inf))


def _advance(S: Float[Array, "size size+1"], t: Array, row: _Row, e: Extents) -> tuple[Array, _Found]:
    """Append row t, and take in its observations."""
    k, i = e.k, e.past + t
    size = S.shape[0]
    rows = size // k
    A = _laid_out(row.A, i, 1, rows)
    new = A @ S
    own = jax.lax.dynamic_update_slice(jnp.zeros((k, size + 1), S.dtype), new[:, :-1] @ A.T + row.Q, (0, i * k))
    new = (new + own).at[:, -1].add(row.a)
    at = jax.lax.dynamic_slice(S, (i * k, 0), (k, size + 1))
    new = jnp.where(t == 0, at, new)
    S = jax.lax.dynamic_update_slice(S, new, (i * k, 0))
    S = jax.lax.dynamic_update_slice(S, new[:, :-1].T, (0, i * k))

    C = _laid_out(row.C, i, 0, rows)
    predicted = _moments(S, i, e)
    observed_mean = C @ S[:, -1] + row.d
    observed_cov = C @ S[:, :-1] @ C.T + jnp.diag(row.R)
    S, terms = jax.lax.scan(_update, S, (C, row.d, row.R, row.y, row.spread))
    return S, _Found(*_moments(S, i, e), *predicted, observed_mean, observed_cov, jnp.sum(terms))


def _update(S: Float[Array, "size size+1"], x: tuple[Array, Array, Array, Array, Array]) -> tuple[Array, Array]:
    """Take in one observation; one that the others predict exactly is skipped, or impossible."""
    c, d, R, y, spread = x
    seen = ~jnp.isnan(y)
    y = jnp.where(seen, y, 0.0)
    tolerance = 4.0 * S.shape[0] * float(jnp.finfo(S.dtype).eps)
    cS = c @ S
    v, F = y - d - cS[-1], cS[:-1] @ c + R
    zero = (R == 0.0) & (tolerance * spread >= F)
    near = np.sqrt(tolerance) * (jnp.abs(y) + jnp.abs(d) + jnp.sum(jnp.abs(c * S[:, -1])) + jnp.sqrt(spread))
    used = seen & ~zero
    v, F = jnp.where(used, v, 0.0), jnp.where(used, F, 1.0)
    K = jnp.where(used, cS[:-1] / F, 0.0)
    S = S - K[:, None] * cS.at[-1].set(-v)
    term = jnp.where(used, -0.5 * (v**2 / F + jnp.log(F) + np.log(2 * np.pi)), 0.0)
    return S, jnp.where(seen & zero & (jnp.abs(y - d - cS[-1]) > near), -jnp.inf, term)


def _moments(S: Float[Array, "size size+1"], i: Array, e: Extents) -> tuple[Float[Array, " n"], Float[Array, "n n"]]:
    """Of the states of one row."""
    mean = jax.lax.dynamic_slice(S, (i * e.k, S.shape[0]), (e.n, 1))[:, 0]
    return mean, jax.lax.dynamic_slice(S, (i * e.k, i * e.k), (e.n, e.n))


def _laid_out(X: Float[Array, "lags i k"], row: Array, first: int, rows: int) -> Float[Array, "i rows*k"]:
    """Coefficients by lag, the first of them at lag `first`, as coefficients on the rows of the growing state."""
    lag = row - first - jnp.arange(rows)
    there = (lag >= 0) & (lag < len(X))
    wide = jnp.where(there[:, None, None], X[jnp.clip(lag, 0, len(X) - 1)], 0.0)
    return jnp.moveaxis(wide, 0, 1).reshape(X.shape[1], -1)


def _unconditional(form: OrderP, program: LinearGaussian) -> Float[Array, "T m"]:
    """Variances of the observations before any data, where some could be predicted exactly; else zero."""
    e = form.extents
    if all(own_noise(program.structure)):
        return jnp.zeros((e.steps, e.m), form.d.dtype)
    s = sweeps(jax.lax.stop_gradient(form))
    each = jnp.eye(e.rows * e.k, dtype=form.d.dtype).reshape(e.rows, e.k, e.rows * e.k)
    responses = s.emit(s.forward(each)).reshape(e.steps, e.m, e.rows, e.k)
    responses = jnp.moveaxis(responses, (0, 1), (2, 3))
    return jnp.einsum("rktm,rktm->tm", responses, s.source(responses))
