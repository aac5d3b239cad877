"""Programs whose time is that of compiling them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

Options = dict[str, Any]
_OLD_EMITTERS: Options = {"xla_cpu_use_fusion_emitters": False}
_HASTY: Options = {"xla_backend_optimization_level": 0, **_OLD_EMITTERS}


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


def quickly_compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`jax.jit`, with most of the compiler's optimisations left out on a CPU: for what is run once or twice.

    Draws from a prior take XLA 1.7 s to compile well, and 0.4 s to compile at all. An XLA that does not know these
    options compiles as it always does.
    """
    if jax.default_backend() != "cpu":
        return jax.jit(function)
    hasty, usual = jax.jit(function, compiler_options=_HASTY), jax.jit(function)
    known = True

    def call(*args: Any) -> Any:
        nonlocal known
        if known:
            try:
                return hasty(*args)
            except jax.errors.JaxRuntimeError as error:
                if not _unknown(error):
                    raise
                known = False
        return usual(*args)

    return call
