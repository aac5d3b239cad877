"""Stochastic variational inference: a normal law on the unconstrained scale, fitted by NumPyro's SVI.

Up to `FULL` numbers the law has a full covariance (NumPyro's AutoMultivariateNormal), beyond it a diagonal one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jax import Array
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoDiagonalNormal, AutoMultivariateNormal
from numpyro.infer.initialization import init_to_value
from numpyro.infer.svi import SVIState

from ssmlang.inference.model import potential
from ssmlang.inference.nuts import Derived, Draws
from ssmlang.inference.priors import Priors
from ssmlang.inference.progress import Progress
from ssmlang.inference.starts import CANDIDATES, candidates, find_starts

NoisyLikelihood = Callable[[Mapping[str, Array], Any, Array], Array]
"""log p(data | params) or an estimate of it, from parameters, data and a key."""
FULL = 200
_STEP = 0.03
_LAST_STEP = 0.001
_BLOCK = 250


@dataclass(frozen=True)
class Approximation:
    """Draws of the fitted law, and how the search went: the mean ELBO of each block of steps."""

    draws: Draws
    elbo: np.ndarray
    family: str
    converged: bool


class Svi:
    """A search for one model; keep it, and a second one on data of the same shapes compiles nothing.

    `log_likelihood(params, data, key)` may be an estimate that a gradient goes through. Raises E341 without priors.
    """

    def __init__(self, priors: Priors, log_likelihood: NoisyLikelihood, *, steps: int = 4000,
                 derive: Derived | None = None) -> None:  # fmt: skip
        priors.require_proper('method="svi"')
        self.priors, self.steps, self.log_likelihood = priors, max(steps, _BLOCK), log_likelihood
        self.derive = derive or (lambda params, data: ())
        self.family = "full" if priors.size <= FULL else "diagonal"
        size = priors.size

        def energy(data: Any, key: Array) -> Callable[[Array], Array]:
            return potential(priors, lambda params: log_likelihood(params, data, key))

        def outline() -> Array:
            flat = numpyro.distributions.Normal(0.0, 1.0).expand((size,)).to_event(1).mask(False)
            return numpyro.sample("z", flat)

        def model(data: Any) -> None:
            z = outline()
            key = numpyro.prng_key()
            assert key is not None
            numpyro.factor("log_density", -energy(data, key)(z))

        kind = AutoMultivariateNormal if self.family == "full" else AutoDiagonalNormal
        guide = kind(lambda *_: outline(), init_loc_fn=init_to_value(values={"z": jnp.zeros(size)}), init_scale=0.1)
        decay = (_LAST_STEP / _STEP) ** (1 / self.steps)
        optimiser = numpyro.optim.ClippedAdam(lambda i: _STEP * decay**i)
        self._svi = SVI(model, guide, optimiser, Trace_ELBO())
        # NumPyro begins by going through the model operation by operation, each compiled by itself; what it looks for
        # is in the outline.
        self._outline = SVI(lambda *_: outline(), guide, optimiser, Trace_ELBO())
        self._guide = guide

        def block(state: SVIState, data: Any) -> tuple[SVIState, Array]:
            return jax.lax.scan(lambda s, _: self._svi.stable_update(s, data), state, length=_BLOCK)

        def drawn(params: Any, key: Array, data: Any, count: int) -> tuple[Any, Array, Array, Any]:
            law = guide.get_posterior(params)
            z = law.sample(key, (count,))
            values, _ = jax.vmap(lambda v: priors.constrain(priors.unravel(v)))(z)
            keys = jax.random.split(jax.random.fold_in(key, 1), count)
            lp = jax.lax.map(lambda each: -energy(data, each[0])(each[1]), (keys, z))
            return values, lp, law.log_prob(z), jax.lax.map(lambda one: self.derive(one, data), values)

        self._block = jax.jit(block)
        self._drawn = jax.jit(drawn, static_argnames="count")
        self._gradient = jax.jit(lambda z, data: jax.value_and_grad(energy(data, jax.random.key(0)))(z))
        self._candidates = candidates(priors, CANDIDATES)

    def run(self, data: Any = (), *, draws: int = 1000, chains: int = 4, seed: int = 0,
            progress: bool | str | None = None) -> Approximation:  # fmt: skip
        """Fit the law, and draw from it. Raises E741 if no starting point of finite density is found."""
        blocks = -(-self.steps // _BLOCK)
        with jax.enable_x64(True), Progress(f"svi: {blocks * _BLOCK} steps", blocks * _BLOCK, progress) as bar:
            began = time.perf_counter()
            bar.say("compiling")
            data = jax.tree.map(jnp.asarray, data)
            key = jax.random.key(seed)
            exact = lambda params, data: self.log_likelihood(params, data, jax.random.key(0))
            ((start, _, _),) = find_starts(self.priors, self._candidates, self._gradient, exact, data, key, 1)
            state = self._begin(start, jax.random.fold_in(key, 1), data)
            ready, losses = time.perf_counter(), []
            for _ in range(blocks):
                state, loss = self._block(state, data)
                losses.append(np.asarray(loss))
                bar.advance(_BLOCK, f"ELBO {-np.nanmean(losses[-1]):.6g}")
            values, lp, log_q, derived = self._drawn(self._svi.get_params(state), jax.random.fold_in(key, 2), data,
                                                     count=chains * draws)  # fmt: skip
            shape = lambda x: np.asarray(x).reshape(chains, draws, *np.shape(x)[1:])
            found = Draws({n: shape(values[n]) for n in self.priors.parameters},
                          {"lp": shape(lp), "log_q": shape(log_q)},
                          {"compile_and_start": ready - began, "optimise": time.perf_counter() - ready},
                          derived=jax.tree.map(shape, derived))  # fmt: skip
            elbo = -np.array([np.nanmean(each) for each in losses])
            return Approximation(found, elbo, self.family, _flat_at_the_end(losses))

    def _begin(self, start: Array, key: Array, data: Any) -> SVIState:
        """The first state, with the mean of the law at `start`."""
        state = self._outline.init(key, data)
        self._svi.constrain_fn = self._outline.constrain_fn
        params = dict(self._svi.optim.get_params(state.optim_state))
        params["auto_loc"] = jnp.asarray(start)
        return SVIState(self._svi.optim.init(params), state.mutable_state, state.rng_key)


def _flat_at_the_end(losses: list[np.ndarray]) -> bool:
    """Whether the last tenth of the steps gained no more than what the noise of the ELBO, and rounding, explain."""
    every = np.concatenate(losses)
    tenth = max(len(every) // 10, 20)
    last, before = every[-tenth:], every[-2 * tenth : -tenth]
    if not np.isfinite(last).all():
        return False
    error = np.sqrt((last.var() + before.var()) / tenth)
    return bool(before.mean() - last.mean() < 3 * error + 0.05)
