"""Closure in double precision: what algebra says of a lift is tried at random points before it is said."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from ssmlang.analysis.closure_algebra import Element
from ssmlang.analysis.closure_lift import Closure
from ssmlang.analysis.scalars import Doubles, Evaluator, Unsupported
from ssmlang.analysis.skeleton import Key, Rows, Skeleton, constant_noise
from ssmlang.model.expr import Node
from ssmlang.model.model import Model

AGREES = 1e-7
"""A relative difference above this is no rounding."""
MAX_FUNCTIONS = 60
"""Larger lifts are not tried where algebra has no answer."""
DOUBLES = Doubles()


def value_of(element: Element, read: Callable[[Any], float]) -> float:
    """An element in double precision; `read` gives that of a state's entry or something known."""
    algebra = element.algebra
    done: dict[int, float] = {}

    def of(s: int) -> float:
        if s not in done:
            symbol = algebra.symbols[s]
            if symbol.kind in ("state", "known"):
                done[s] = np.pi if symbol.key == "pi" else read(symbol.key)
            elif symbol.kind == "divisor":
                assert symbol.of is not None
                done[s] = value_of(symbol.of, read)
            elif symbol.kind == "log":
                done[s] = DOUBLES.unary("log", abs(float(symbol.number)) if symbol.number else of(symbol.base))
            elif symbol.kind == "size":
                done[s] = abs(of(symbol.base))
            else:
                args = [value_of(a, read) for a in symbol.args]
                if symbol.op == "itself":
                    done[s] = args[0]
                elif len(args) == 1:
                    done[s] = DOUBLES.unary(symbol.op, args[0])
                else:
                    done[s] = DOUBLES.binary(symbol.op, *args) if len(args) == 2 else DOUBLES.where(*args)
        return done[s]

    def sum_of(p: Any) -> float:
        return sum(float(c) * float(np.prod([of(s) ** e for s, e in m])) for m, c in p)

    total = 0.0
    with np.errstate(all="ignore"):
        for t, c in element.terms.items():
            part = float(c) * float(np.prod([np.float64(of(s)) ** e for s, e in t.mono]))
            part *= np.exp(sum_of(t.grow)) if t.grow else 1.0
            total += part * ((np.sin if t.odd else np.cos)(sum_of(t.turn)) if t.turn else 1.0)
    return float(total)


class Points:
    """The skeleton of a model in double precision at parameter values, from state to state."""

    def __init__(self, skeleton: Skeleton, params: Mapping[str, np.ndarray], seed: int) -> None:
        self.skeleton, self.params = skeleton, params
        self.rng = np.random.default_rng(seed)
        self._middle = constant_noise(skeleton.model)
        self._other: dict[Key, float] = {}

    def state(self, positive: bool) -> dict[Key, float]:
        """A random state with its delays; `positive`: inside the domain of logarithms and roots."""
        keys = [Key(k.sort, k.name, k.entry, lag) for k in self.skeleton.entries
                for lag in range(self.skeleton.memory if k.sort == "state" else 1)]  # fmt: skip
        drawn = self.rng.normal(0, 1, len(keys))
        return dict(zip(keys, (np.abs(drawn) + 0.05 if positive else drawn).tolist()))

    def outside(self, key: Key, row: int) -> float:
        if key.sort == "param":
            return float(self.params[key.name].reshape(-1)[key.entry])
        if key.sort == "noise":
            middle = self._middle[key.name]
            if middle is None:
                raise Unsupported(f"the noise {key.name} has no middle")
            leaf = self.skeleton.leaf(DOUBLES, lambda k: self.outside(k, row))
            return float(Evaluator(DOUBLES, leaf)(middle).reshape(-1)[key.entry])
        if key.sort == "increment":
            return float(key.name == "dt")
        if key.sort == "time":
            return 7.0
        return self._other.setdefault(key, float(self.rng.uniform(0.2, 1.5)))

    def functions(self, node: Node, state: Mapping[Key, float]) -> np.ndarray:
        """A vector of functions of the state."""
        value = lambda k: state[k] if k.sort in ("state", "augment") else self.outside(k, 0)
        return Evaluator(DOUBLES, self.skeleton.leaf(DOUBLES, value))(node).reshape(-1).astype(float)

    def after(self, state: Mapping[Key, float]) -> dict[Key, float]:
        """The state one row on."""
        outside = lambda key, row: state[key] if key.sort == "augment" else self.outside(key, row)
        first = lambda name, entry, back: state[Key("state", name, entry, back - 1)]
        rows = Rows(self.skeleton, DOUBLES, first, outside)
        found = dict(state)
        for key in state:
            if key.sort == "state":
                back = Key(key.sort, key.name, key.entry, key.lag - 1)
                found[key] = state[back] if key.lag else rows.value(key.name, key.entry, 0)
        return found

    def rate(self, state: Mapping[Key, float]) -> dict[Key, float]:
        """The rate of change of each entry, in continuous time."""
        moved = {Key(k.sort, k.name, k.entry, k.lag + 1): v for k, v in state.items() if k.sort == "state"}
        value = lambda k: moved[k] if k.sort == "state" else state[k] if k.sort == "augment" else self.outside(k, 0)
        evaluate = Evaluator(DOUBLES, self.skeleton.leaf(DOUBLES, value))
        given = self.skeleton.increments
        return {
            k: float(evaluate(given[k.name, k.entry].node).reshape(-1)[given[k.name, k.entry].position])
            if k.sort == "state" else 0.0 for k in state
        }  # fmt: skip

    def pair(self, node: Node, continuous: bool, positive: bool) -> tuple[np.ndarray, np.ndarray]:
        """The functions at a random state, and one row on (their rates of change)."""
        state = self.state(positive)
        here = self.functions(node, state)
        if not continuous:
            return here, self.functions(node, self.after(state))
        rate, step = self.rate(state), 1e-5
        ahead, behind = ({k: v + sign * step * rate[k] for k, v in state.items()} for sign in (1, -1))
        return here, (self.functions(node, ahead) - self.functions(node, behind)) / (2 * step)


def agrees(closure: Closure, node: Node, draws: list[dict[str, np.ndarray]]) -> bool | None:
    """Whether numbers agree with the verdict of algebra: K maps the functions, or no matrix does. None: they do not
    decide."""
    koopman = closure.koopman
    decided = None
    for seed, params in enumerate(draws):
        points = Points(koopman.skeleton, params, seed)
        pairs = _pairs(points, node, koopman.continuous, 3 * len(closure.functions) + 10 if closure.left else 6)
        if not pairs:
            continue
        here, there = (np.array(side) for side in zip(*pairs))
        if closure.closed:
            read = partial(points.outside, row=0)
            matrix = np.zeros((here.shape[1], here.shape[1]))
            for i, row in closure.matrix.items():
                for j, c in row.items():
                    matrix[i, j] = value_of(c, read)
            scale = np.abs(here) @ np.abs(matrix.T) + np.abs(there)
            error = np.abs(there - here @ matrix.T)
            tolerance = 1e-4 if koopman.continuous else AGREES
            if np.isfinite(matrix).all() and not (error <= tolerance * scale + 1e-300).all():
                return False
            decided = True
        elif _not_a_matrix(here, there, tolerance=1e-4 if koopman.continuous else AGREES):
            return True
        else:
            decided = False
    return decided


def closes_numerically(
    model: Model, node: Node, draws: list[dict[str, np.ndarray]], tick: Callable[[], None]
) -> bool | None:
    """Whether some matrix takes the functions to themselves one row on, as far as random points can tell; None where
    they cannot. Raises Unsupported."""
    skeleton = Skeleton(model)
    if node.size > MAX_FUNCTIONS:
        return None
    verdict = None
    for seed, params in enumerate(draws):
        points = Points(skeleton, params, seed)
        pairs = _pairs(points, node, skeleton.continuous, 3 * node.size + 10, tick)
        if not pairs:
            continue
        here, there = (np.array(side) for side in zip(*pairs))
        if _not_a_matrix(here, there, 1e-4 if skeleton.continuous else AGREES):
            return False
        verdict = True
    return verdict


def _pairs(
    points: Points, node: Node, continuous: bool, count: int, tick: Callable[[], None] = lambda: None
) -> list[tuple[np.ndarray, np.ndarray]]:
    found = []
    for attempt in range(4 * count):
        tick()
        pair = points.pair(node, continuous, positive=attempt % 2 == 1)
        if np.isfinite(pair[0]).all() and np.isfinite(pair[1]).all() and max(map(np.max, map(np.abs, pair))) < 1e12:
            found.append(pair)
        if len(found) == count:
            break
    return found if len(found) >= min(count, 4) else []


def _not_a_matrix(here: np.ndarray, there: np.ndarray, tolerance: float) -> bool:
    """Whether no matrix takes the rows of `here` to those of `there`, by least squares."""
    if len(here) <= here.shape[1]:
        return False
    weights = 1 / np.maximum(np.abs(here).max(axis=1), 1e-12)
    scaled, target = here * weights[:, None], there * weights[:, None]
    columns = np.maximum(np.linalg.norm(scaled, axis=0), 1e-300)
    found, *_ = np.linalg.lstsq(scaled / columns, target, rcond=1e-12)
    error = np.linalg.norm(target - scaled / columns @ found, axis=0)
    return bool((error > tolerance * np.maximum(np.linalg.norm(target, axis=0), 1e-300)).any())
