"""Markov chains by enumeration of every path, in NumPy."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np


class Enumerated(NamedTuple):
    terms: np.ndarray
    predicted: np.ndarray
    filtered: np.ndarray
    smoothed: np.ndarray
    best: float
    paths: dict[tuple[int, ...], float]


def enumerate_chain(initial, transition, log_emission, values, rows) -> Enumerated:
    """Sum over all paths of joint values; `initial` over memories as arrays of shape (slots), transition (T, N, K).

    A path is (memory of row 0, joint value of rows 1..T-1); the memory is followed by tuples, not by arithmetic.
    """
    slots = [(v, lag) for lag in range(max(rows)) for v, r in enumerate(rows) if lag < r]
    memories = list(itertools.product(*(range(values[v]) for v, _ in slots)))
    number = {m: i for i, m in enumerate(memories)}
    joint = list(itertools.product(*(range(k) for k in values)))
    T, N = log_emission.shape

    def after(memory, row):
        held = dict(zip(slots, memory))
        return tuple(row[v] if lag == 0 else held[v, lag - 1] for v, lag in slots)

    weights = {(m,): initial[number[m]] for m in memories}
    terms, predicted, filtered, so_far = [], [], [], 1.0
    for t in range(T):
        if t:
            weights = {
                (*path, after(path[-1], row)): w * transition[t, number[path[-1]], k]
                for path, w in weights.items() for k, row in enumerate(joint)
            }  # fmt: skip
        law = np.zeros(N)
        for path, w in weights.items():
            law[number[path[-1]]] += w
        predicted.append(law / law.sum())
        weights = {p: w * np.exp(log_emission[t, number[p[-1]]]) for p, w in weights.items()}
        law = np.zeros(N)
        for path, w in weights.items():
            law[number[path[-1]]] += w
        filtered.append(law / law.sum())
        terms.append(np.log(law.sum() / so_far))
        so_far = law.sum()
    smoothed = np.zeros((T, N))
    for path, w in weights.items():
        for t, m in enumerate(path):
            smoothed[t, number[m]] += w / so_far
    numbered = {tuple(number[m] for m in path): w / so_far for path, w in weights.items()}
    best = max(w for w in weights.values())
    return Enumerated(np.array(terms), np.array(predicted), np.array(filtered), smoothed, float(np.log(best)), numbered)
