"""Where things stand in the memory that an engine of Markov form works on.

The *Markov memory* is what is needed of the program's memory s_t (see `program`), followed by the *row noises*: noises
that only row t's observations read, but more than one of them. With them in the memory what is left of the noise of
the observations is independent over them, so they can be taken in one at a time (Koopman & Durbin 2000) and no
covariance matrix is ever factored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from ssmlang.engines._products import FUSED_LIMIT
from ssmlang.engines.program import Structure

Runs = tuple[tuple[int, int], ...]
"""Entries of a memory as (first, count); first = -1 stands for so many zeros."""


@dataclass(frozen=True)
class Layout:
    """Plain Python, hashable, made from a Structure alone."""

    structure: Structure

    whole: bool = False
    """Whether to keep the program's memory as it is, entries that nothing reads any more included."""

    correlated: bool = False
    """Whether row noises stay out of the memory, as a covariance C of the observations: see `jointly`."""

    @cached_property
    def patterns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Nonzero patterns of F, G, H, J with their full shapes, also where an extent is zero."""
        return self.structure.patterns

    @cached_property
    def memory_noises(self) -> tuple[int, ...]:
        """M of the program: noises that the program's memory holds."""
        return self.structure.memory_noises

    @cached_property
    def row_noises(self) -> tuple[int, ...]:
        """Those of `shared_noises` that the memory holds."""
        return () if self.correlated else self.shared_noises

    @cached_property
    def shared_noises(self) -> tuple[int, ...]:
        """Noises read by two or more observations of their own row and by nothing else."""
        return self._read_in_their_row_alone(several=True)

    @cached_property
    def own_noises(self) -> tuple[int, ...]:
        """Noises read by exactly one observation of their own row and by nothing else."""
        return self._read_in_their_row_alone(several=False)

    def _read_in_their_row_alone(self, several: bool) -> tuple[int, ...]:
        J = self.patterns[3]
        if not len(J):
            return ()
        M, readers = self.memory_noises, J[0].sum(axis=0)
        return tuple(int(j) for j in np.flatnonzero(readers > 1 if several else readers == 1) if j not in M)

    @cached_property
    def kept(self) -> np.ndarray:
        """Positions in the program's memory of the entries that the Markov memory holds, in its order."""
        s = self.structure
        return np.arange(s.memory_size, dtype=np.int32) if self.whole else np.array(s.needed_entries, np.int32)

    @property
    def program_size(self) -> int:
        """Entries of the Markov memory that stem from the program's."""
        return len(self.kept)

    @property
    def size(self) -> int:
        """Length of the Markov memory."""
        return self.program_size + len(self.row_noises)

    @cached_property
    def jointly(self) -> bool:
        """Whether a row's observations can be taken in at once: where an entry may be predicted exactly, or reads one
        entry of the memory alone, taking them in one by one keeps more digits."""
        apart = replace(self, correlated=False)
        exact = apart.can_be_predicted_exactly or any(only is not None for only in apart.selected)
        return self.structure.m > 1 and self.structure.n > 0 and not exact

    @cached_property
    def smallest(self) -> Layout:
        """This layout without the row noises where it can do without them."""
        return replace(self, correlated=self.jointly and bool(self.shared_noises))

    @property
    def fused(self) -> bool:
        """Whether products are written element by element."""
        return self.size <= FUSED_LIMIT

    @cached_property
    def x_entries(self) -> int:
        """Entries of the memory that hold x_t, x_{t-1}, ...; the first n are x_t."""
        return int(np.searchsorted(self.kept, self.structure.n * self.structure.state_rows))

    @cached_property
    def source(self) -> np.ndarray:
        """For each entry the one that it stems from a row earlier, -1 for x_t and the noises of row t."""
        s = self.structure
        x_lags, width = s.n * s.state_rows, len(self.memory_noises)
        place = {int(at): i for i, at in enumerate(self.kept)}
        found = np.full(self.size, -1)
        for i, at in enumerate(self.kept.tolist()):
            step, first = (s.n, 0) if at < x_lags else (width, x_lags)
            if at - step >= first:
                found[i] = place[at - step]
        return found

    @cached_property
    def down(self) -> Runs:
        """What stands below x_t after a row, as runs of the entries before it."""
        return _runs(self.source[self.structure.n :])

    @cached_property
    def up(self) -> Runs:
        """The transpose of moving down: for each entry, where it goes, as runs."""
        target = np.full(self.size, -1)
        moved = self.source >= 0
        target[self.source[moved]] = np.flatnonzero(moved)
        return _runs(target)

    @cached_property
    def read(self) -> int:
        """The transition reads the first `read` entries of the memory at most."""
        columns = np.flatnonzero(self._wide_top_pattern.any(axis=0))
        return int(columns[-1]) + 1 if columns.size else 0

    @property
    def top_pattern(self) -> np.ndarray:
        """Pattern of the rows of A that give x_t, (n, read)."""
        return self._wide_top_pattern[:, : self.read]

    @cached_property
    def columns(self) -> dict[str, tuple[np.ndarray, int]]:
        """How F, G, H and J, laid out as rows over their lags, become columns of the memory.

        By name: which of the columns, (lag, entry) with the entry running fastest, and how many zeros follow. For "G"
        the lags begin at 1 and for "G" and "J" the entries are the noises M.
        """
        s, x_lags = self.structure, self.structure.n * self.structure.state_rows
        F, G, H, J = self.patterns
        x, e = self.kept[: self.x_entries], self.kept[self.x_entries :] - x_lags
        width = len(self.memory_noises)
        extents = {"F": (x, len(F) * s.n), "H": (x, len(H) * s.n)}
        extents |= {"G": (e, max(len(G) - 1, 0) * width), "J": (e, len(J) * width)}
        return {name: (at[at < extent], int((at >= extent).sum())) for name, (at, extent) in extents.items()}

    @cached_property
    def _wide_top_pattern(self) -> np.ndarray:
        F, G, _, _ = self.patterns
        s = self.structure
        top = np.concatenate([self.lagged("F", F), self.lagged("G", G)], axis=1)
        return np.concatenate([top, np.zeros((s.n, len(self.row_noises)), bool)], axis=1)

    @cached_property
    def Z_pattern(self) -> np.ndarray:
        """Pattern of Z, (m, N)."""
        _, _, H, J = self.patterns
        row = J[0] if len(J) else np.zeros((self.structure.m, self.structure.r), bool)
        return np.concatenate([self.lagged("H", H), self.lagged("J", J), row[:, list(self.row_noises)]], axis=1)

    def lagged(self, name: str, X: np.ndarray) -> np.ndarray:
        """The columns over the memory of one of F, G, H, J, (lags, i, j), in NumPy."""
        if name in "GJ":
            X = X[1 if name == "G" else 0 :][..., list(self.memory_noises)]
        at, zeros = self.columns[name]
        i = X.shape[1]
        return np.pad(np.swapaxes(X, 0, 1).reshape(i, X.shape[0] * X.shape[2])[:, at], ((0, 0), (0, zeros)))

    @cached_property
    def selected(self) -> tuple[int | None, ...]:
        """For each observation the single memory entry it reads, or None where it reads several or none."""
        found: list[int | None] = []
        for row in self.Z_pattern:
            columns = np.flatnonzero(row)
            found.append(int(columns[0]) if len(columns) == 1 else None)
        return tuple(found)

    @cached_property
    def noisy(self) -> tuple[bool, ...]:
        """Which observations have a noise of their own."""
        J = self.patterns[3]
        own = list(self.own_noises)
        return tuple(bool(b) for b in J[0][:, own].any(axis=1)) if len(J) else (False,) * self.structure.m

    @cached_property
    def entering(self) -> tuple[tuple[int, int], ...]:
        """(entry, noise) for the noises of row t that the memory holds."""
        pairs = [(self.x_entries + k, j) for k, j in enumerate(self.memory_noises)]
        return (*pairs, *((self.program_size + k, j) for k, j in enumerate(self.row_noises)))

    @cached_property
    def entering_noises(self) -> frozenset[int]:
        """The noises of row t that its states or the memory read."""
        G = self.patterns[1]
        read = np.flatnonzero(G[0].any(axis=0)).tolist() if len(G) else []
        return frozenset([*read, *(noise for _, noise in self.entering)])

    @cached_property
    def can_be_predicted_exactly(self) -> bool:
        """Whether some observation could have zero one-step variance at generic parameters.

        It cannot where each observation without own noise can be matched with a noise that first enters in its row
        (structural rank): then its variance given all the past and the other observations of its row is positive.
        """
        bare = [i for i, noisy in enumerate(self.noisy) if not noisy]
        if not bare:
            return False
        if self.correlated:
            return replace(self, correlated=False).can_be_predicted_exactly
        s, G = self.structure, self.patterns[1]
        entering = np.zeros((self.size, s.r), bool)
        if len(G):
            entering[: s.n] = G[0]
        for entry, noise in self.entering:
            entering[entry, noise] = True
        reached = (self.Z_pattern[bare].astype(int) @ entering.astype(int)) > 0
        matched = maximum_bipartite_matching(csr_array(reached.astype(np.int8)), perm_type="column")
        return bool((matched < 0).any())


def _runs(entries: np.ndarray) -> Runs:
    """Consecutive entries, and consecutive -1, taken together."""
    if not len(entries):
        return ()
    steps = np.where(entries[1:] < 0, 0, 1)
    breaks = np.flatnonzero((np.diff(entries) != steps) | ((entries[1:] < 0) != (entries[:-1] < 0))) + 1
    return tuple((int(entries[a]), int(b - a)) for a, b in pairwise([0, *breaks.tolist(), len(entries)]))
