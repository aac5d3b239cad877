"""States of which observations do not tell the sign: their law has two peaks, which one Gaussian cannot have. No JAX
here."""

from __future__ import annotations

from itertools import product

import numpy as np

from ssmlang.analysis.values import Unreadable, evaluate_all
from ssmlang.model import expr
from ssmlang.model.model import Model, nodes_of

POINTS = 3
"""Places at which signs are turned."""


def folded(model: Model, most: int) -> tuple[str, ...]:
    """Names of entries of states whose signs, turned together, leave the law of every observation of the row as it is;
    none where states have more than `most` entries. Found by numbers: two laws that agree at some places of no meaning
    agree everywhere, or nearly so."""
    nodes = [n for e in model.equations if e.role == "emission" for n in nodes_of(e)]
    reads = expr.references(nodes)
    read = {name for sort, name, _ in reads if sort == "state"}
    states = [s for s in model.states.values() if s.name in read]
    sizes = [s.size for s in states]
    series = {**model.states, **model.observations, **model.inputs, **model.noises}
    whole = any(getattr(series.get(name), "values", None) is not None for _, name, _ in reads)
    if not states or whole or sum(sizes) > most or any(sort == "augment" for sort, *_ in reads):
        return ()
    rng = np.random.default_rng(0)
    params = {n: rng.uniform(0.2, 0.8, p.shape) for n, p in model.parameters.items()}
    drawn = lambda: {key: rng.uniform(0.3, 1.7, series[key[1]].shape) for key in sorted(reads, key=str)}
    places = [drawn() for _ in range(POINTS)]

    def law(turned: np.ndarray) -> np.ndarray:
        signs = {s.name: part.reshape(s.shape) for s, part in zip(states, np.split(turned, np.cumsum(sizes)[:-1]))}
        rows = []
        for place in places:
            at = lambda sort, name, lag, place=place: place[sort, name, lag] * signs.get(name, 1.0)
            rows += [np.ravel(v) for v in evaluate_all(nodes, params, 3, at)]
        return np.concatenate(rows).astype(float)

    try:
        plain = law(np.ones(sum(sizes)))
        if not np.isfinite(plain).all():
            return ()
        same = lambda factor: np.allclose(law(factor), plain, rtol=1e-9, atol=1e-12)
        one = np.ones(sum(sizes))
        seen = [i for i in range(sum(sizes)) if not same(np.where(np.arange(len(one)) == i, 1.1, one))]
        for signs in product((1.0, -1.0), repeat=len(seen)):
            turned = one.copy()
            turned[seen] = signs
            if (turned < 0).any() and same(turned):
                names = [n for s in states for n in s.entry_names()]
                return tuple(n for n, sign in zip(names, turned) if sign < 0)
    except (Unreadable, KeyError, ValueError):
        return ()
    return ()

