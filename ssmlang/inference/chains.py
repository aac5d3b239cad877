"""Chains of a compiled sampler, block by block: in threads of their own, or all in one batch."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ssmlang.inference.progress import Progress

BLOCK = 100
"""Iterations of one call of a compiled sampler."""


def for_a_thread(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` in double precision and on the device of whoever asks now: a thread has settings of its own."""
    device = jax.config.jax_default_device  # type: ignore[attr-defined]

    def called(*args: Any) -> Any:
        with jax.enable_x64(True), jax.default_device(device):
            return function(*args)

    return called


class Run:
    """One run of a compiled block program over chains, or over the one batch of them.

    `block(state, data, count)` makes `count` iterations, at most a block's, and gives (state, params, stats, more):
    arrays of a block's length, of `more` of every `every`-th iteration. `count_of(stats)` counts what `noun` names.
    """

    def __init__(self, block: Callable[..., Any], data: Any, phases: Sequence[tuple[str, int]], bar: Progress, *,
                 chains: int = 1, batched: bool = False, every: int = 1,
                 noun: str = "", count_of: Callable[[dict[str, np.ndarray]], int] | None = None) -> None:  # fmt: skip
        self.block, self.data, self.phases, self.bar = block, data, phases, bar
        self.chains, self.batched, self.every = chains, batched, every
        self.noun, self.count_of = noun, count_of
        self.stop, self.lock = threading.Event(), threading.Lock()
        self.counted = 0

    def all(self, states: list[Any]) -> tuple[list[list[Any]], list[Any], bool]:
        """What each chain kept of the last phase, block by block; their states; whether Ctrl-C cut it short."""
        kept: list[list[Any]] = [[] for _ in states]
        pool = ThreadPoolExecutor(min(len(states), os.cpu_count() or 1))
        jobs: list[Future] = [pool.submit(for_a_thread(self.chain), s, k) for s, k in zip(states, kept)]
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
        ends = [job.result() for job in jobs if not job.cancelled()]
        self.bar.note = self._note("")
        return kept, ends, interrupted

    def chain(self, state: Any, kept: list[Any]) -> Any:
        for number, (phase, length) in enumerate(self.phases):
            last = number == len(self.phases) - 1
            for done in range(0, length, BLOCK):
                if self.stop.is_set():
                    return state
                count = min(BLOCK, length - done)
                state, *found = self.block(state, self.data, jnp.asarray(count))
                found = jax.device_get(found)
                with self.lock:
                    if last:
                        found = self._cut(found, count)
                        kept.append(found)
                        self.counted += self.count_of(found[1]) if self.count_of is not None else 0
                    self.bar.advance((self.chains if self.batched else 1) * count, self._note(phase))
        return state

    def _cut(self, found: Sequence[Any], count: int) -> list[Any]:
        lead = (slice(None),) if self.batched else ()
        of = lambda tree, size: jax.tree.map(lambda x: np.asarray(x)[(*lead, slice(size))], tree)
        return [of(tree, count if i < 2 else -(-count // self.every)) for i, tree in enumerate(found)]

    def _note(self, phase: str) -> str:
        found = f"{self.counted} {self.noun}" if self.counted else ""
        return ", ".join(part for part in (phase, found) if part)


def gathered(kept: list[list[Any]], batched: bool) -> list[Any]:
    """Blocks joined along the draws, chains stacked and cut to the shortest: (chain, draw, ...)."""
    axis = 1 if batched else 0
    chains = [[jax.tree.map(lambda *x: np.concatenate(x, axis), *parts) for parts in zip(*blocks)] for blocks in kept]
    if batched:
        return chains[0]

    def stacked(*trees: Any) -> Any:
        length = min((len(leaf) for tree in trees for leaf in jax.tree.leaves(tree)), default=0)
        return jax.tree.map(lambda *c: np.stack([x[:length] for x in c]), *trees)

    return [stacked(*parts) for parts in zip(*chains)]
