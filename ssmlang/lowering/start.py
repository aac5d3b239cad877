"""The law of a program's first memory, from the first rows of a linear form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ssmlang.engines.program import Initial, Structure
from ssmlang.engines.stationary import stationary
from ssmlang.lowering.evaluate import Environment, evaluate
from ssmlang.model import sparse
from ssmlang.model.expr import Node
from ssmlang.model.initial import Stationary
from ssmlang.model.linear import LinearForm
from ssmlang.model.sparse import Sparse


@dataclass(frozen=True)
class _Group:
    """The memory of the stationary states: `rows` rows of `entries`, then `noise_rows` rows of `noises`."""

    form: Stationary
    noises: np.ndarray
    rows: int
    noise_rows: int

    @property
    def size(self) -> int:
        return self.rows * len(self.form.entries) + self.noise_rows * len(self.noises)

    def state_place(self, k: np.ndarray, entry: np.ndarray) -> np.ndarray:
        return k * len(self.form.entries) + np.searchsorted(self.form.entries, entry)

    def noise_place(self, j: int, noise: np.ndarray) -> np.ndarray:
        first = self.rows * len(self.form.entries)
        return first + j * len(self.noises) + np.searchsorted(self.noises, noise)


class Start:
    """Plans s_0 = mean + factor @ standard normals + memory of the stationary states + diffuse directions.

    A noise that the stationary states load on is one of their memory's coordinates wherever it is read, so that its
    correlation with them is kept.
    """

    def __init__(self, form: LinearForm, structure: Structure) -> None:
        first, n = form.first, form.stacking.n
        M = np.array(structure.memory_noises, int)
        state_rows = structure.state_rows
        self.size = structure.memory_size
        source = np.full(n * state_rows, -1)
        within = min(form.depth, state_rows) * n
        source[:within] = np.arange(within)
        self.constant = sparse.gather(first.constant, np.arange(within))
        self.mean_at = np.arange(within)
        terms = {slot: m.take_rows(source) for slot, m in first.terms.items()}
        memory = {j: _Places(n * state_rows + j * len(M) + np.arange(len(M)), M) for j in range(structure.noise_rows)}
        self.group = _group(form, terms, memory)
        shared = set(self.group.noises.tolist()) if self.group is not None else set()

        # Columns of standard normals: those of the initial laws, then the noises of each row that anything reads.
        columns: dict[tuple[int, int], int] = {}
        xi = form.initial.xi
        parts: list[tuple[str, np.ndarray, np.ndarray, object]] = []
        for (kind, lag), m in terms.items():
            if kind == "xi":
                parts.append(("factor", m.rows, m.cols, m))
            elif kind == "delta":
                parts.append(("diffuse", m.rows, m.cols, m))
            elif kind == "stat":
                assert self.group is not None
                parts.append(("stationary", m.rows, self.group.state_place(m.cols // n, m.cols % n), m))
            elif kind == "e":
                inside = np.isin(m.cols, list(shared))
                for mark, name in ((inside, "stationary"), (~inside, "factor")):
                    part = m.keep(mark)
                    if not part.nnz:
                        continue
                    if name == "stationary":
                        assert self.group is not None
                        cols = self.group.noise_place(lag, part.cols)
                    else:
                        cols = np.array([columns.setdefault((lag, int(c)), xi + len(columns)) for c in part.cols])
                    parts.append((name, part.rows, cols, part))
        for j, places in memory.items():
            for at, noise in zip(places.rows, places.noises):
                if int(noise) in shared:
                    assert self.group is not None
                    where = self.group.noise_place(j, np.array([noise]))
                    parts.append(("stationary", np.array([at]), where, None))
                else:
                    cols = np.array([columns.setdefault((j, int(noise)), xi + len(columns))])
                    parts.append(("factor", np.array([at]), cols, None))
        widths = {"factor": xi + len(columns), "diffuse": form.initial.delta,
                  "stationary": self.group.size if self.group is not None else 0}  # fmt: skip
        self.matrices = {name: _matrix((self.size, width), [p[1:] for p in parts if p[0] == name])
                         for name, width in widths.items()}  # fmt: skip

    @property
    def nodes(self) -> list[Node]:
        """The expressions whose values `law` takes: of the mean, of each matrix, of the stationary states."""
        own = [self.constant, *(m.values for m in self.matrices.values())]
        if self.group is None:
            return own
        transition = self.group.form.transition
        return [*own, transition.constant, *(m.values for m in transition.terms.values())]

    def initial(self, params: Mapping[str, Array], env: Environment) -> Initial:
        """The law of s_0; `env` is that of row 0."""
        return self.law(evaluate(self.nodes, env))

    def law(self, values: Sequence[Array]) -> Initial:
        """The law of s_0, given the values of `nodes` at row 0."""
        dense = {}
        for (name, m), v in zip(self.matrices.items(), values[1:]):
            dense[name] = jnp.zeros(m.shape).at[_at(m.rows), _at(m.cols)].set(v, unique_indices=True)
        mean = jnp.zeros(self.size).at[_at(self.mean_at)].set(values[0], unique_indices=True)
        cov = jnp.zeros((self.size, self.size))
        if self.group is None:
            return Initial(mean, dense["factor"], cov, dense["diffuse"])
        law = stationary(*self.stationary_system(values))
        S = dense["stationary"]
        return Initial(mean + S @ law.mean, dense["factor"], S @ law.cov @ S.T, dense["diffuse"], law.exists)

    def stationary_system(self, values: Sequence[Array]) -> tuple[Array, Array, Array]:
        """A, a, B of the memory of the stationary states, m_t = A m_{t-1} + a + B e_t, given the values of `nodes`."""
        g = self.group
        assert g is not None
        own, k = g.form.transition, len(g.form.entries)
        noises = np.unique(np.concatenate([np.zeros(0, int), g.noises, *(
            m.cols for (kind, lag), m in own.terms.items() if kind == "e" and lag == 0)]))  # fmt: skip
        slots = list(own.terms.items())
        offset, *values = values[1 + len(self.matrices) :]
        A = np.zeros((g.size, g.size))
        B = np.zeros((g.size, len(noises)))
        for row in range(1, g.rows):
            A[row * k + np.arange(k), (row - 1) * k + np.arange(k)] = 1
        first, q = g.rows * k, len(g.noises)
        for row in range(1, g.noise_rows):
            A[first + row * q + np.arange(q), first + (row - 1) * q + np.arange(q)] = 1
        B[first + np.arange(q if g.noise_rows else 0), np.searchsorted(noises, g.noises)] = 1
        A_, B_ = jnp.asarray(A, float), jnp.asarray(B, float)
        for ((kind, lag), m), v in zip(slots, values):
            if kind == "x":
                A_ = A_.at[_at(m.rows), _at(g.state_place(np.full(m.nnz, lag - 1), m.cols))].set(v)
            elif lag:
                A_ = A_.at[_at(m.rows), _at(g.noise_place(lag - 1, m.cols))].set(v)
            else:
                B_ = B_.at[_at(m.rows), _at(np.searchsorted(noises, m.cols))].set(v)
        return A_, jnp.zeros(g.size).at[: len(offset)].set(offset), B_


@dataclass(frozen=True)
class _Places:
    rows: np.ndarray
    noises: np.ndarray


def _group(form: LinearForm, terms: Mapping[tuple[str, int], Sparse], memory: Mapping[int, _Places]) -> _Group | None:
    """How much the memory of the stationary states must hold: all that their transition and the first rows read."""
    group = form.stationary
    if group is None:
        return None
    own = group.transition
    loaded = {int(c) for (kind, _), m in own.terms.items() if kind == "e" for c in m.cols}
    rows = max(own.depth("x"), 1)
    needed: dict[int, int] = {}
    for (kind, lag), m in own.terms.items():
        if kind == "e" and lag:
            for c in np.unique(m.cols):
                needed[int(c)] = max(needed.get(int(c), 0), lag)
    for (kind, lag), m in terms.items():
        if kind == "stat" and m.nnz:
            rows = max(rows, int(m.cols.max()) // form.stacking.n + 1)
        elif kind == "e":
            for c in np.unique(m.cols):
                if int(c) in loaded:
                    needed[int(c)] = max(needed.get(int(c), 0), lag + 1)
    for j, places in memory.items():
        for c in places.noises:
            if int(c) in loaded:
                needed[int(c)] = max(needed.get(int(c), 0), j + 1)
    noises = np.array(sorted(needed), int)
    return _Group(group, noises, rows, max(needed.values(), default=0))


def _matrix(shape: tuple[int, int], parts: list) -> Sparse:
    """From (rows, cols, matrix with the values, or None for ones)."""
    if not parts:
        return sparse.empty(shape)
    rows = np.concatenate([p[0] for p in parts])
    cols = np.concatenate([p[1] for p in parts])
    from ssmlang.model import expr

    values = expr.concat([p[2].values if p[2] is not None else expr.const(np.ones(len(p[0]))) for p in parts])
    return sparse.build(shape, rows, cols, values)


def _at(places: np.ndarray) -> np.ndarray:
    # JAX takes 32-bit places in either precision, and warns of 64-bit ones in single.
    return np.asarray(places, np.int32)
