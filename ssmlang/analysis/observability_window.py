"""Programs whose matrices differ from row to row: what can be known of a row's state from a window of rows.

With inputs that run at random the rank over a window is looked at in a finite field, so that "full" is a proof for
almost every course of the inputs. What given data excite is said in `excitation`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import sympy as sp

from ssmlang.analysis import modular, residues
from ssmlang.analysis.budget import Budget
from ssmlang.analysis.observability_block import BlockResult, Vector, cut, numbers_of
from ssmlang.analysis.symbolic import TIME
from ssmlang.analysis.system import Entries, System

FIRST_ROW = 40
"""The window starts here, past the rows that an equation treats apart."""
MOST_ROWS = 80
_ROW = re.compile(r"^(?P<name>[^\[]+)\[t(?:-(?P<lag>\d+))?(?P<rest>,[^\]]*)?\]$")


def window(system: System) -> int:
    """Rows that are looked at: enough for a season's worth of states to be turned once."""
    return min(2 * system.companion.size + 12, MOST_ROWS)


class RowAtATime:
    """F and H of each row in a finite field: parameters keep their values, inputs have new ones in every row."""

    def __init__(self, system: System, rows: int, rng: np.random.Generator, budget: Budget) -> None:
        companion = system.companion
        self.system, self.rows, self.size = system, rows, companion.size
        tables = (dict(companion.F.todok()), dict(companion.H.todok()))
        self.steps: list[tuple[Entries, Entries]] = []
        for k in range(rows):
            budget.check()
            row = {TIME: sp.Integer(FIRST_ROW + k)}
            own = [{at: v.subs(row) if TIME in v.free_symbols else v for at, v in e.items()} for e in tables]
            self.steps.append((own[0], own[1]))
        self.field = modular.Field((v for step in self.steps for e in step for v in e.values()), rng)
        self.moving = {s: found for s in system.reads - {TIME} if (found := _ROW.match(s.name)) is not None}
        self.rng = rng

    def unseen(self) -> np.ndarray:
        """A basis of the states of the window's first row that change nothing in it, at a new random point."""
        p = self.field.p
        kept: dict[sp.Expr, int] = {}
        series: dict[tuple[str, int, str], int] = {}
        seen = np.zeros((0, self.size), np.int64)
        transfer = np.eye(self.size, dtype=np.int64)
        for k, (F, H) in enumerate(self.steps):
            own: dict[sp.Expr, int] = {}
            for s, found in self.moving.items():
                key = (found["name"], k - int(found["lag"] or 0), found["rest"] or "")
                own[s] = series.setdefault(key, int(self.rng.integers(1, p)))
            self.field.at({**kept, **own})
            # F of a row leads into it: the first row's own is not used.
            if k:
                transfer = modular.matrix(F, (self.size, self.size), self.field) @ transfer % p
            step = modular.matrix(H, (self.system.m, self.size), self.field) @ transfer % p
            kept.update({e: v for e, v in self.field.values.items() if not e.free_symbols & set(self.moving)})
            seen, _ = residues.reduced(np.concatenate([seen, step]), p)
            if len(seen) == self.size:
                break
        return residues.reduced(residues.null_space(seen, p), p)[0] if len(seen) else np.eye(self.size, dtype=np.int64)


def over_window(system: System, budget: Budget, seed: int = 0) -> BlockResult:
    """What a window loses for almost all parameters and almost every course of the inputs. Raises OutOfTime and
    modular.Impossible."""
    found = BlockResult(system, complete=False)
    if not system.m:
        found.lost, found.whole = None, None
        found.entries = frozenset(range(system.n))
        return found
    rows = RowAtATime(system, window(system), np.random.default_rng(seed), budget)
    bases = _points(rows)
    p = rows.field.p
    now = [residues.reduced(b[:, : system.n].copy(), p)[0] for b in bases]
    best = min(range(len(bases)), key=lambda i: len(bases[i]))
    if not len(now[best]):
        return found
    same = [b for b in bases if len(b) == len(bases[best])]
    found.dimension = len(bases[best])
    found.entries = frozenset(int(i) for i in np.flatnonzero(now[best].any(axis=0)))
    found.whole = _constant(same, p)
    found.lost = cut(found.whole, system.n)
    return found


def _points(rows: RowAtATime) -> list[np.ndarray]:
    found: list[np.ndarray] = []
    for _ in range(20):
        try:
            found.append(rows.unseen())
        except modular.Impossible:
            continue
        if len(found) == 2:
            break
    if not found:
        raise modular.Impossible("every point is a pole")
    return found


def _constant(bases: Sequence[np.ndarray], p: int) -> tuple[Vector, ...] | None:
    first = bases[0]
    if any(b.shape != first.shape or (b != first).any() for b in bases[1:]):
        return None
    return numbers_of(first, p)


def read_by(system: System) -> str:
    """What the matrices of a system read of a row: `X`, `X and the row number`."""
    from ssmlang.analysis.observability_words import listed

    names = dict.fromkeys(s.name.split("[")[0] for s in sorted(system.reads - {TIME}, key=str))
    return listed([*names, *(["the row number"] if TIME in system.reads else [])])
