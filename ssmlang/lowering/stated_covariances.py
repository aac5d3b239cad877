"""Noises whose covariance the model states as a matrix, where the program holds a Cholesky factor of it.

What an engine needs is often G G' alone: that is the matrix itself, without the way through the factor and back, of
which the derivative is the greater part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ssmlang.engines._kernel import one_kernel
from ssmlang.engines._products import FUSED_LIMIT, symmetric
from ssmlang.engines.program import NoiseCovariance
from ssmlang.lowering.evaluate import checked_root
from ssmlang.model import _numeric as numeric
from ssmlang.model.expr import Node
from ssmlang.model.loading import ANY_RANK
from ssmlang.model.sparse import Sparse, positions

_MOVES = ("broadcast", "reshape", "transpose")


@dataclass(frozen=True)
class Stated:
    """Columns `noises` of G_0 or J_0 hold `factor`, the Cholesky factor of a matrix, at `rows`, and nothing else."""

    matrix: str
    rows: tuple[int, ...]
    noises: tuple[int, ...]
    factor: Node

    @property
    def covariance(self) -> Node:
        """The matrix."""
        return self.factor.args[0]

    def known(self, cov: Float[Array, "*T k k"]) -> NoiseCovariance:
        """From the matrix's values: not a number where these are no covariance."""
        root, exists = (jax.vmap(_root) if cov.ndim > 2 else _root)(jax.lax.stop_gradient(cov))
        cov = jnp.where(exists[..., None, None], symmetric(cov), jnp.nan)
        return NoiseCovariance(cov, root, self.matrix, self.rows, self.noises)


def _root(cov: Float[Array, "k k"]) -> tuple[Float[Array, "k k"], Bool[Array, ""]]:
    """A root, and whether there is one."""
    if len(cov) <= FUSED_LIMIT:
        return one_kernel(checked_root)(symmetric(cov))
    root = jnp.linalg.cholesky(cov)
    return jax.lax.cond(jnp.isfinite(root).all(), lambda cov: (root, jnp.ones((), bool)), checked_root, symmetric(cov))


def stated(matrix: str, loading: Sparse) -> Iterator[Stated]:
    """Those of G_0 ("G") or J_0 ("J")."""
    found: dict[int, tuple[Node, list[tuple[np.ndarray, np.ndarray]]]] = {}
    for which, leaf, at in _leaves(loading.values, np.arange(loading.nnz), np.arange(loading.nnz)):
        if leaf.op == "cholesky" and leaf.attrs == ANY_RANK and leaf.ndim == 2:
            found.setdefault(id(leaf), (leaf, []))[1].append((which, at))
    for leaf, parts in found.values():
        n = leaf.shape[-1]
        which, at = (np.concatenate(side) for side in zip(*parts, strict=True))
        i, j = np.divmod(at, n)
        rows, noises = np.zeros(n, int), np.zeros(n, int)
        rows[i], noises[j] = loading.rows[which], loading.cols[which]
        whole = np.array_equal(np.sort(at), np.flatnonzero(np.tri(n)))
        placed = (rows[i] == loading.rows[which]).all() and (noises[j] == loading.cols[which]).all()
        alone = np.isin(loading.cols, noises).sum() == len(at) and len({*rows}) == len({*noises}) == n
        if whole and placed and alone:
            yield Stated(matrix, tuple(rows.tolist()), tuple(noises.tolist()), leaf)


def _leaves(node: Node, at: np.ndarray, which: np.ndarray) -> Iterator[tuple[np.ndarray, Node, np.ndarray]]:
    """Where the entries `at` of an array come from, looking through what only moves them: `which` of them, from which
    array, and which of its entries they are."""
    if node.op in _MOVES:
        moved = numeric.evaluate(node.op, node.attrs, [positions(node.args[0])]).reshape(-1)
        yield from _leaves(node.args[0], moved[at], which)
    elif node.op == "index" and all(a.is_const for a in node.args[1:]):
        inside = positions(node.args[0])[tuple(a.value for a in node.args[1:])]  # type: ignore[misc]
        yield from _leaves(node.args[0], np.asarray(inside).reshape(-1)[at], which)
    elif node.op == "concat" and node.ndim == 1:
        ends = np.cumsum([a.size for a in node.args])
        part = np.searchsorted(ends, at, side="right")
        for k, arg in enumerate(node.args):
            here = part == k
            if here.any():
                yield from _leaves(arg, at[here] - (ends[k] - arg.size), which[here])
    else:
        yield which, node, at
