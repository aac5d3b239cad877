"""The no-U-turn sampler: NumPyro's kernel in a few small compiled programs, kept from call to call.

`numpyro.infer.MCMC.run` traces and compiles the model's initialisation and the sampling loop anew at every run, which
for a small state-space model is most of its time. Here the potential and NumPyro's own building blocks (`hmc(...)`) are
compiled once; data are arguments, so that a second fit of the same shapes compiles nothing. On a CPU each chain runs in
a thread of its own: XLA compiles the scan of a small filter to one native loop, and batching the chains would break it
into one kernel an operation (measured on a local level of 100 rows: 12 us a gradient alone, 330 us for four batched).
On an accelerator the chains are batched.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpyro.infer.hmc import hmc
from numpyro.infer.util import ParamInfo

from ssmlang.inference.model import potential
from ssmlang.inference.priors import Priors
from ssmlang.inference.progress import Progress
from ssmlang.inference.quick import compiled_of_many_small, quickly_compiled
from ssmlang.inference.starts import CANDIDATES, candidates, find_starts

DataLikelihood = Callable[[Mapping[str, Array], Any], Array]
"""log p(data | params), a scalar, of parameters on their own scale and a tree of arrays."""
ChainMethod = Literal["threads", "vectorized"]

_BLOCK = 100


@dataclass(frozen=True)
class Draws:
    """Draws of the parameters, each (chain, draw, *shape), and the sampler's own record, each (chain, draw)."""

    params: dict[str, np.ndarray]
    stats: dict[str, np.ndarray]
    seconds: dict[str, float] = field(default_factory=dict)
    interrupted: bool = False

    @property
    def divergences(self) -> int:
        return int(self.stats["diverging"].sum())


class Nuts:
    """A sampler for one model; keep it, and a second run on data of the same shapes compiles nothing.

    `log_likelihood(params, data)` is traced once for each shape of `data`. `warmup` and the options are part of the
    compiled programs; the number of draws, the seed and the data are not. `small`: a gradient is so little work that
    the sampler's own is more, which decides how it is compiled on a CPU. Raises E341 if a parameter has no prior.
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
    ) -> None:
        priors.require_proper('method="nuts"')
        self.priors, self.warmup, self.chains = priors, warmup, chains
        self.log_likelihood = log_likelihood
        self.small = small and jax.default_backend() == "cpu"
        self.chain_method = chain_method or ("threads" if jax.default_backend() == "cpu" else "vectorized")
        init, self._sample_kernel = hmc(potential_fn_gen=self._energy, algo="NUTS")
        options: dict[str, Any] = dict(
            num_warmup=warmup, target_accept_prob=target_accept, max_tree_depth=max_tree_depth, dense_mass=dense_mass
        )

        def begin(info: ParamInfo, key: Array, chain: Any, data: Any) -> Any:
            # Numbers that no attempt at a start has.
            own = jax.random.fold_in(key, 2**16 + chain)
            return init(info, rng_key=own, model_args=(data,), **options)

        self._begin, self._init = begin, quickly_compiled(begin)
        self._gradient = jax.jit(lambda z, data: jax.value_and_grad(self._energy(data))(z))
        self._candidates = candidates(priors, CANDIDATES * chains)
        self._blocks: dict[Any, Any] = {}

    def _energy(self, data: Any) -> Callable[[Array], Array]:
        return potential(self.priors, lambda params: self.log_likelihood(params, data))

    def _block(self, state: Any, data: Any, count: Array) -> tuple[Any, dict[str, Array], dict[str, Array]]:
        """`count` iterations of one chain, at most a block's: its new state, parameters and statistics."""

        def record(s: Any) -> dict[str, Array]:
            return {"z": s.z, "lp": -s.potential_energy, "energy": s.energy, "n_steps": s.num_steps,
                    "acceptance_rate": s.accept_prob, "diverging": s.diverging,
                    "step_size": s.adapt_state.step_size}  # fmt: skip

        def iterate(i: Array, carry: tuple[Any, dict[str, Array]]) -> tuple[Any, dict[str, Array]]:
            s, kept = carry
            s = self._sample_kernel(s, model_args=(data,))
            return s, jax.tree.map(lambda all_, new: all_.at[i].set(new), kept, record(s))

        kept = jax.tree.map(lambda x: jnp.zeros((_BLOCK, *jnp.shape(x)), jnp.result_type(x)), record(state))
        state, kept = jax.lax.fori_loop(0, count, iterate, (state, kept))
        params, _ = jax.vmap(lambda z: self.priors.constrain(self.priors.unravel(z)))(kept.pop("z"))
        return state, params, kept

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
                compiled = pool.submit(_in_double_precision, self._compiled_block, data)
                states = self._start(jax.random.key(seed), data)
                block = compiled.result()
            ready = time.perf_counter()
            if self.chain_method == "vectorized":
                states = [jax.tree.map(lambda *x: jnp.stack(x), *states)]
            kept, interrupted = _Run(block, data, self.warmup, draws, bar).all(states)
            params, stats = self._gather(kept)
            seconds = {"compile_and_start": ready - began, "sample": time.perf_counter() - ready}
            return Draws(params, stats, seconds, interrupted)

    def _start(self, key: Array, data: Any) -> list[Any]:
        points = find_starts(self.priors, self._candidates, self._gradient, self.log_likelihood, data, key, self.chains)
        return [self._init(ParamInfo(*point), key, chain, data) for chain, point in enumerate(points)]

    def _gather(self, kept: list[list[Any]]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        axis = 1 if self.chain_method == "vectorized" else 0
        chains = [jax.tree.map(lambda *parts: np.concatenate(parts, axis), *blocks) for blocks in kept]
        length = min(chain[1]["diverging"].shape[axis] for chain in chains)
        if self.chain_method == "vectorized":
            params, stats = chains[0]
        else:
            params, stats = jax.tree.map(lambda *c: np.stack([x[:length] for x in c]), *chains)
        return {name: params[name] for name in self.priors.parameters}, stats


def _in_double_precision(function: Callable[..., Any], *args: Any) -> Any:
    with jax.enable_x64(True):  # a thread has a precision of its own
        return function(*args)


class _Run:
    """One run of a compiled block program over chains, or over the one batch of them."""

    def __init__(self, block: Callable[..., Any], data: Any, warmup: int, draws: int, bar: Progress) -> None:
        self.block, self.data, self.warmup, self.draws, self.bar = block, data, warmup, draws, bar
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.divergences = 0

    def all(self, states: list[Any]) -> tuple[list[list[Any]], bool]:
        """What each chain kept, block by block, and whether Ctrl-C cut it short."""
        kept: list[list[Any]] = [[] for _ in states]
        pool = ThreadPoolExecutor(min(len(states), os.cpu_count() or 1))
        jobs: list[Future] = [pool.submit(_in_double_precision, self.chain, s, k) for s, k in zip(states, kept)]
        interrupted = False
        try:
            wait(jobs)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            self.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
        if interrupted and not all(kept):
            raise KeyboardInterrupt
        for job in jobs:
            if not job.cancelled():
                job.result()
        self.bar.note = self.note("")
        return kept, interrupted

    def chain(self, state: Any, kept: list[Any]) -> None:
        for phase, length in (("warm-up", self.warmup), ("sampling", self.draws)):
            for done in range(0, length, _BLOCK):
                if self.stop.is_set():
                    return
                count = min(_BLOCK, length - done)
                state, params, stats = self.block(state, self.data, jnp.asarray(count))
                params, stats = jax.device_get((params, stats))
                batched = stats["diverging"].ndim == 2
                chains = len(stats["diverging"]) if batched else 1
                with self.lock:
                    if phase == "sampling":
                        cut = (slice(None), slice(count)) if batched else slice(count)
                        params, stats = jax.tree.map(lambda x, cut=cut: np.asarray(x)[cut], (params, stats))
                        kept.append((params, stats))
                        self.divergences += int(stats["diverging"].sum())
                    self.bar.advance(chains * count, self.note(phase))

    def note(self, phase: str) -> str:
        found = f"{self.divergences} divergences" if self.divergences else ""
        return ", ".join(part for part in (phase, found) if part)
