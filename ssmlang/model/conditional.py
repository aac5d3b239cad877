"""Which states of a model are linear and Gaussian given the others, so that only the others need be sampled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ssmlang.model import expr
from ssmlang.model.affine import Interpreter, NotAffine
from ssmlang.model.model import Equation, InitialEquation, Model, nodes_of
from ssmlang.model.obstacles import Obstacle

GAUSSIAN = ("Normal", "MvNormal")
Name = tuple[str, str]
"""(sort, name): "state" or "noise"."""


@dataclass(frozen=True)
class Parts:
    """Names of states: those with a Gaussian law given the path of the others, and the others.

    Augmented parameters are among the others. `noises`: named noises of the linear part.
    """

    linear: tuple[str, ...]
    sampled: tuple[str, ...]
    noises: tuple[str, ...]
    emissions: tuple[Equation, ...]
    """Emissions that the linear part enters, or that are Gaussian by themselves"""


def parts_of(model: Model) -> Parts | Obstacle:
    """The largest linear part that whole states make up; an obstacle where there is none, or nothing to sample."""
    linear = {s.name for s in model.states.values() if s.values is None}
    noises = {v.name for v in model.noises.values() if v.law is not None and v.law.name in GAUSSIAN}
    while True:
        out = set(_unfit(model, linear, noises))
        if not out:
            break
        linear -= {name for sort, name in out if sort == "state"}
        noises -= {name for sort, name in out if sort == "noise"}
    sampled = tuple(n for n in model.states if n not in linear)
    augmented = any(p.augment for p in model.parameters.values())
    if not linear:
        return Obstacle("E306", "engine 'kalman' needs states that are linear and Gaussian given the others", None,
                        "no state is linear given the others", by=("particle",))  # fmt: skip
    if not sampled and not augmented:
        return Obstacle("E306", "engine 'kalman' needs states that are not linear", None,
                        "every state is linear: nothing needs sampling", by=("kalman", "particle"))  # fmt: skip
    seen = tuple(e for e in model.equations if e.role == "emission" and _gaussian(e, linear, noises))
    return Parts(tuple(n for n in model.states if n in linear), sampled, tuple(n for n in model.noises if n in noises),
                 seen)  # fmt: skip


def _unfit(model: Model, linear: set[str], noises: set[str]) -> Iterator[Name]:
    """States and noises that cannot stay in the linear part as it is."""
    inside = lambda sort, name: (sort == "state" and name in linear) or (sort == "noise" and name in noises)
    both: list[Equation | InitialEquation] = [*model.equations, *model.initials]
    for e in both:
        own = {("state", t.name) for t in e.targets if t.name in model.states}
        read = {(s, n) for s, n, _ in expr.references(nodes_of(e)) if inside(s, n)}
        if isinstance(e, Equation) and e.role == "emission":
            if read:
                yield from sorted(_against(e, set(), linear, noises))[:1]
        elif e.law is None and e.value is None:
            if len({inside(*n) for n in own}) > 1:
                yield from own
        elif own and all(inside(*n) for n in own):
            yield from _against(e, own, linear, noises)
        else:
            yield from (n for n in own if inside(*n))
            yield from read
    starts = {t.name for i in model.initials if i.special == "stationary" for t in i.targets}
    if starts & linear and not starts <= linear:
        yield from (("state", n) for n in starts & linear)
    for v in model.noises.values():
        if v.law is not None:
            yield from ((s, n) for s, n, _ in expr.references(list(v.law.args.values())) if inside(s, n))


def _against(e: Equation | InitialEquation, own: set[Name], linear: set[str], noises: set[str]) -> set[Name]:
    """What would have to be sampled for an equation to be affine in the linear part and in Gaussian noises: rather
    what it reads than what it gives."""
    inside = lambda sort, name, lag=0: (sort == "state" and name in linear) or (sort == "noise" and name in noises)
    read = {(s, n) for s, n, _ in expr.references(nodes_of(e)) if inside(s, n)}
    if e.law is not None and e.law.name not in GAUSSIAN:
        return own or read
    if any(s == "noise" and n not in noises for s, n, _ in expr.references(nodes_of(e))):
        return own or read
    centre = e.value if e.law is None else e.law.args.get("loc")
    rest = [v for k, v in e.law.args.items() if k != "loc"] if e.law is not None else []
    bad = {(s, n) for s, n, _ in expr.references(rest) if inside(s, n)}
    form = Interpreter(inside)(centre) if centre is not None else None
    if isinstance(form, NotAffine):
        met = {(s, n) for s, n, _ in form.variables if inside(s, n)} or read
        bad |= {v for v in met - own if v[0] == "state"} or own or met
    return bad


def _gaussian(e: Equation, linear: set[str], noises: set[str]) -> bool:
    """Whether what an emission gives is Gaussian, with a mean that is affine in the linear part, given the rest."""
    reads = any(s == "noise" and n not in noises for s, n, _ in expr.references(nodes_of(e)))
    return not reads and (e.law is None or e.law.name in GAUSSIAN) and not _against(e, set(), linear, noises)
