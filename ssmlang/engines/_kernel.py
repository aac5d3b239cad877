"""Loops that XLA's CPU compiler turns into one native function.

XLA runs a program on the CPU operation by operation, at some tens of nanoseconds each. That is nothing for a big matrix
and all of the time for a filter of four states: measured on n = 4, m = 1, a row costs 0.8 us so and 0.13 us as one
function. The compiler does so by itself for the smallest loops only; a computation called under the attribute that it
marks those with is treated alike, whatever its size. It breaks off where what is called contains a library call, so a
function with matrix products, solves, factorisations, sorts, scatters or sums of very many terms runs operation by
operation after all: see `_products` for how to do without them. SSMLANG_ONE_KERNEL=0 in the environment does without
kernels, should a compiler not like them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.experimental.xla_metadata import set_xla_metadata
from jax.extend.core import ClosedJaxpr, Primitive, jaxpr_as_fun, jaxprs_in_params
from jax.interpreters import ad, batching, mlir

from ssmlang.engines._side_by_side import fits, in_lanes, side_by_side
from ssmlang.engines._written import LARGEST, Known, longest, written

_inside: ContextVar[bool] = ContextVar("inside", default=False)
_by_numbers: ContextVar[bool] = ContextVar("by_numbers", default=False)


def one_kernel(function: Callable[..., Any], wanted: bool = True, by_numbers: int = 0) -> Callable[..., Any]:
    """`function` (of arrays, without products by `dot`) as one native function where the platform is a CPU.

    The numbers are the same either way. Under `vmap` the members of the batch are taken one after the other on a CPU,
    which is quicker there than many small operations on all of them; derivatives are those of the plain function. Not
    `wanted`: the function as it is. `by_numbers`: its loops are written out number by number (see
    `_written`) if none is longer than so many operations.
    """
    if not wanted or os.environ.get("SSMLANG_ONE_KERNEL") == "0":
        return function

    def called(*args: Any) -> Any:
        leaves, tree = jax.tree.flatten(args)
        flat = lambda *leaves: function(*jax.tree.unflatten(tree, leaves))
        closed, shape, short = traced(flat, leaves, by_numbers)
        if calls_library(closed.jaxpr):
            return function(*args)
        known = Known({i: np.asarray(c) for i, c in enumerate(closed.consts) if not isinstance(c, jax.core.Tracer)
                       and np.size(c) <= LARGEST}) if short else None  # fmt: skip
        found = _kernel.bind(*closed.consts, *leaves, jaxpr=closed.jaxpr, constants=len(closed.consts), known=known)
        return jax.tree.unflatten(jax.tree.structure(shape), found)

    return called


def in_kernel() -> bool:
    """Whether what is traced now becomes a kernel."""
    return _inside.get()


def traced(function: Callable[..., Any], args: Sequence[Any], by_numbers: int) -> tuple[ClosedJaxpr, Any, bool]:
    """The program of a function that becomes a kernel, the shape of its results, and whether it will be written out
    number by number: it is if it becomes one, and none of its loops is longer than `by_numbers` operations."""
    tokens = _inside.set(True), _by_numbers.set(by_numbers > 0)
    try:
        # A function of its own, for JAX remembers the programs of those that it has traced.
        closed, shape = jax.make_jaxpr(lambda *args: function(*args), return_shape=True)(*args)
    finally:
        _inside.reset(tokens[0])
        _by_numbers.reset(tokens[1])
    if by_numbers and (longest(closed.jaxpr) > by_numbers or calls_library(closed.jaxpr)):
        return traced(function, args, 0)
    return closed, shape, by_numbers > 0


def by_numbers() -> bool:
    """Whether what is traced now will be written out number by number: points are gone through one by one then."""
    return _by_numbers.get()


def on_cpu() -> bool:
    """Whether what is compiled now is compiled for a CPU."""
    device: Any = jax.config.jax_default_device  # type: ignore[attr-defined]
    return (jax.default_backend() if device is None else getattr(device, "platform", device)) == "cpu"


def kernel(function: Callable[..., Any], wanted: bool = True) -> Callable[..., Any]:
    """`one_kernel` whose derivative in reverse mode is one kernel too: `function` is worked out again in it.

    The differentiated function must be free of library calls like the function itself. Integer arguments have no
    derivative.
    """
    if not wanted:
        return function

    @jax.custom_vjp
    def called(*args: Any) -> Any:
        return one_kernel(function)(*args)

    def forwards(*args: Any) -> tuple[Any, tuple]:
        return one_kernel(function)(*args), args

    def backwards(args: tuple, cotangent: Any) -> tuple:
        leaves, tree = jax.tree.flatten(args)
        smooth = [jnp.issubdtype(a.dtype, jnp.inexact) for a in leaves]

        def pulled(leaves: list[Array], cotangent: Any) -> list[Any]:
            def of_smooth(*values: Any) -> Any:
                given = iter(values)
                whole = [next(given) if s else a for s, a in zip(smooth, leaves, strict=True)]
                return function(*jax.tree.unflatten(tree, whole))

            return list(jax.vjp(of_smooth, *(a for s, a in zip(smooth, leaves, strict=True) if s))[1](cotangent))

        found = iter(one_kernel(pulled)(leaves, cotangent))
        return tuple(jax.tree.unflatten(tree, [next(found) if s else None for s in smooth]))

    called.defvjp(forwards, backwards)
    return called


LIBRARY = frozenset({
    "dot", "conv", "solve", "cholesky", "eig", "eigh", "svd", "qr", "schur", "householder", "lu", "hessenberg",
    "tridiagonal", "geqrf", "orgqr", "ormqr", "sort", "scatter", "cumsum", "cumprod", "cummax", "cummin",
    "cumlogsumexp", "window", "top", "fft", "ffi", "callback", "rng", "random",
})  # fmt: skip
"""Words in the names of operations that are calls of a library on the CPU."""

REDUCED_LIMIT = 4096
"""A sum, maximum or minimum of so many floats is a library's too (measured: jaxlib 0.10.2, 16 x 16 x 16, 64 x 64)."""


def calls_library(jaxpr: Any) -> bool:
    """Whether anything in a program is no operation of its own kernel."""
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if not LIBRARY.isdisjoint(name.replace("-", "_").split("_")):
            return True
        if name in ("reduce_sum", "reduce_max", "reduce_min") and _is_big(equation.invars[0].aval):
            return True
        if any(calls_library(inner) for inner in jaxprs_in_params(equation.params)):
            return True
    return False


def _is_big(array: Any) -> bool:
    return array.size >= REDUCED_LIMIT and jnp.issubdtype(array.dtype, jnp.inexact)


_kernel = Primitive("one_kernel")
_kernel.multiple_results = True


def _plain(jaxpr: Any, constants: int, known: Known | None) -> Callable[..., list[Array]]:
    return lambda *args: jaxpr_as_fun(ClosedJaxpr(jaxpr, args[:constants]))(*args[constants:])


def _marked(jaxpr: Any, constants: int, known: Known | None) -> Callable[..., list[Array]]:
    def alone(*args: Array) -> list[Array]:
        solid = [jnp.asarray(a) for a in args if np.size(a)]

        def inside(*solid: Array) -> tuple[list[Array], list[Array]]:
            with set_xla_metadata(xla_cpu_small_call="false", inlineable="true"):
                given = iter(solid)
                whole = [next(given) if np.size(a) else a for a in args]
                # The compiler breaks off at an argument that nothing reads: each is read here.
                if known is None:
                    found = _plain(jaxpr, constants, known)(*whole)
                else:
                    found = written(jaxpr, [known.arrays.get(i, a) for i, a in enumerate(whole)])
                return found, [a.reshape(-1)[:1] for a in solid]

        compiled = jax.jit(inside)
        with set_xla_metadata(xla_cpu_small_call="true", inlineable="false"):
            # Nor may it find out that an argument is a constant, for it would then read that.
            return compiled(*jax.lax.optimization_barrier(solid))[0]

    return alone


@partial(jax.jit, static_argnames=("jaxpr", "constants", "known"))
def _now(*args: Array, jaxpr: Any, constants: int, known: Known | None) -> list[Array]:
    return _kernel.bind(*args, jaxpr=jaxpr, constants=constants, known=known)


def _derivative(primals: Sequence[Any], tangents: Sequence[Any], *, jaxpr: Any, **rest: Any) -> tuple[Any, Any]:
    moves = [ad.instantiate_zeros(t) if jnp.issubdtype(jnp.result_type(p), jnp.inexact)
             else np.zeros(np.shape(p), jax.dtypes.float0) for p, t in zip(primals, tangents, strict=True)]  # fmt: skip
    return jax.jvp(_plain(jaxpr, **rest), tuple(primals), tuple(moves))


def _batched(args: Sequence[Any], axes: Sequence[int | None], *, jaxpr: Any, **rest: Any) -> tuple[Any, Any]:
    if not on_cpu():  # the members fill an accelerator together
        found = jax.vmap(_plain(jaxpr, **rest), axes)(*args)
        return found, [0] * len(found)
    if fits(jaxpr):
        own = [axis is not None for axis in axes]
        lanes = lambda *values: side_by_side(jaxpr, values, own)
        found = in_lanes(one_kernel(lanes), args, axes)
        return found, [0] * len(found)
    batched = [jnp.moveaxis(a, axis, 0) for a, axis in zip(args, axes, strict=True) if axis is not None]

    def one(members: list[Array]) -> list[Array]:
        given = iter(members)
        whole = [a if axis is None else next(given) for a, axis in zip(args, axes, strict=True)]
        return _kernel.bind(*whole, jaxpr=jaxpr, **rest)

    found = jax.lax.map(one, batched)
    return found, [0] * len(found)


def _lowered(how: Callable[..., Any]) -> Callable[..., Any]:
    return lambda ctx, *args, **params: mlir.lower_fun(how(**params), multiple_results=True)(ctx, *args)


_kernel.def_impl(_now)
_kernel.def_abstract_eval(lambda *_, jaxpr, **rest: [v.aval for v in jaxpr.outvars])
ad.primitive_jvps[_kernel] = _derivative
batching.primitive_batchers[_kernel] = _batched
mlir.register_lowering(_kernel, _lowered(_plain))
mlir.register_lowering(_kernel, _lowered(_marked), platform="cpu")
