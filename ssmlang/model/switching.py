"""A model in which discrete states choose among linear-Gaussian equations, taken apart: the chain, and what it chooses.

In the linear part a discrete state is a known number of the sort "regime", so that its matrices are expressions of the
regimes; they are numbers once the regimes of a row (and of as many before it as are read) are given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ssmlang.model import expr
from ssmlang.model.chains import ChainForm, chain_form
from ssmlang.model.expr import Node
from ssmlang.model.linear import LinearForm, linear_form
from ssmlang.model.model import Dist, Equation, InitialEquation, Model, nodes_of
from ssmlang.model.obstacles import Obstacle

REGIME = "regime"
"""The sort of a discrete state that the linear part reads."""
MOST_PAIRS = 20_000
"""The most pairs of remembered regimes and next ones: each is a step of a Kalman filter."""


@dataclass(frozen=True)
class SwitchingForm:
    """The chain of the regimes, and the linear form of what they choose among."""

    chain_model: Model
    chain: ChainForm
    linear_model: Model
    linear: LinearForm
    unavailable: np.ndarray
    """(R, m): observations of the linear part that read a regime without a value"""
    memoryless: bool
    """Whether no real state depends on an earlier row, so that nothing is approximated"""


def switching_form(model: Model, latent: Sequence[str] = (), definitions: bool = False, history: int = 1
                   ) -> SwitchingForm | tuple[Obstacle, ...]:  # fmt: skip
    """The two parts of a model, or all the obstacles.

    `latent` and `definitions` as of `linear_form`. `history`: how many rows of the regimes are remembered at least.
    """
    if not any(s.values is not None for s in model.states.values()):
        return (Obstacle("E306", "engine 'kalman' needs discrete states that choose among equations", None,
                         "no state is discrete", by=("kalman", "ekf", "particle")),)  # fmt: skip
    found = _obstacles(model)
    if found:
        return tuple(found)
    apart = _emissions_of_the_chain(model)
    linear_model = _linear_model(model, apart)
    linear = linear_form(linear_model, [n for n in latent if n in linear_model.observations], definitions)
    if not isinstance(linear, LinearForm):
        return linear
    if linear.initial.delta:
        span = next((i.span for i in model.initials if i.special == "diffuse"), None)
        return (Obstacle("E306", "engine 'kalman' needs a proper initial law", span, "its variance is infinite",
                         "give a law, wide as you like: `init x ~ Normal(0, 100)`", by=("particle",)),)  # fmt: skip
    if linear.whole_past:
        return (Obstacle("E306", "engine 'kalman' does not sum over the whole past", linear.whole_past[0],
                         "reaches back to row 0", "bound the sum: `for k in 1..min(20, t)`"),)  # fmt: skip
    chain_model = _chain_model(model, apart)
    rows = {n: max(history, 1 + _deepest(linear_model, n)) for n in chain_model.states}
    chain = chain_form(chain_model, rows=rows, together=True, most_pairs=MOST_PAIRS)
    if not isinstance(chain, ChainForm):
        return chain
    lacking = _without_regime(linear_model, chain)
    if lacking is not None:
        return (lacking,)
    return SwitchingForm(chain_model, chain, linear_model, linear, _unavailable(linear_model, chain),
                         not any(kind in ("x", "e") and lag for rows in (linear.transition, linear.emission)
                                 for kind, lag in rows.terms))  # fmt: skip


def _is_discrete(model: Model, name: str) -> bool:
    return name in model.states and model.states[name].values is not None


def _obstacles(model: Model) -> list[Obstacle]:
    found = []
    for s in model.states.values():
        if s.values is not None and (s.values.lower is None or s.values.upper is None):
            found.append(Obstacle("E306", "engine 'kalman' needs regimes with finitely many values", s.span,
                                  f"{s.name} has no last value", f"give it a range: `state {s.name} in 0..100`",
                                  by=("particle",)))  # fmt: skip
    both: list[Equation | InitialEquation] = [*model.equations, *model.initials]
    for e in both:
        own = [t.name for t in e.targets]
        if not any(_is_discrete(model, n) for n in own):
            continue
        if not all(_is_discrete(model, n) for n in own):
            found.append(Obstacle("E306", "engine 'kalman' takes regimes and real states apart", e.span,
                                  f"gives {' and '.join(own)} together", by=("particle",)))  # fmt: skip
        for node in expr.walk(nodes_of(e)):
            if node.op == "ref" and (node.attrs[0] == "noise" or (
                    node.attrs[0] == "state" and not _is_discrete(model, node.attrs[1]))):  # fmt: skip
                found.append(Obstacle("E306", "engine 'kalman' needs regimes that do not read real states", node.span,
                                      f"{own[0]} depends on {node.attrs[1]}", by=("particle",)))  # fmt: skip
                break
    for v in model.noises.values():
        for node in expr.walk(list(v.law.args.values()) if v.law is not None else []):
            if node.op == "ref" and _is_discrete(model, node.attrs[1]):
                found.append(Obstacle("E306", "engine 'kalman' needs named noises of one law", node.span,
                                      f"{v.name} depends on {node.attrs[1]}",
                                      "write the factor where the noise is used: `scale[s[t]] * e[t]`"))  # fmt: skip
                break
    regimes = lambda e: any(s == "state" and _is_discrete(model, n) for s, n, _ in expr.references(nodes_of(e)))
    still = {t.name for i in model.initials if i.special == "stationary" for t in i.targets}
    for e in model.equations:
        name = e.targets[0].name
        if name in still and not _is_discrete(model, name) and regimes(e):
            found.append(Obstacle("E305", f"{name} has no stationary law given the regimes", e.span,
                                  "changes with the regime", "give it another initial law, such as Normal(0, 1)",
                                  by=("particle",)))  # fmt: skip
    return found


def _emissions_of_the_chain(model: Model) -> set[str]:
    """Observations that read no real state and no noise, and are not Gaussian."""
    found = set()
    for e in model.equations:
        if e.role != "emission" or e.law is None or e.law.name in ("Normal", "MvNormal"):
            continue
        reads = expr.references(nodes_of(e))
        if not any(s == "noise" or (s == "state" and not _is_discrete(model, n)) for s, n, _ in reads):
            found |= {t.name for t in e.targets}
    given = {t.name for e in model.equations if e.role == "emission" for t in e.targets
             if not all(q.name in found for q in e.targets)}  # fmt: skip
    return found - given


def _chain_model(model: Model, apart: set[str]) -> Model:
    states = {n: s for n, s in model.states.items() if s.values is not None}
    own = {*states, *apart}
    mine = lambda items: tuple(i for i in items if i.targets[0].name in own)
    return replace(
        model, states=states, observations={n: o for n, o in model.observations.items() if n in apart}, noises={},
        definitions={}, equations=mine(model.equations), initials=mine(model.initials), lifts=(), assertions=(),
    )  # fmt: skip


def _linear_model(model: Model, apart: set[str]) -> Model:
    regimes = {n for n, s in model.states.items() if s.values is not None}
    own = lambda items: [i for i in items if i.targets[0].name not in regimes | apart]
    moved: dict[int, Node] = {}

    def turned(node: Node) -> Node:
        def leaf(n: Node) -> Node | None:
            if n.op == "ref" and n.attrs[0] == "state" and n.attrs[1] in regimes:
                _, name, lag = n.attrs
                return expr.ref(REGIME, name, lag, n.shape, n.axes, kind=n.kind, domain=n.domain, span=n.span)
            return None

        if id(node) not in moved:
            moved[id(node)] = expr.transform(node, leaf)
        return moved[id(node)]

    def law(d: Dist | None) -> Dist | None:
        return None if d is None else replace(d, args={k: turned(v) for k, v in d.args.items()})

    def each(item: Any) -> Any:
        return replace(item, law=law(item.law), value=None if item.value is None else turned(item.value))

    definitions = {n: d if d.value is None else replace(d, value=turned(d.value)) for n, d in
                   model.definitions.items()}  # fmt: skip
    return replace(
        model, states={n: s for n, s in model.states.items() if n not in regimes},
        observations={n: o for n, o in model.observations.items() if n not in apart},
        equations=tuple(each(e) for e in own(model.equations)), initials=tuple(each(i) for i in own(model.initials)),
        definitions=definitions, lifts=(), assertions=(),
    )  # fmt: skip


def _regime_lags(items: Iterable[Equation | InitialEquation], name: str) -> list[int]:
    return [lag for i in items for s, n, lag in expr.references(nodes_of(i)) if s == REGIME and n == name
            and isinstance(lag, int)]  # fmt: skip


def _deepest(model: Model, name: str) -> int:
    lets = [d.value for d in model.definitions.values() if d.series and d.value is not None]
    own = [lag for s, n, lag in expr.references(lets) if s == REGIME and n == name and isinstance(lag, int)]
    return max([0, *own, *_regime_lags([*model.equations, *model.initials], name)])


def _has(chain: ChainForm, name: str, size: int, row: int) -> bool:
    own = slice(chain.first[name], chain.first[name] + size)
    return bool(chain.stationary[own].all()) or (row < len(chain.given) and bool(chain.given[row, own].all()))


def _sizes(chain: ChainForm) -> Mapping[str, int]:
    ends = [*chain.first.values(), chain.n]
    return {n: ends[i + 1] - ends[i] for i, n in enumerate(chain.first)}


def _without_regime(model: Model, chain: ChainForm) -> Obstacle | None:
    """E205: a real state whose equation reads a regime of a row before 0 that has no law."""
    for e in model.equations:
        if e.role != "transition":
            continue
        for name, size in _sizes(chain).items():
            for lag in _regime_lags([e], name):
                if lag > 1 and not all(_has(chain, name, size, k) for k in range(lag)):
                    return Obstacle("E205", "a lag has no initial value", e.span, f"needs {name} at t = {1 - lag}",
                                    f"add `init {name} ~ Stationary()`")  # fmt: skip
    return None


def _unavailable(model: Model, chain: ChainForm) -> np.ndarray:
    first, m = {}, 0
    for o in model.observations.values():
        first[o.name] = m
        m += o.size
    until = np.zeros(m, int)
    for e in model.equations:
        if e.role != "emission":
            continue
        places = [first[t.name] + i for t in e.targets for i in t.entries]
        for name, size in _sizes(chain).items():
            for lag in _regime_lags([e], name):
                if not all(_has(chain, name, size, k) for k in range(lag + 1)):
                    until[places] = np.maximum(until[places], lag)
    return np.arange(until.max(initial=0))[:, None] < until
