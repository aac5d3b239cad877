"""Programs whose time is that of compiling them."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import numpy as np

from ssmlang.engines._kernel import on_cpu

Options = dict[str, Any]
_OLD_EMITTERS: Options = {"xla_cpu_use_fusion_emitters": False}
_HASTY: Options = {"xla_backend_optimization_level": 0, **_OLD_EMITTERS}

_NOTHING = jax.jit(lambda x: x)

_LARGE = 2e7
"""Numbers gone through, from which on a program is compiled well at once."""
_WORTH_COMPILING = 0.5
"""Seconds of running, below which a program is never compiled again."""


def _unknown(error: Exception) -> bool:
    return "No such compile option" in str(error)


def compiled_of_many_small(lowered: jax.stages.Lowered) -> jax.stages.Compiled:
    """A program of hundreds of operations on a few numbers each, on a CPU: without XLA's fusion emitters.

    The sampler's bookkeeping is compiled in two thirds of the time so, and runs faster; loops over large arrays or long
    series run up to twice as slow.
    """
    try:
        return lowered.compile(compiler_options=_OLD_EMITTERS)
    except jax.errors.JaxRuntimeError as error:
        if not _unknown(error):
            raise
        return lowered.compile()


def quickly_compiled(
    function: Callable[..., Any], work: float = 1.0, lasting: Callable[..., Any] | None = None
) -> Callable[..., Any]:
    """`jax.jit`, on a CPU compiled hastily first, and well once it has run for as long as compiling took.

    A filter of 200 rows runs for milliseconds, and XLA compiles it for seconds: with most optimisations left out for
    half of these, a third where the program is large. Programs with large arguments, `work` numbers gone through for
    each of theirs, are compiled well at once. An XLA that does not know the options compiles as it always does.
    `lasting`: the same function in another way, which is compiled well, if there is one that takes longer to compile.
    """
    options = _hasty() if on_cpu() else _HASTY
    return _InTwoSteps(jax.jit(function, compiler_options=options), jax.jit(lasting or function), work)


@cache
def _hasty() -> Options:
    """The options of `_HASTY`, without that which newer XLAs do not know."""
    try:
        _NOTHING.lower(0.0).compile(compiler_options=_HASTY)
    except jax.errors.JaxRuntimeError as error:
        if _unknown(error):
            return {k: v for k, v in _HASTY.items() if k not in _OLD_EMITTERS}
    return _HASTY


@dataclass
class _Spent:
    """Seconds that programs of some shapes took to compile, and have run since."""

    compiling: float = 0.0
    running: float = 0.0


class _InTwoSteps:
    def __init__(self, hasty: Callable[..., Any], well: Callable[..., Any], work: float) -> None:
        self._hasty, self._well, self._work = hasty, well, work
        self._spent: dict[Hashable, _Spent] = {}
        self._known = True

    def __call__(self, *args: Any) -> Any:
        lasting = self.lasting(*args)
        if lasting is not None:
            return lasting(*args)
        begun = time.perf_counter()
        try:
            found = jax.block_until_ready(self._hasty(*args))
        except jax.errors.JaxRuntimeError as error:
            if not _unknown(error):
                raise
            self._known = False
            return self._well(*args)
        took = time.perf_counter() - begun
        key = self._key(*jax.tree.flatten(args))
        if key in self._spent:
            self._spent[key].running += took
        else:
            self._spent[key] = _Spent(took)
        return found

    def lasting(self, *args: Any) -> Callable[..., Any] | None:
        """What runs arguments of these shapes, in this precision, from now on; None where they run what was compiled
        hastily, or will be."""
        leaves, form = jax.tree.flatten(args)
        if not self._known or not _compiled_now(leaves):
            return self._well
        spent = self._spent.get(self._key(leaves, form))
        if spent is None:
            return self._well if self._work * sum(np.size(a) for a in leaves) > _LARGE else None
        return self._well if spent.running > max(spent.compiling, _WORTH_COMPILING) else None

    @staticmethod
    def _key(leaves: list[Any], form: Any) -> Hashable:
        shapes = ((np.shape(a), getattr(a, "dtype", type(a))) for a in leaves)
        return form, jax.config.jax_enable_x64, *shapes  # type: ignore[attr-defined]


def _compiled_now(leaves: list[Any]) -> bool:
    """Whether a program of these arguments is compiled now, and for a CPU; what is traced is part of another."""
    return on_cpu() and not any(isinstance(a, jax.core.Tracer) for a in leaves)
