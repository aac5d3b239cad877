"""SMC over parameters with estimated likelihoods: from the prior to the posterior through tempered ones.

The posteriors prior * likelihood^lambda, lambda from 0 to 1, each so far from the one before that the effective sample
size halves (Duan & Fulop 2015, the density-tempered form of the SMC^2 of Chopin, Jacob & Papaspiliopoulos 2013). At
each, a few points are drawn again and moved by particle marginal Metropolis-Hastings, and every point on their ways is
kept: waste-free SMC (Dau & Chopin 2022). The evidence comes with it.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.special import logsumexp

from ssmlang.engines._kernel import on_cpu
from ssmlang.inference.chains import for_a_thread
from ssmlang.inference.noisy import NoisyLikelihood, Target
from ssmlang.inference.nuts import Draws
from ssmlang.inference.pmmh import ACCEPTANCE
from ssmlang.inference.priors import Priors
from ssmlang.inference.progress import Progress
from ssmlang.inference.starts import candidates
from ssmlang.language.diagnostics import Diagnostic, SsmError

LENGTH = 20
"""Points on the way of one that is moved, itself included."""
PARTS = 2
"""Into so many parts the points are divided on a CPU, each moved in a thread of its own."""
MOST_TEMPERATURES = 200
"""After so many the rest is one step: points that get no further are those of an estimate too noisy to temper."""


@dataclass(frozen=True)
class Population:
    """Equally weighted points of the posterior and the estimates made there, with the evidence."""

    z: np.ndarray
    prior: np.ndarray
    likelihood: np.ndarray
    acceptance: float
    """of the last moves"""
    log_evidence: float
    temperatures: tuple[float, ...]


class Smc2:
    """A sampler of `size` points for one model and one number of particles; keep it, and a second run compiles
    nothing. Raises E341 if a parameter has no prior."""

    def __init__(self, priors: Priors, log_likelihood: NoisyLikelihood, size: int) -> None:
        priors.require_proper('method="smc2"')
        self.priors, self.target, self.size = priors, Target(priors, log_likelihood), size
        self.length = min(LENGTH, max(2, size // 10))
        self.starts = PARTS * -(-size // (PARTS * self.length))
        self.kept = self.starts * self.length
        self._draw = candidates(priors, self.kept)
        self.parts = PARTS if on_cpu() else 1
        self._first = jax.jit(self.target.of_points)
        self._move = jax.jit(self._moved)
        self._own = jax.jit(jax.vmap(self.target.params))

    def population(self, data: Any, key: Array, bar: Progress, label: str = "") -> Population:
        """One run from the prior to the posterior. Raises E742 where the likelihood is finite nowhere."""
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        z = np.asarray(self._draw(key, 0))
        prior, likelihood = self._in_parts(self._first, (z,), data, jax.random.fold_in(key, 1))
        if not np.isfinite(likelihood).any():
            raise SsmError(Diagnostic(
                "E742", 'method="smc2" finds no point where the likelihood is finite',
                why=(f"it was zero at all {len(z)} points drawn from the prior",),
                help=("compare the scale of the priors with that of the data: model.simulate() draws from both",),
            ))  # fmt: skip
        at, evidence, scale, rate = 0.0, 0.0, 2.38 / np.sqrt(max(z.shape[1], 1)), np.nan
        temperatures = [0.0]
        while at < 1.0:
            after = next_temperature(likelihood, at) if len(temperatures) <= MOST_TEMPERATURES else 1.0
            weights = (after - at) * likelihood
            evidence += logsumexp(weights) - np.log(len(z))
            weights = np.exp(weights - logsumexp(weights))
            root = _root(z, weights)
            chosen = _systematic(weights, self.starts, rng)
            points = (z[chosen], prior[chosen], likelihood[chosen])
            key = jax.random.fold_in(key, 2)
            more = (jnp.asarray(root * scale), jnp.asarray(after))
            z, prior, likelihood, rates = self._in_parts(self._move, points, data, key, more)
            z = z.reshape(-1, z.shape[-1])
            prior, likelihood = prior.ravel(), likelihood.ravel()
            rate = float(np.mean(rates))
            scale *= np.exp(2 * (rate - ACCEPTANCE))
            bar.advance(round(100 * after) - round(100 * at), f"{label}temperature {after:.3g}")
            at = after
            temperatures.append(at)
        return Population(z, prior, likelihood, rate, float(evidence), tuple(temperatures))

    def run(self, data: Any = (), *, chains: int = 4, seed: int = 0, progress: bool | str | None = None
            ) -> tuple[Draws, list[Population]]:  # fmt: skip
        """`chains` runs, apart from each other: draws (chain, draw, *shape), and the populations."""
        title = f"smc2: {chains} x {self.kept}"
        with jax.enable_x64(True), Progress(title, 100 * chains, progress) as bar:
            began = time.perf_counter()
            data = jax.tree.map(jnp.asarray, data)
            keys = jax.random.split(jax.random.key(seed), chains)
            found = [self.population(data, key, bar, f"chain {i}, ") for i, key in enumerate(keys)]
            z = np.stack([p.z[: self.size] for p in found])
            params = self._own(z.reshape(-1, z.shape[-1]))
            shape = lambda x: np.asarray(x).reshape(chains, self.size, *np.shape(x)[1:])
            stats = {"lp": np.stack([(p.prior + p.likelihood)[: self.size] for p in found]),
                     "log_likelihood": np.stack([p.likelihood[: self.size] for p in found])}  # fmt: skip
            draws = Draws({n: shape(params[n]) for n in self.priors.parameters}, stats,
                          {"sample": time.perf_counter() - began})  # fmt: skip
            return draws, found

    def _in_parts(self, function: Any, points: tuple[np.ndarray, ...], data: Any, key: Array, more: Any = ()) -> Any:
        """A function of points, computed part by part at the same time."""
        split = [np.array_split(p, self.parts) for p in points]
        jobs = [(*(s[i] for s in split), data, jax.random.fold_in(key, i), *more) for i in range(self.parts)]
        there = for_a_thread(lambda *job: jax.device_get(function(*job)))
        with ThreadPoolExecutor(self.parts) as pool:
            found = list(pool.map(lambda job: there(*job), jobs))
        return tuple(np.concatenate(each) for each in zip(*found))

    def _moved(self, z: Array, prior: Array, likelihood: Array, data: Any, key: Array, root: Array, temperature: Array
               ) -> tuple[Array, Array, Array, Array]:  # fmt: skip
        """The ways of some points: (point, step, ...), and the share of proposals that each took."""
        Point = tuple[Array, Array, Array]

        def step(at: Point, key: Array) -> tuple[Point, tuple[Point, Array]]:
            moves, estimates, takes = jax.random.split(key, 3)
            new = at[0] + root @ jax.random.normal(moves, at[0].shape)
            there = (new, self.target.prior(new), self.target.likelihood(new, data, estimates))
            gain = there[1] - at[1] + temperature * (there[2] - at[2])
            taken = jnp.log(jax.random.uniform(takes)) < gain
            after = jax.tree.map(lambda a, b: jnp.where(taken, a, b), there, at)
            return after, (after, taken)

        def way(each: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
            first = each[:3]
            _, (later, taken) = jax.lax.scan(step, first, jax.random.split(each[3], self.length - 1))
            whole = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, later)
            return (*whole, jnp.mean(taken.astype(float)))

        each = (z, prior, likelihood, jax.random.split(key, len(z)))
        return jax.lax.map(way, each) if on_cpu() else jax.vmap(way)(each)


def next_temperature(likelihood: np.ndarray, at: float, share: float = 0.5) -> float:
    """The temperature at which the weights' effective sample size is `share` of the points; 1 where it is more."""

    def enough(to: float) -> bool:
        weights = (to - at) * likelihood
        return 2 * logsumexp(weights) - logsumexp(2 * weights) >= np.log(share * len(likelihood))

    if enough(1.0):
        return 1.0
    finite = np.isfinite(likelihood)
    if finite.mean() <= share:  # what is impossible goes at once, whatever the temperature
        kept = likelihood[finite]
        if finite.all() or len(kept) == len(likelihood):
            return 1.0
        return next_temperature(kept, at, share)
    low, high = at, 1.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if enough(middle) else (low, middle)
    return max(low, np.nextafter(at, 2.0))


def _root(z: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """A root of the weighted covariance; the points' own spread where that has no full rank."""
    mean = weights @ z
    cov = (z - mean).T @ ((z - mean) * weights[:, None])
    try:
        return np.linalg.cholesky(cov)
    except np.linalg.LinAlgError:
        return np.diag(np.maximum(z.std(0), 1e-8))


def _systematic(weights: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    at = (np.arange(count) + rng.uniform()) / count
    return np.minimum(np.searchsorted(np.cumsum(weights), at), len(weights) - 1)
