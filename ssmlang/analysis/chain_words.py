"""What the chances of words (the outcomes of some rows in order) say of the parameters of chains.

The law of the first T rows of a chain with finitely many outcomes is the chance of each word of T of them, a polynomial
in the tables: its derivatives are exact in a finite field, and full rank at one random point is full rank at almost
every one. Two chains of K labels whose tables do not change agree in all words if they agree in those of 2 K - 1 rows
(Paz 1971, corollary 3.7), so that a direction in which none of these changes is one in which nothing does.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from ssmlang.analysis import identifiability_words as words
from ssmlang.analysis.budget import Budget
from ssmlang.analysis.chain_array import Chains, Tables
from ssmlang.analysis.chain_findings import groups_of, lost
from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Finding
from ssmlang.analysis.identifiability_dual import Dual
from ssmlang.analysis.identifiability_point import Coordinate
from ssmlang.analysis.identifiability_rank import float_rank, null_space
from ssmlang.analysis.identifiability_study import Sample

MOST_WORDS = 1024
MOST_ROWS = 12
DRAWS = 5


class Words:
    """The chances of words of some rows, of each kind of chain, and their derivatives."""

    def __init__(self, chains: Chains, budget: Budget) -> None:
        self.chains, self.budget = chains, budget

    @cached_property
    def outcomes(self) -> int:
        """How many outcomes a row of a chain has, at most."""
        row = self.chains.exact(1, 1)[1].rows[0]
        return max((int(np.prod([d.shape[1] for d in seen])) for seen in row.seen), default=1)

    @cached_property
    def most(self) -> int:
        """Rows whose words are few enough to be gone through."""
        rows = 1
        while rows < MOST_ROWS and self.outcomes ** (rows + 1) <= MOST_WORDS:
            rows += 1
        return rows

    @property
    def enough(self) -> int | None:
        """Rows that say all there is; None where no number of them is known to, or where they have too many words."""
        rows = max(2 * self.chains.size - 1, 1)
        return None if self.chains.varying or rows > self.most else rows

    def slopes(self, tables: Tables) -> np.ndarray:
        """(words of all kinds, coordinates)"""
        count = len(self.chains.coords)
        found = [np.zeros((0, count), tables.start.value.dtype)]
        for i in self._kinds(tables):
            self.budget.check()
            chances = self._of(tables, i)
            if chances.tangent is not None:
                found.append(chances.tangent.reshape(count, -1).T)
        return np.concatenate(found)

    def sample(self, seed: int, rows: int) -> Sample:
        """A random point and the directions in which no word changes."""
        values, tables = self.chains.exact(seed, rows)
        at = np.array([values[k.parameter].reshape(-1)[k.entry] for k in self.chains.coords], np.int64)
        slopes = self.slopes(tables)
        return Sample(at, null_space(slopes) if len(slopes) else np.eye(len(at), dtype=np.int64))

    def _kinds(self, tables: Tables) -> list[int]:
        """A chain of each kind: those of one kind have one law."""
        first: dict[bytes, int] = {}
        for i in range(self.chains.state.size):
            own = [tables.start.value[i], *(r.step.value[i] for r in tables.rows[:-1])]
            own += [d.value for r in tables.rows for d in r.seen[i]]
            first.setdefault(b"".join(np.ascontiguousarray(x).tobytes() for x in own), i)
        return list(first.values())

    def _of(self, tables: Tables, i: int) -> Dual:
        """The chances of the words of one chain."""
        c, size = tables.calculus, self.chains.size
        forward = _reshaped(c.take(tables.start, (np.asarray(i),)), (1, size))
        for t, row in enumerate(tables.rows):
            seen = c.constant(np.ones((1, size), int))
            for one in row.seen[i]:
                turned = c.transpose(one)
                wide = c.mul(_reshaped(seen, (seen.shape[0], 1, size)), _reshaped(turned, (1, *turned.shape)))
                seen = _reshaped(wide, (-1, size))
            if t:
                forward = c.matmul(forward, c.take(tables.rows[t - 1].step, (np.asarray(i),)))
            both = c.mul(_reshaped(forward, (forward.shape[0], 1, size)), _reshaped(seen, (1, *seen.shape)))
            forward = _reshaped(both, (-1, size))
        return c.sum(forward, -1)


def parameters(
    context: Context, chains: Chains, further: tuple[str, ...] = ()
) -> tuple[list[Finding], dict[Coordinate, Finding]]:
    """Findings of what is identified, and the verdict of each coordinate; `further` details of what is proved."""
    if not chains.coords:
        return [], {}
    law = Words(chains, context.budget)
    rows, null = 0, np.eye(len(chains.coords), dtype=np.int64)
    for rows in range(1, (law.enough or law.most) + 1):
        null = min((law.sample(seed, rows).null for seed in (1, 2)), key=lambda n: n.shape[1])
        if not null.shape[1]:
            break
    if not _agrees(context, law, rows, len(chains.coords) - null.shape[1]):
        reason = "the exact rank of the chances of words is not that in double precision"
        f = Finding("parameters identified", "unknown", reason)
        return [f], dict.fromkeys(chains.coords, f)
    found: list[Finding] = []
    verdicts: dict[Coordinate, Finding] = {}
    for group in groups_of(null):
        coords = [chains.coords[i] for i in group]
        if law.enough is not None:
            made = lost(context, chains.model, chains.coords, group, lambda k: law.sample(70 + k, rows))
        else:
            who = words.listed(words.names(chains.model, coords))
            made = Finding(f"identified: {who}", "unknown", f"not told apart by {rows} rows, the most looked at",
                           context.line_of(coords[0].parameter))  # fmt: skip
        found.append(made)
        verdicts.update(dict.fromkeys(coords, made))
    rest = [k for k in chains.coords if k not in verdicts]
    if rest:
        who = words.listed(words.names(chains.model, rest))
        kind = chains.state.name if chains.state.size == 1 else f"each {chains.state.name}"
        told = f"changes the chances of the outcomes of {rows} rows of {kind}"
        reason = f"{who}: each {told} in a way that no other does" if len(rest) > 1 else f"{who}: {told}"
        found.insert(0, Finding("parameters identified", "proved", reason, details=further))
        verdicts.update(dict.fromkeys(rest, found[0]))
    return found, verdicts


def _agrees(context: Context, law: Words, rows: int, exact: int) -> bool:
    """Whether double precision sees the same rank at a draw from the prior."""
    for draw in context.draws(DRAWS):
        slopes = law.slopes(law.chains.numeric(draw, rows))
        if np.isfinite(slopes).all() and float_rank(slopes, _sizes(law.chains, draw))[0] == exact:
            return True
    return exact == 0


def _sizes(chains: Chains, draw: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.array([abs(float(np.asarray(draw[k.parameter]).reshape(-1)[k.entry])) + 0.1 for k in chains.coords])


def _reshaped(a: Dual, shape: tuple[int, ...]) -> Dual:
    tangent = None if a.tangent is None else a.tangent.reshape(len(a.tangent), *_full(a.value, shape))
    return Dual(a.value.reshape(shape), tangent)


def _full(value: np.ndarray, shape: tuple[int, ...]) -> tuple[int, ...]:
    return value.reshape(shape).shape
