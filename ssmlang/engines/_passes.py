"""The two passes of the engine `parallel`: as kernels of a CUDA device, elsewhere as `_stretches` writes them.

Which of the two is decided where the program is compiled for a platform, so one traced function serves all. Derivatives
are those of `_stretches`, and so is a batch.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any

import jax
from jax import Array
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from ssmlang.engines import _stretch_kernels as kernels
from ssmlang.engines._elements import Element, Law, Sight, advance, join, look_back, nothing
from ssmlang.engines._stretch_kernels import Way
from ssmlang.engines._stretches import backwards, forwards

BLOCK = 16
"""Rows in a stretch where nothing else is asked for; the kernels choose by the length of the series."""


def laws(edge: Element, elements: Element, d: int, block: int | None) -> Law:
    """The law of each row after row 0, whose own is `edge` with `d` coefficients in use."""
    return Law(*_joined("laws", edge, elements, d, block))


def sights(elements: Element, block: int | None) -> Sight:
    """What the rows from each element's on say of the row before it."""
    N, K = elements.b.shape[:2]
    return Sight(*_joined("sights", nothing(N, K, elements.U), elements, 0, block))


def _joined(way: Way, edge: Element, elements: Element, d: int, block: int | None) -> Sequence[Array]:
    if not kernels.fits(elements) or not elements.b.shape[-1] or os.environ.get("SSMLANG_ONE_KERNEL") == "0":
        return _plain(*edge, *elements, way=way, d=d, block=block)
    return _pass.bind(*edge, *elements, way=way, d=d, block=block)


def _plain(*arrays: Array, way: Way, d: int, block: int | None) -> Sequence[Array]:
    edge, elements = Element(*arrays[:5]), Element(*arrays[5:])
    N, K = elements.b.shape[:2]
    none, block = nothing(N, K, elements.U), block or BLOCK
    if way == "laws":
        return tuple(forwards(edge, elements, join, partial(advance, d=d), none, block))
    return tuple(backwards(edge, elements, join, look_back, none, block))


def _kernels(*arrays: Array, way: Way, d: int, block: int | None) -> Sequence[Array]:
    return kernels.joined(way, Element(*arrays[:5]), Element(*arrays[5:]), d, block)


def _on_cuda(*arrays: Array, **how: Any) -> Sequence[Array]:
    """Kernels are made for the device that is here: code for another is left to XLA, and so it is with a JAX that has
    the language of the kernels no more."""
    try:
        jax.devices("cuda")
        import_module("jax.experimental.pallas.triton")
    except (RuntimeError, ImportError):
        return _plain(*arrays, **how)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The Pallas Triton backend", DeprecationWarning)
        return _kernels(*arrays, **how)


_pass = Primitive("ssmlang_pass")
_pass.multiple_results = True


@partial(jax.jit, static_argnames=("way", "d", "block"))
def _now(*arrays: Array, way: Way, d: int, block: int | None) -> Sequence[Array]:
    return _pass.bind(*arrays, way=way, d=d, block=block)


def _shapes(*arrays: Any, way: Way, d: int, block: int | None) -> list[Any]:
    del block
    (N, K), T, dtype = arrays[6].shape[:2], arrays[6].shape[-1], arrays[6].dtype
    shapes = [(N, d), (N, K), (N, N), (d, K), (d, d)] if way == "laws" else [(N, K), (N, N)]
    return [jax.core.ShapedArray((*shape, T), dtype) for shape in shapes]


def _derivative(primals: Sequence[Any], tangents: Sequence[Any], **how: Any) -> tuple[Any, Any]:
    return jax.jvp(partial(_plain, **how), tuple(primals), tuple(ad.instantiate_zeros(t) for t in tangents))


def _batched(args: Sequence[Any], axes: Sequence[Any], **how: Any) -> tuple[Any, Any]:
    found = jax.vmap(partial(_plain, **how), in_axes=tuple(axes))(*args)
    return found, [0] * len(found)


def _lowered(function: Callable[..., Any]) -> Callable[..., Any]:
    def rule(ctx: Any, *args: Any, **how: Any) -> Any:
        # What is lowered may be part of a program that was traced in a precision other than that of now.
        with jax.enable_x64(any(a.dtype == "float64" for a in ctx.avals_in)):
            return mlir.lower_fun(partial(function, **how), multiple_results=True)(ctx, *args)

    return rule


_pass.def_impl(_now)
_pass.def_abstract_eval(_shapes)
ad.primitive_jvps[_pass] = _derivative
batching.primitive_batchers[_pass] = _batched
mlir.register_lowering(_pass, _lowered(_plain))
mlir.register_lowering(_pass, _lowered(_on_cuda), platform="cuda")
