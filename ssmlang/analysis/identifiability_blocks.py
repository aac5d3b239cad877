"""The independent blocks of a linear form: which states, observations and noises ever meet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ssmlang.model.components import connected
from ssmlang.model.linear import LinearForm


@dataclass(frozen=True)
class Part:
    """Positions of one block's states, observations, noises, initial normals and flat coordinates."""

    x: np.ndarray
    y: np.ndarray
    e: np.ndarray
    xi: np.ndarray
    delta: np.ndarray


def parts(form: LinearForm) -> list[Part]:
    """The blocks that hold an observation, in the order of their first one."""
    s, initial = form.stacking, form.initial
    sizes = {"x": s.n, "y": s.m, "e": s.r, "xi": initial.xi, "delta": initial.delta}
    first = dict(zip(sizes, np.cumsum([0, *sizes.values()])[:-1].tolist()))
    total = sum(sizes.values())
    links: list[tuple[np.ndarray, np.ndarray]] = []
    for rows, kind in ((form.transition, "x"), (form.emission, "y"), (form.first, "x")):
        for (read, _), m in rows.terms.items():
            own = "x" if read in ("x", "past", "stat") else "y" if read in ("y", "ypast") else read
            columns = m.cols % s.n if read == "stat" else m.cols
            at = m.rows % s.n if rows is form.first else m.rows
            keep = at < sizes[kind]
            links.append((first[kind] + at[keep], first[own] + columns[keep]))
    i = np.concatenate([a for a, _ in links]) if links else np.zeros(0, int)
    j = np.concatenate([b for _, b in links]) if links else np.zeros(0, int)
    label = connected(total, i, j)
    of = {kind: label[first[kind] : first[kind] + size] for kind, size in sizes.items()}
    found = []
    for block in dict.fromkeys(of["y"].tolist()):
        found.append(Part(*(np.flatnonzero(of[kind] == block) for kind in ("x", "y", "e", "xi", "delta"))))
    return found
