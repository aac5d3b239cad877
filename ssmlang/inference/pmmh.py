"""Particle marginal Metropolis-Hastings (Andrieu, Doucet & Holenstein 2010, section 2.4.2).

A random walk on the unconstrained scale whose covariance follows the chain's own in the warm-up (Haario, Saksman &
Tamminen 2001) and whose scale is moved to an acceptance rate (Andrieu & Thoms 2008, algorithm 4); both stand still
afterwards.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from ssmlang.engines._kernel import on_cpu
from ssmlang.inference.chains import BLOCK, Run, gathered
from ssmlang.inference.noisy import NoisyLikelihood, Target
from ssmlang.inference.nuts import Draws
from ssmlang.inference.priors import Priors
from ssmlang.inference.progress import Progress

ACCEPTANCE = 0.234
"""The rate that a random walk in many dimensions is best at (Roberts, Gelman & Gilks 1997)."""


class Walker(NamedTuple):
    """One chain: where it is, the estimate made there, and its proposal."""

    z: Float[Array, " d"]
    prior: Float[Array, ""]
    likelihood: Float[Array, ""]
    key: Array
    mean: Float[Array, " d"]
    cov: Float[Array, "d d"]
    log_scale: Float[Array, ""]
    left: Array
    """iterations in which the proposal still learns"""
    done: Array


class Pmmh:
    """A sampler for one model and one number of particles; keep it, and a second run compiles nothing.

    Raises E341 if a parameter has no prior.
    """

    def __init__(self, priors: Priors, log_likelihood: NoisyLikelihood) -> None:
        priors.require_proper('method="pmmh"')
        self.priors, self.target = priors, Target(priors, log_likelihood)
        self.batched = not on_cpu()
        self._restart, self.score = jax.jit(self._restarted), jax.jit(self.target.of_points)
        self._block = jax.jit(jax.vmap(self._blocked, (0, None, None)) if self.batched else self._blocked)

    def begin(self, z: np.ndarray, cov: np.ndarray, key: Array, warmup: int, data: Any) -> Walker:
        """A chain at a point, with a first proposal and so many iterations to learn in."""
        d = max(len(z), 1)
        number = lambda x: jnp.asarray(x, float)
        first = Walker(number(z), number(0.0), number(0.0), jax.random.key_data(key), number(z), number(cov),
                       number(np.log(2.38 / np.sqrt(d))), jnp.asarray(warmup), jnp.asarray(0))  # fmt: skip
        return self.restarted(first, data)

    def restarted(self, walker: Walker, data: Any) -> Walker:
        """The chain where it is, with an estimate of this sampler's own."""
        return self._restart(walker, data)

    def _restarted(self, walker: Walker, data: Any) -> Walker:
        key, own = jax.random.split(jax.random.wrap_key_data(walker.key))
        return walker._replace(prior=self.target.prior(walker.z), key=jax.random.key_data(key),
                               likelihood=self.target.likelihood(walker.z, data, own))  # fmt: skip

    def warmed(self, walkers: list[Walker], data: Any, iterations: int, bar: Progress) -> list[Walker]:
        """The chains after so many iterations of which nothing is kept. Ctrl-C ends it."""
        found, after = self.run(walkers, data, iterations, bar, "warm-up")
        if found.interrupted:
            raise KeyboardInterrupt
        return after

    def run(self, walkers: list[Walker], data: Any, iterations: int, bar: Progress, phase: str
            ) -> tuple[Draws, list[Walker]]:  # fmt: skip
        """So many iterations of every chain; their draws, and the chains after them."""
        began = time.perf_counter()
        states = [jax.tree.map(lambda *x: jnp.stack(x), *walkers)] if self.batched else list(walkers)
        run = Run(self._block, data, ((phase, iterations),), bar, chains=len(walkers), batched=self.batched)
        kept, ends, interrupted = run.all(states)
        if self.batched and ends:
            ends = [jax.tree.map(lambda x, i=i: x[i], ends[0]) for i in range(len(walkers))]
        params, stats, _ = gathered(kept, self.batched)
        params = {name: params[name] for name in self.priors.parameters}
        return Draws(params, stats, {"sample": time.perf_counter() - began}, interrupted), ends

    def _blocked(self, walker: Walker, data: Any, count: Array) -> tuple[Walker, Any, Any, Any]:
        record = lambda w, rate: {"z": w.z, "lp": w.prior + w.likelihood, "log_likelihood": w.likelihood,
                                  "acceptance_rate": rate}  # fmt: skip
        kept = jax.tree.map(lambda x: jnp.zeros((BLOCK, *x.shape), x.dtype), record(walker, jnp.zeros(())))

        def iterate(i: Array, carry: Any) -> Any:
            walker, kept = carry
            walker, rate = self.step(walker, data)
            return walker, jax.tree.map(lambda every, new: every.at[i].set(new), kept, record(walker, rate))

        walker, kept = jax.lax.fori_loop(0, count, iterate, (walker, kept))
        return walker, jax.vmap(self.target.params)(kept.pop("z")), kept, ()

    def step(self, walker: Walker, data: Any) -> tuple[Walker, Array]:
        """One proposal: the chain after it, and the probability with which it was taken."""
        key, moves, estimates, takes = jax.random.split(jax.random.wrap_key_data(walker.key), 4)
        root = jnp.linalg.cholesky(walker.cov)
        z = walker.z + jnp.exp(walker.log_scale) * root @ jax.random.normal(moves, walker.z.shape)
        prior = self.target.prior(z)
        likelihood = self.target.likelihood(z, data, estimates)
        rate = jnp.exp(jnp.minimum(prior + likelihood - walker.prior - walker.likelihood, 0.0))
        rate = jnp.where(jnp.isnan(rate), 0.0, rate)
        taken = jax.random.uniform(takes) < rate
        pick = lambda new, old: jnp.where(taken, new, old)
        after = walker._replace(z=pick(z, walker.z), prior=pick(prior, walker.prior), key=jax.random.key_data(key),
                                likelihood=pick(likelihood, walker.likelihood))  # fmt: skip
        return _learnt(after, rate), rate


def _learnt(walker: Walker, rate: Array) -> Walker:
    """The proposal after one more point of the chain, in the warm-up."""
    # The first covariance counts as so many points: it comes from a search, and one chain's start says less.
    gain = (walker.done + 50.0) ** -0.7
    off = walker.z - walker.mean
    learns = walker.left > 0
    pick = lambda new, old: jnp.where(learns, new, old)
    return walker._replace(
        mean=pick(walker.mean + gain * off, walker.mean),
        cov=pick(walker.cov + gain * (off[:, None] * off[None, :] - walker.cov), walker.cov),
        log_scale=pick(walker.log_scale + (walker.done + 1.0) ** -0.6 * (rate - ACCEPTANCE), walker.log_scale),
        left=jnp.maximum(walker.left - 1, 0), done=walker.done + 1,
    )  # fmt: skip
