"""Nonlinear programs for the tests of engines, and answers by other means: a linear program as one, a grid filter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import jax
import jax.numpy as jnp
import numpy as np

from ssmlang.engines import LinearGaussian
from ssmlang.engines.nonlinear import Facts, Law, Nonlinear


def unused(*_):
    raise AssertionError("a Gaussian engine does not draw, nor take densities")


def gaussian(facts: Facts, first: Callable, transition: Callable, emission: Callable) -> Nonlinear:
    """A program of the maps alone; `emission` (t, s) gives mean and covariance of y."""
    given = dict(facts=facts, first=first, transition=transition, emission=lambda t, s, y: emission(t, s),
                 statistic=lambda y: y, observed=emission, definitions=lambda t, s: s[:1] ** 2,
                 exists=True)  # fmt: skip
    return Nonlinear(**{f.name: given.get(f.name, unused) for f in fields(Nonlinear)})


def as_nonlinear(program: LinearGaussian, additive: bool) -> Nonlinear:
    """A linear program of first order, no noise read twice, as functions of rows; it does not say that it is linear."""
    s = program.structure
    assert s.memory_size == s.n and len(program.F) == 1
    P = program.initial.factor @ program.initial.factor.T + program.initial.cov
    w, V = np.linalg.eigh(P)
    root = V * np.sqrt(np.maximum(w, 0.0))
    F, G, H, J = (jnp.asarray(a)[0] for a in (program.F, program.G, program.H, program.J))
    facts = Facts(n=s.n, N=s.n, first_noises=s.n, noises=s.r, m=s.m, k=s.m, definitions=1, additive=additive)
    return gaussian(
        facts, lambda e: program.initial.mean + root @ e, lambda t, s, e: F @ s + program.c + G @ e,
        lambda t, s: Law(H @ s + program.d, J @ J.T),
    )  # fmt: skip


GRID = np.linspace(-40.0, 40.0, 2001)


def grid_filter(f: Callable, q: float, density: Callable, start: tuple[float, float], y: np.ndarray):
    """log p(y), filtered means and variances of x_t = f(x_{t-1}) + N(0, q^2), by a sum over a fine grid."""
    step = GRID[1] - GRID[0]
    normal = lambda x, m, s: np.exp(-0.5 * ((x - m) / s) ** 2) / (s * np.sqrt(2 * np.pi))
    law = normal(GRID, *start)
    kernel = normal(GRID[:, None], f(GRID)[None, :], q)
    total, means, variances = 0.0, [], []
    for t, now in enumerate(y):
        if t:
            law = kernel @ law * step
        if not np.isnan(now):
            law = law * np.exp(density(now, GRID))
        mass = law.sum() * step
        total += np.log(mass)
        law = law / mass
        means.append((GRID * law).sum() * step)
        variances.append((GRID**2 * law).sum() * step - means[-1] ** 2)
    return total, np.array(means), np.array(variances)


def scalar(f: Callable, q: float, emission: Callable, start: tuple[float, float], additive: bool = True) -> Nonlinear:
    """The program of `grid_filter`; `emission` (x) gives mean and variance of y."""
    facts = Facts(n=1, N=1, first_noises=1, noises=1, m=1, k=1, definitions=1, additive=additive)

    def seen(t: jax.Array, s: jax.Array) -> Law:
        mean, variance = emission(s[0])
        return Law(jnp.reshape(mean, (1,)), jnp.reshape(variance, (1, 1)))

    return gaussian(facts, lambda e: start[0] + start[1] * e, lambda t, s, e: f(s) + q * e, seen)
