"""The no-U-turn sampler: NumPyro's kernel in a few small compiled programs, kept from call to call.

`numpyro.infer.MCMC.run` traces and compiles the model's initialisation and the sampling loop anew at every run, which
for a small state-space model is most of its time. Here the potential and NumPyro's own building blocks (`hmc(...)`) are
compiled once; data are arguments, so that a second fit of the same shapes compiles nothing. On a CPU each chain runs in
a thread of its own: XLA compiles the scan of a small filter to one native loop, and batching the chains would break it
into one kernel an operation (measured on a local level of 100 rows: 12 us a gradient alone, 330 us for four batched).
On an accelerator the chains are batched.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import numpyro  # noqa: F401, whole before its parts: see `laws`
from jax import Array
from numpyro.infer.hmc import hmc
from numpyro.infer.util import ParamInfo

from ssmlang.engines._kernel import on_cpu
from ssmlang.inference.chains import BLOCK, Run, for_a_thread, gathered
from ssmlang.inference.model import potential
from ssmlang.inference.priors import Priors
from ssmlang.inference.progress import Progress
from ssmlang.inference.quick import compiled_of_many_small, quickly_compiled
from ssmlang.inference.starts import CANDIDATES, candidates, find_starts

DataLikelihood = Callable[[Mapping[str, Array], Any], Array]
"""log p(data | params), a scalar, of parameters on their own scale and a tree of arrays."""
Derived = Callable[[Mapping[str, Array], Any], Any]
"""What else to keep of a draw: a tree of arrays from (params, data)."""
ChainMethod = Literal["threads", "vectorized"]


@dataclass(frozen=True)
class Draws:
    """Draws of the parameters, each (chain, draw, *shape), and the sampler's own record, each (chain, draw)."""

    params: dict[str, np.ndarray]
    stats: dict[str, np.ndarray]
    seconds: dict[str, float] = field(default_factory=dict)
    interrupted: bool = False
    derived: Any = None
    """What was asked to be kept beside the parameters, (chain, kept draw, ...)."""

    @property
    def divergences(self) -> int:
        return int(self.stats["diverging"].sum())


class Nuts:
    """A sampler for one model; keep it, and a second run on data of the same shapes compiles nothing.

    `log_likelihood(params, data)` is traced once for each shape of `data`. `warmup` and the options are part of the
    compiled programs; the number of draws, the seed and the data are not. `small`: a gradient is so little work that
    the sampler's own is more, which decides how it is compiled on a CPU. `derive`: what else to keep of every
    `every`-th draw (a divisor of 100). Raises E341 if a parameter has no prior.
    """

    def __init__(
        self,
        priors: Priors,
        log_likelihood: DataLikelihood,
        *,
        warmup: int = 1000,
        chains: int = 4,
        target_accept: float = 0.8,
        max_tree_depth: int = 10,
        dense_mass: bool = False,
        chain_method: ChainMethod | None = None,
        small: bool = False,
        derive: Derived | None = None,
        every: int = 1,
    ) -> None:
        priors.require_proper('method="nuts"')
        self.priors, self.warmup, self.chains = priors, warmup, chains
        self.log_likelihood = log_likelihood
        self.derive, self.every = derive or (lambda params, data: ()), every
        self.small = small and on_cpu()
        self.chain_method = chain_method or ("threads" if on_cpu() else "vectorized")
        init, self._sample_kernel = hmc(potential_fn_gen=self._energy, algo="NUTS")
        options: dict[str, Any] = dict(
            num_warmup=warmup, target_accept_prob=target_accept, max_tree_depth=max_tree_depth, dense_mass=dense_mass
        )

        def begin(info: ParamInfo, key: Array, chain: Any, data: Any) -> Any:
            # Numbers that no attempt at a start has.
            own = jax.random.fold_in(key, 2**16 + chain)
            return init(info, rng_key=own, model_args=(data,), **options)

        self._begin, self._init = begin, quickly_compiled(begin)
        # Asked a few dozen times, for starting points: to compile it well would cost as much as the sampler itself.
        self._gradient = quickly_compiled(lambda z, data: jax.value_and_grad(self._energy(data))(z))
        self._candidates = candidates(priors, CANDIDATES * chains)
        self._blocks: dict[Any, Any] = {}

    def _energy(self, data: Any) -> Callable[[Array], Array]:
        return potential(self.priors, lambda params: self.log_likelihood(params, data))

    def _block(self, state: Any, data: Any, count: Array) -> tuple[Any, dict[str, Array], dict[str, Array], Any]:
        """`count` iterations of one chain, at most a block's: its new state, parameters, statistics, derived."""

        def record(s: Any) -> dict[str, Array]:
            return {"z": s.z, "lp": -s.potential_energy, "energy": s.energy, "n_steps": s.num_steps,
                    "acceptance_rate": s.accept_prob, "diverging": s.diverging,
                    "step_size": s.adapt_state.step_size}  # fmt: skip

        def iterate(i: Array, carry: tuple[Any, dict[str, Array]]) -> tuple[Any, dict[str, Array]]:
            s, kept = carry
            s = self._sample_kernel(s, model_args=(data,))
            return s, jax.tree.map(lambda all_, new: all_.at[i].set(new), kept, record(s))

        kept = jax.tree.map(lambda x: jnp.zeros((BLOCK, *jnp.shape(x)), jnp.result_type(x)), record(state))
        state, kept = jax.lax.fori_loop(0, count, iterate, (state, kept))
        params, _ = jax.vmap(lambda z: self.priors.constrain(self.priors.unravel(z)))(kept.pop("z"))
        some = jax.tree.map(lambda x: x[:: self.every], params)
        derived = jax.lax.map(lambda one: self.derive(one, data), some)
        return state, {name: params[name] for name in self.priors.parameters}, kept, derived

    def _compiled_block(self, data: Any) -> Callable[..., Any]:
        """The block's program for this shape of data: of one chain, or of all."""
        key = (jax.tree.structure(data), tuple((jnp.shape(x), jnp.result_type(x)) for x in jax.tree.leaves(data)))
        if key not in self._blocks:
            number = jax.ShapeDtypeStruct((), jnp.result_type(float))
            z = jax.ShapeDtypeStruct((self.priors.size,), jnp.result_type(float))
            # Tracing the initialisation also sets what NumPyro's kernel keeps between `init` and `sample`.
            root = jax.eval_shape(lambda: jax.random.key(0))
            state = jax.eval_shape(self._begin, ParamInfo(z, number, z), root, 0, data)
            block = self._block
            if self.chain_method == "vectorized":
                block = jax.vmap(self._block, in_axes=(0, None, None))
                state = jax.tree.map(lambda s: jax.ShapeDtypeStruct((self.chains, *s.shape), s.dtype), state)
            lowered = jax.jit(block).lower(state, data, jnp.asarray(0))
            self._blocks[key] = compiled_of_many_small(lowered) if self.small else lowered.compile()
        return self._blocks[key]

    def run(self, data: Any = (), *, draws: int = 1000, seed: int = 0, progress: bool | str | None = None) -> Draws:
        """Sample; the same seed gives the same draws. Ctrl-C after warm-up returns the draws so far.

        Raises E741 if no starting point of finite density is found.
        """
        if draws < 1 or self.warmup < 0 or self.chains < 1:
            raise ValueError("draws and chains must be at least 1, warmup at least 0")
        title = f"nuts: {self.chains} x ({self.warmup} + {draws})"
        with jax.enable_x64(True), Progress(title, self.chains * (self.warmup + draws), progress) as bar:
            began = time.perf_counter()
            bar.say("compiling")
            data = jax.tree.map(jnp.asarray, data)
            with ThreadPoolExecutor(1) as pool:  # XLA compiles without the interpreter's lock
                compiled = pool.submit(for_a_thread(self._compiled_block), data)
                states = self._start(jax.random.key(seed), data)
                block = compiled.result()
            ready = time.perf_counter()
            if self.chain_method == "vectorized":
                states = [jax.tree.map(lambda *x: jnp.stack(x), *states)]
            batched = self.chain_method == "vectorized"
            phases = (("warm-up", self.warmup), ("sampling", draws))
            run = Run(block, data, phases, bar, chains=self.chains, batched=batched, every=self.every,
                      noun="divergences", count_of=lambda stats: int(stats["diverging"].sum()))  # fmt: skip
            kept, _, interrupted = run.all(states)
            params, stats, derived = gathered(kept, batched)
            params = {name: params[name] for name in self.priors.parameters}
            seconds = {"compile_and_start": ready - began, "sample": time.perf_counter() - ready}
            return Draws(params, stats, seconds, interrupted, derived)

    def _start(self, key: Array, data: Any) -> list[Any]:
        points = find_starts(self.priors, self._candidates, self._gradient, self.log_likelihood, data, key, self.chains)
        return [self._init(ParamInfo(*point), key, chain, data) for chain, point in enumerate(points)]
