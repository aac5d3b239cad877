"""Exchanges of states that no observation notices: two entries, two labels of an axis, two states of one shape."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ssmlang.analysis.lie_outputs import Outputs
from ssmlang.analysis.lie_points import DOUBLES, Point
from ssmlang.analysis.lie_rank import NO_VALUE
from ssmlang.analysis.scalars import Unsupported
from ssmlang.analysis.skeleton import Key

MOST, MOST_LARGE = 60, 12
"""Exchanges that are tried, and of those of states with more than a dozen entries."""
Exchange = dict[Key, Key]
"""Key (without lag) -> the key whose value it takes."""


def swaps(outputs: Outputs, points: list[Point]) -> list[Exchange]:
    """Exchanges after which every output of every row is the same, tried at random points.

    An exchange is a symmetry where it commutes with the transition and leaves the outputs as they are; parameters,
    inputs and data stay where they are.
    """
    found: list[Exchange] = []
    for tried, exchange in enumerate(_candidates(outputs)):
        outputs.tick()
        if tried >= (MOST if len(outputs.keys) <= 12 else MOST_LARGE):
            break
        if not any(set(f) <= set(exchange) for f in found) and all(_commutes(outputs, p, exchange) for p in points):
            found.append(exchange)
    return found


def exchanged(state: dict[Key, float], exchange: Exchange) -> dict[Key, float]:
    """The state after an exchange, delays with it."""
    found = dict(state)
    for key in state:
        base = Key(key.sort, key.name, key.entry)
        if base in exchange:
            source = exchange[base]
            found[key] = state[Key(source.sort, source.name, source.entry, key.lag)]
    return found


def _commutes(outputs: Outputs, point: Point, exchange: Exchange) -> bool:
    try:
        other = exchanged(point.state, exchange)
        same = lambda a, b: bool(np.allclose(a, b, rtol=1e-9, atol=1e-11))
        now, after = (outputs.now(DOUBLES, s, point.known()) for s in (point.state, other))
        if not same(np.array(now, float), np.array(after, float)):
            return False
        following = outputs.following(DOUBLES, point.state, point.known())
        expected, found = exchanged(following, exchange), outputs.following(DOUBLES, other, point.known())
        if not all(same(expected[k], found[k]) for k in outputs.keys):
            return False
        # Noise must come to both alike: the scale that an entry takes over is the one that it would have had.
        for key, source in exchange.items():
            mine = outputs.scale(source, DOUBLES, point.state, point.known())
            other_scale = outputs.scale(key, DOUBLES, other, point.known())
            if (mine is None) != (other_scale is None):
                return False
            if mine is not None and (mine[0] != other_scale[0] or not same(
                [v for _, v in mine[1]], [v for _, v in other_scale[1]])):  # fmt: skip
                return False
        return True
    except (Unsupported, KeyError, *NO_VALUE):
        return False


def _candidates(outputs: Outputs) -> Iterator[Exchange]:
    model = outputs.model
    variables = [*model.states.values(), *(p for p in model.parameters.values() if p.augment)]
    sort = lambda v: "state" if v.name in model.states else "augment"
    depth = {v.name: max((k.lag for k in outputs.keys if k.name == v.name), default=0) for v in variables}
    for v in variables:
        for i in range(v.size if v.size <= 12 else 0):
            for j in range(i + 1, v.size):
                a, b = Key(sort(v), v.name, i), Key(sort(v), v.name, j)
                yield {a: b, b: a}
    for i, v in enumerate(variables):
        for w in variables[i + 1 :]:
            if v.shape == w.shape and sort(v) == sort(w) and depth[v.name] == depth[w.name]:
                pairs = [(Key(sort(v), v.name, k), Key(sort(w), w.name, k)) for k in range(v.size)]
                yield {**dict(pairs), **{b: a for a, b in pairs}}
    for axis in model.axes.values():
        for i in range(min(axis.size, 8)):
            for j in range(i + 1, min(axis.size, 8)):
                exchange: Exchange = {}
                for v in variables:
                    for d, own in enumerate(v.axes):
                        if own == axis:
                            where = np.arange(v.size).reshape(v.shape)
                            moved = where.copy()
                            moved[(slice(None),) * d + (i,)], moved[(slice(None),) * d + (j,)] = (
                                where[(slice(None),) * d + (j,)], where[(slice(None),) * d + (i,)],
                            )  # fmt: skip
                            exchange |= {Key(sort(v), v.name, int(a)): Key(sort(v), v.name, int(b))
                                         for a, b in zip(where.reshape(-1), moved.reshape(-1)) if a != b}  # fmt: skip
                if exchange:
                    yield exchange
