"""Connected components of sparse graphs, in NumPy: importing scipy's takes longer than checking a small model does."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

Array = np.ndarray


def connected(size: int, rows: Array, cols: Array) -> Array:
    """(size,): the component of each of `size` nodes, edges being between `rows` and `cols`; numbered in the order of
    their first nodes.

    Each tree takes over the smallest root that an edge shows it, then all point to their roots at once (Shiloach and
    Vishkin 1982): a few passes over arrays, no loop over nodes.
    """
    parent = np.arange(size)
    rows, cols = np.asarray(rows, np.int64), np.asarray(cols, np.int64)
    while len(rows):
        first, second = parent[rows], parent[cols]
        apart = first != second
        rows, cols, first, second = rows[apart], cols[apart], first[apart], second[apart]
        least = np.minimum(first, second)
        np.minimum.at(parent, np.maximum(first, second), least)
        while ((above := parent[parent]) != parent).any():
            parent = above
    return np.unique(parent, return_inverse=True)[1].reshape(size)


def strongly_connected(size: int, edges: Iterable[tuple[int, int]]) -> tuple[int, Array]:
    """How many strong components a directed graph has, and that of each node (Tarjan 1972).

    Components are numbered so that each comes after those that it has edges to.
    """
    follow: list[list[int]] = [[] for _ in range(size)]
    for i, j in edges:
        follow[i].append(j)
    label = np.full(size, -1)
    index, low = [-1] * size, [0] * size
    stack: list[int] = []
    count = met = 0
    for start in range(size):
        if index[start] >= 0:
            continue
        index[start] = low[start] = met
        met += 1
        stack.append(start)
        path = [(start, iter(follow[start]))]
        while path:
            node, rest = path[-1]
            for other in rest:
                if index[other] < 0:
                    index[other] = low[other] = met
                    met += 1
                    stack.append(other)
                    path.append((other, iter(follow[other])))
                    break
                if label[other] < 0:
                    low[node] = min(low[node], index[other])
            else:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[node])
                if low[node] == index[node]:
                    while True:
                        other = stack.pop()
                        label[other] = count
                        if other == node:
                            break
                    count += 1
    return count, label
