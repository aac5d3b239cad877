"""Particle Gibbs: the states given the parameters, the parameters given the states, in turn.

The states by conditional SMC with ancestor sampling (Lindsten, Jordan & Schon 2014), the parameters by a transition of
the no-U-turn sampler for their law given the states, which has a density with a gradient.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro  # noqa: F401, whole before its parts: see `laws`
from jax import Array
from numpyro.infer.hmc import hmc
from numpyro.infer.util import ParamInfo

from ssmlang.engines._kernel import on_cpu
from ssmlang.inference.chains import BLOCK, Run, gathered
from ssmlang.inference.model import potential
from ssmlang.inference.nuts import Draws
from ssmlang.inference.priors import Priors
from ssmlang.inference.progress import Progress
from ssmlang.inference.starts import candidates
from ssmlang.language.diagnostics import Diagnostic, SsmError

Params = Mapping[str, Array]
Paths = Any
"""A tree of the states of all series."""
SWEEPS = 10
"""Of the states alone, before the parameters move."""
_TRIED = 16
_DEPTH = 6


class Gibbs(NamedTuple):
    """One chain: the sampler of the parameters, the states, a key."""

    kernel: Any
    paths: Paths
    key: Array


class ParticleGibbs:
    """A sampler for one model and one number of particles; keep it, and a second run compiles nothing.

    `joint(params, data, paths)`: log p(states, data | params). `renew(params, data, paths, key)`: new states from those
    at hand. `ahead(params, data, key)`: states from the model alone. `every`: of how many draws one keeps its states.
    """

    def __init__(self, priors: Priors, joint: Callable[[Params, Any, Paths], Array],
                 renew: Callable[[Params, Any, Paths, Array], Paths], ahead: Callable[[Params, Any, Array], Paths], *,
                 warmup: int, every: int) -> None:  # fmt: skip
        priors.require_proper('method="pgibbs"')
        self.priors, self.joint, self.renew, self.ahead = priors, joint, renew, ahead
        self.warmup, self.every = warmup, every
        self.batched = not on_cpu()
        init, self._sample = hmc(potential_fn_gen=self._energy, algo="NUTS")
        self._begin = lambda info, key, data, paths: init(
            info, rng_key=key, model_args=(data, paths), num_warmup=warmup, max_tree_depth=_DEPTH
        )
        self._start, self._try = jax.jit(self._started), jax.jit(self._tried)
        self._block = jax.jit(jax.vmap(self._blocked, (0, None, None)) if self.batched else self._blocked)
        self._candidates = candidates(priors, _TRIED)

    def _energy(self, data: Any, paths: Paths) -> Callable[[Array], Array]:
        return potential(self.priors, lambda params: self.joint(params, data, paths))

    def _params(self, z: Array) -> dict[str, Array]:
        return self.priors.constrain(self.priors.unravel(z))[0]

    def _tried(self, z: Array, data: Any, key: Array) -> tuple[Paths, Array]:
        """States for a point, after some sweeps, and the energy there."""
        params = self._params(z)
        first, key = jax.random.split(key)
        paths = self.ahead(params, data, first)
        sweep = lambda paths, key: (self.renew(params, data, paths, key), None)
        paths, _ = jax.lax.scan(sweep, paths, jax.random.split(key, SWEEPS))
        return paths, self._energy(data, paths)(z)

    def _started(self, z: Array, paths: Paths, data: Any, key: Array) -> Gibbs:
        energy, slope = jax.value_and_grad(self._energy(data, paths))(z)
        own, key = jax.random.split(key)
        kernel = self._begin(ParamInfo(z, energy, slope), own, data, paths)
        return Gibbs(kernel, paths, jax.random.key_data(key))

    def _step(self, state: Gibbs, data: Any) -> Gibbs:
        key, own = jax.random.split(jax.random.wrap_key_data(state.key))
        paths = self.renew(self._params(state.kernel.z), data, state.paths, own)
        # The kernel keeps the energy of where it is, and that is another with other states.
        energy, slope = jax.value_and_grad(self._energy(data, paths))(state.kernel.z)
        kernel = state.kernel._replace(potential_energy=energy, z_grad=slope)
        return Gibbs(self._sample(kernel, model_args=(data, paths)), paths, jax.random.key_data(key))

    def _blocked(self, state: Gibbs, data: Any, count: Array) -> tuple[Gibbs, Any, Any, Any]:
        kept = -(-BLOCK // self.every)

        def record(s: Any) -> dict[str, Array]:
            return {"z": s.z, "lp": -s.potential_energy, "n_steps": s.num_steps, "acceptance_rate": s.accept_prob,
                    "diverging": s.diverging, "step_size": s.adapt_state.step_size}  # fmt: skip

        def iterate(i: Array, carry: Any) -> Any:
            state, stats, paths, moved = carry
            after = self._step(state, data)
            stats = jax.tree.map(lambda every, new: every.at[i].set(new), stats, record(after.kernel))
            at = jnp.where(i % self.every == 0, i // self.every, kept)  # off the end: not kept
            paths = jax.tree.map(lambda every, new: every.at[at].set(new, mode="drop"), paths, after.paths)
            changed = [jnp.mean(jnp.any(a != b, axis=-1).astype(float)) for a, b in
                       zip(jax.tree.leaves(after.paths), jax.tree.leaves(state.paths))]  # fmt: skip
            return after, stats, paths, moved.at[i].set(jnp.mean(jnp.stack(changed)))

        blank = lambda size, tree: jax.tree.map(lambda x: jnp.zeros((size, *jnp.shape(x)), jnp.result_type(x)), tree)
        carry = (state, blank(BLOCK, record(state.kernel)), blank(kept, state.paths), jnp.zeros(BLOCK))
        state, stats, paths, moved = jax.lax.fori_loop(0, count, iterate, carry)
        z = stats.pop("z")
        return state, jax.vmap(self._params)(z), {**stats, "states_renewed": moved}, paths

    def run(self, data: Any, centre: np.ndarray | None = None, *, draws: int = 1000, chains: int = 4, seed: int = 0,
            progress: bool | str | None = None) -> Draws:  # fmt: skip
        """Sample; `centre`: a point worth trying beside draws from the prior. Raises E741 where no start is found."""
        title = f"pgibbs: {chains} x ({self.warmup} + {draws})"
        with jax.enable_x64(True), Progress(title, chains * (self.warmup + draws), progress) as bar:
            began = time.perf_counter()
            bar.say("compiling")
            data = jax.tree.map(jnp.asarray, data)
            states = [self._found(jax.random.key(seed), chain, data, centre) for chain in range(chains)]
            ready = time.perf_counter()
            if self.batched:
                states = [jax.tree.map(lambda *x: jnp.stack(x), *states)]
            phases = (("warm-up", self.warmup), ("sampling", draws))
            run = Run(self._block, data, phases, bar, chains=chains, batched=self.batched, every=self.every,
                      noun="divergences", count_of=lambda stats: int(stats["diverging"].sum()))  # fmt: skip
            kept, _, interrupted = run.all(states)
            params, stats, paths = gathered(kept, self.batched)
            params = {name: params[name] for name in self.priors.parameters}
            seconds = {"compile_and_start": ready - began, "sample": time.perf_counter() - ready}
            return Draws(params, stats, seconds, interrupted, paths)

    def _found(self, key: Array, chain: int, data: Any, centre: np.ndarray | None) -> Gibbs:
        """A chain at the best of a few points for which states of positive density are found."""
        own = jax.random.fold_in(key, chain)
        points = [np.asarray(z) for z in self._candidates(own, 0)[: 4 if centre is not None else _TRIED]]
        if centre is not None:
            noise = np.random.default_rng([chain, 7]).standard_normal((4, len(centre)))
            points += list(np.asarray(centre) + 0.1 * noise)
        best: tuple[float, Any, Any] = (np.inf, None, None)
        for i, z in enumerate(points):
            paths, energy = self._try(jnp.asarray(z), data, jax.random.fold_in(own, i))
            if np.isfinite(energy) and float(energy) < best[0]:
                best = (float(energy), z, paths)
        if best[1] is None:
            raise SsmError(Diagnostic(
                "E741", f"no starting point of finite density among {len(points)} draws from the prior",
                why=("no states were found that can have given the data",),
                help=("compare the scale of the priors with that of the data: model.simulate() draws from both",),
            ))  # fmt: skip
        return self._start(jnp.asarray(best[1]), best[2], data, jax.random.fold_in(own, 2**16))
