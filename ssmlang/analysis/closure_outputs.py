"""The ends of a lifted model: whether it starts Gaussian, whether the observations are linear in it and see it all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ssmlang.analysis.closure_algebra import Element
from ssmlang.analysis.closure_functions import split
from ssmlang.analysis.closure_lift import Closure
from ssmlang.analysis.closure_map import Koopman
from ssmlang.analysis.closure_numbers import Points, value_of
from ssmlang.analysis.closure_space import Span, common
from ssmlang.analysis.closure_words import Words
from ssmlang.analysis.context import Context
from ssmlang.analysis.scalars import Evaluator, Unsupported
from ssmlang.analysis.skeleton import LOCATED, Key
from ssmlang.model import expr
from ssmlang.model.model import Model


def is_affine(function: Element) -> bool:
    """Whether a function is affine in the entries of the state."""
    return all(not t.grow and not t.turn and sum(e for _, e in t.mono) <= 1 and all(
        e > 0 and function.algebra.symbols[s].kind == "state" for s, e in t.mono) for t in split(function))  # fmt: skip


def start(model: Model, closure: Closure, words: Words, names: Sequence[str]) -> list[str]:
    """Functions that are not Gaussian at the first row, because what they curve is uncertain there."""
    uncertain: set[tuple[str, int]] = set()
    for initial in model.initials:
        value = initial.value
        if value is None or expr.references([value]):
            uncertain |= {(t.name, i) for t in initial.targets for i in t.entries}
    curved: dict[str, str] = {}
    for name, f in zip(names, closure.functions):
        if is_affine(f):
            continue
        keys = [closure.koopman.algebra.symbols[s].key for s in f.symbols()]
        for key in keys:
            if isinstance(key, Key) and (key.name, key.entry) in uncertain:
                curved[name] = str(words.name(0)(Key(key.sort, key.name, key.entry)))
    if not curved:
        return []
    name, entry = next(iter(curved.items()))
    entry = entry.replace("[t]", "").replace("[t, ", "[")
    return [
        f"start: {entry} is uncertain at the first row, so that {name} is not Gaussian there: "
        "a filter in z is the best linear one, exact where it starts from a known state"
    ]


@dataclass(frozen=True)
class View:
    """What the observations are in a lift: `said` in a line or two; `linear` in z, and if so of which `rank` at a prior
    draw; `lost`: functions that reach none of them, whatever the parameters are."""

    said: list[str]
    linear: bool = False
    rank: int = 0
    lost: tuple[str, ...] = ()


def observed(context: Context, closure: Closure, words: Words, names: Sequence[str]) -> View:
    """Whether the emissions are linear in the lift, and how much of it they see."""
    koopman = closure.koopman
    rows: list[dict[int, Element]] = []
    found: list[str] = []
    constant = koopman.algebra.constant(1)
    for e in context.model.equations:
        if e.role != "emission":
            continue
        name = ", ".join(dict.fromkeys(t.name for t in e.targets))
        node = e.value
        if e.law is not None:
            if e.law.name not in LOCATED:
                found.append(f"observations: {name} is {e.law.name}, not Gaussian about a function of z")
                continue
            node = expr.broadcast(e.law.args[LOCATED[e.law.name]], e.law.shape)
        assert node is not None
        try:
            outputs = emissions(koopman, node)
        except Unsupported:
            continue
        own, others = common([*closure.functions, constant], outputs)
        span = Span(own)
        for output, other in zip(outputs, others):
            where, rest = span.coordinates(other)
            if rest:
                found.append(f"observations: {name} is not linear in z: it reads {words.whole(output, 0)}")
                break
            rows.append({j: c for j, c in where.items() if j < len(names)})
    if found or not rows:
        return View(found[:3])
    return _unseen(context, closure, rows, names)


def emissions(koopman: Koopman, node: expr.Node) -> list[Element]:
    """What an emission is the middle of, as functions of the state at its row; noises are at their middle."""

    def value(key: Key) -> Element:
        if key.sort in ("state", "augment"):
            return koopman.state(Key(key.sort, key.name, key.entry, key.lag if key.sort == "state" else 0))
        return koopman.outside(key, 0)

    evaluate = Evaluator(koopman.exact, koopman.skeleton.leaf(koopman.exact, value), koopman.tick)
    return list(evaluate(node).reshape(-1))


def _unseen(context: Context, closure: Closure, rows: Sequence[dict[int, Element]], names: Sequence[str]) -> View:
    """How much of the lift reaches the observations: a numeric rank at a prior draw, and by structure."""
    koopman = closure.koopman
    points = Points(koopman.skeleton, {k: np.asarray(v) for k, v in context.draws(1)[0].items()}, 0)
    read = lambda key: points.outside(key, 0)
    n = len(names)
    K, C = np.zeros((n, n)), np.zeros((len(rows), n))
    for i, row in closure.matrix.items():
        for j, c in row.items():
            K[i, j] = value_of(c, read)
    for i, row in enumerate(rows):
        for j, c in row.items():
            C[i, j] = value_of(c, read)
    if not (np.isfinite(K).all() and np.isfinite(C).all()):
        return View([])
    seen, block = np.zeros((0, n)), C
    for _ in range(n):
        block = block / np.maximum(np.linalg.norm(block, axis=1, keepdims=True), 1e-300)
        seen = np.vstack([seen, block])
        block = block @ K
    s = np.linalg.svd(seen, compute_uv=False)
    rank = int((s > 1e-9 * max(s[0], 1e-300)).sum())
    reached = {j for row in rows for j in row}
    while True:
        more = {j for i in reached for j in closure.matrix[i]} - reached
        if not more:
            break
        reached |= more
    lost = tuple(names[j] for j in range(n) if j not in reached)
    if rank == n:
        return View(["observations: linear in z, and all of z is seen through them"], True, rank)
    reach = "reaches" if len(lost) == 1 else "reach"
    which = f": {', '.join(lost[:4])} never {reach} them" if lost else ""
    return View([f"observations: linear in z, and see {rank} of its {n} directions{which}"], True, rank, lost)
