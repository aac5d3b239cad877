"""Noises that an observation shares with the states of its own row, as in Heston's model of volatility.

What states read of such a Gaussian noise w are affine combinations u = L w; the memory of a row holds E[w | u] alone.
What is left, w - E[w | u], is Gaussian, independent of the states and fresh in each row: an observation that is affine
in w has a density given the memory, whatever states it reads. No JAX here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from functools import partial, reduce
from typing import NamedTuple

import numpy as np

from ssmlang.model import _numeric as numeric
from ssmlang.model import expr, sparse
from ssmlang.model.affine import Affine, Interpreter
from ssmlang.model.expr import Node
from ssmlang.model.model import Dist, Equation, Model, Noise, nodes_of
from ssmlang.model.told_noises import GAUSSIAN, gaussian_in_noises

SMALL = 1e-9
"""Of the largest singular value: what is less is none."""


class Shared(NamedTuple):
    """Noises of which states and observations of the same row read parts."""

    names: tuple[str, ...]
    """those that both read, and those that states read together with them"""
    read: tuple[Node, ...]
    """u: the largest expressions of these noises alone that states read, each affine in them"""
    left: int
    """how many numbers of the noises that observations read are free, given u"""
    dense: tuple[Equation, ...]
    """the observations without a law of their own that have a density for what is left"""


def shared_noises(model: Model, latent: Collection[str] = ()) -> Shared | None:
    """The noises that observations share with states of their row, where something is left of them given the states.

    `latent`: observations that are part of the state. Where one shares a noise with an observation that is not, it
    counts as a state: what is left of the noise, given what it reads too, is then the other's alone.
    """
    if model.differentials or not model.noises:
        return None
    model = _as_states(model, latent)
    return _shared(model, lambda e, names: _largest(nodes_of(e), names)) or _shared(model, partial(_summed, model))


def _as_states(model: Model, latent: Collection[str]) -> Model:
    within = lambda e: any(t.name in latent for t in e.targets)
    others = {n for e in model.equations if e.role == "emission" and not within(e) for n in _noises(nodes_of(e))}
    moves = lambda e: within(e) and bool(others & _noises(nodes_of(e)))
    equations = tuple(replace(e, role="transition") if moves(e) else e for e in model.equations)
    return replace(model, equations=equations)


def in_noises_alone(model: Model) -> Model:
    """The model with a state's own Gaussian law, where it lies about a noise that observations of its row read too, as
    a noise of its own; itself where that leaves nothing of what they share."""
    if shared_noises(model) is not None:
        return model
    seen = {n for e in model.equations if e.role == "emission" for n in _noises(nodes_of(e))}
    moved = [e for e in model.equations if e.role == "transition" and _noises(nodes_of(e)) & seen]
    about = [e for e in moved if e.law is not None and e.law.name == "Normal" and not _noises([e.law.args["scale"]])]
    if not about:
        return model
    noises, equations = dict(model.noises), list(model.equations)
    for e in about:
        law = e.law
        assert law is not None
        name = f"noise of {e.targets[0].name} {equations.index(e)}"
        still = Dist("Normal", {"loc": expr.zeros(law.shape), "scale": expr.const(np.ones(law.shape))}, law.shape, 0)
        noises[name] = Noise(name, law.shape, (None,) * len(law.shape), e.span, None, still)
        own = expr.mul(law.args["scale"], expr.ref("noise", name, 0, law.shape, (None,) * len(law.shape)))
        equations[equations.index(e)] = replace(e, law=None, value=expr.add(law.args["loc"], own))
    found = replace(model, noises=noises, equations=tuple(equations))
    return found if shared_noises(found) is not None else model


def _shared(model: Model, read_by: Callable[[Equation, set[str]], Iterable[Node]]) -> Shared | None:
    lags = _readers(model)
    alone = {n for n, by in lags.items() if by <= {("transition", 0), ("emission", 0)} and _free(model, n)}
    both = {n for n in alone if len(lags[n]) == 2}
    seen = [e for e in model.equations if e.role == "emission" and both & _noises(nodes_of(e))]
    for e in seen:
        if not gaussian_in_noises(e, model):
            both -= _noises(nodes_of(e))
    read = [u for e in model.equations if e.role == "transition" for u in read_by(e, alone)]
    names: set[str] = set(both)
    while more := {n for u in read if names & (own := _noises([u])) for n in own} - names:
        names |= more
    read = [u for u in dict.fromkeys(read) if names & _noises([u])]
    if not both or not names:
        return None
    order = tuple(n for n in model.noises if n in names)
    numbers = _Numbers(model, order)
    L = numbers.loadings(read)
    mine = [e for e in seen if names & _noises(nodes_of(e))]
    whole = [numbers.loadings([_centre(e)]) for e in mine]
    if L is None or any(w is None for w in whole):
        return None
    left = lambda rows: _rank(np.concatenate([L, *rows])) - _rank(L)
    if not left(whole):
        return None
    exact = [e for e in mine if e.law is None]
    rows = [w for e, w in zip(mine, whole) if e.law is None and w is not None]
    sizes = sum(len(w) for w in rows)
    return Shared(order, tuple(read), left(whole), tuple(exact) if rows and left(rows) == sizes else ())


def _readers(model: Model) -> dict[str, set[tuple[str, int | str]]]:
    found: dict[str, set[tuple[str, int | str]]] = {n: set() for n in model.noises}

    def enter(nodes: list[Node], role: str) -> None:
        for sort, name, lag in expr.references(nodes):
            if sort == "noise":
                found[name].add((role, lag))

    for e in model.equations:
        enter(nodes_of(e), str(e.role))
    for i in model.initials:
        enter(nodes_of(i), "first")
    for d in model.definitions.values():
        enter([d.value] if d.value is not None else [], "definition")
    return found


def _free(model: Model, name: str) -> bool:
    """Whether a noise is Gaussian, by numbers that no series but inputs moves."""
    law = model.noises[name].law
    return law is not None and law.name in GAUSSIAN and _still(list(law.args.values()))


def _still(nodes: list[Node]) -> bool:
    reads = all(sort in ("input", "noise") and (sort == "input" or lag == 0)
                for sort, _, lag in expr.references(nodes))  # fmt: skip
    return reads and not any(n.op in ("augment", "past_sum", "flow", "flow_law") for n in expr.walk(nodes))


def _noises(nodes: list[Node]) -> set[str]:
    return {n for s, n, lag in expr.references(nodes) if s == "noise" and lag == 0}


def _largest(nodes: list[Node], names: set[str]) -> Iterator[Node]:
    """The largest affine expressions of some noises alone."""
    form = Interpreter(lambda sort, name, lag: sort == "noise")
    pending, done = list(nodes), set()
    while pending:
        node = pending.pop()
        if id(node) in done or not names & _noises([node]):
            continue
        done.add(id(node))
        if _noises([node]) <= names and _still([node]) and isinstance(form(node), Affine):
            yield node
        else:
            pending.extend(node.args)


def _summed(model: Model, e: Equation, names: set[str]) -> Iterator[Node]:
    """All that an equation reads of some noises as one sum, where it is affine in them with coefficients that no series
    but inputs moves."""
    form = Interpreter(lambda sort, name, lag: sort == "noise" and name in names)(e.value) if e.value else None
    if not isinstance(form, Affine) or not all(_still([m.values]) for m in form.terms.values()):
        yield from _largest(nodes_of(e), names)
        return
    parts = []
    for (_, name, _), m in form.terms.items():
        v = model.noises[name]
        parts.append(expr.matmul(m.dense, sparse.flat(expr.ref("noise", name, 0, v.shape, v.axes))))
    if parts:
        yield reduce(expr.add, parts)


def _centre(e: Equation) -> Node:
    centre = e.value if e.law is None else e.law.args["loc"]
    assert centre is not None
    return centre


def _rank(A: np.ndarray) -> int:
    return int(np.linalg.matrix_rank(A, tol=SMALL * max(np.abs(A).max(initial=0.0), 1e-300)))


class _Numbers:
    """Coefficients of the noises in expressions, with any numbers for all else: their rank is that of nearly all."""

    def __init__(self, model: Model, names: tuple[str, ...]) -> None:
        self.model, self.names = model, names
        self.form = Interpreter(lambda sort, name, lag: sort == "noise" and lag == 0 and name in names)
        self.given: dict[tuple[object, ...], np.ndarray] = {}
        self.rng = np.random.default_rng(0)

    def loadings(self, nodes: list[Node]) -> np.ndarray | None:
        """(entries, numbers of the noises); None where a coefficient is no number."""
        parts = []
        for node in nodes:
            form = self.form(node)
            if not isinstance(form, Affine):
                return None
            blocks = []
            for name in self.names:
                block = np.zeros((node.size, self.model.noises[name].size))
                term = form.terms.get(("noise", name, 0))
                if term is not None:
                    np.add.at(block, (term.rows, term.cols), self.value(term.values).reshape(-1))
                blocks.append(block)
            parts.append(np.concatenate(blocks, axis=1))
        found = np.concatenate(parts)
        return found if np.isfinite(found).all() else None

    def value(self, node: Node) -> np.ndarray:
        done: dict[int, np.ndarray] = {}
        with np.errstate(all="ignore"):
            for n in expr.walk([node]):
                if n.value is not None:
                    done[id(n)] = np.asarray(n.value)
                elif not n.args:
                    key = (n.op, *n.attrs, n.shape)
                    if key not in self.given:
                        whole = n.kind in ("int", "bool")
                        self.given[key] = np.zeros(n.shape, int) if whole else self.rng.uniform(0.2, 0.8, n.shape)
                    done[id(n)] = self.given[key]
                else:
                    done[id(n)] = np.asarray(numeric.evaluate(n.op, n.attrs, [done[id(a)] for a in n.args]))
        return np.broadcast_to(done[id(node)], node.shape)
