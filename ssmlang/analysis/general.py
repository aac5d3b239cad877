"""What engines for nonlinear programs need of a model and do not find in it. No JAX here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from ssmlang.engines.requirements import Requirements
from ssmlang.language.source import Span
from ssmlang.model import expr
from ssmlang.model.conditional import parts_of
from ssmlang.model.dependence import Dependence, reads_of_entries
from ssmlang.model.differentials import stepped
from ssmlang.model.distributions import DISTRIBUTIONS
from ssmlang.model.linear_steps import is_linear
from ssmlang.model.model import Dist, Equation, Model, nodes_of
from ssmlang.model.obstacles import Obstacle
from ssmlang.model.shared_noises import Shared, shared_noises
from ssmlang.model.solved_noises import chances, read_in_own_row
from ssmlang.model.stationary_chain import unstarted
from ssmlang.model.told_noises import scaled_by_states, told_noises

WITHOUT_MOMENTS = ("Cauchy", "HalfCauchy")
EXACT = ("Normal", "MvNormal", "LogNormal")
"""Laws that are maps of standard normal numbers."""
HEAVY = ("StudentT", "Laplace", "Cauchy")
STRAIGHT = ("Laplace", "Uniform")
LINEARISING = ("ekf", "iekf", "ukf", "cubature", "gauss_hermite", "ipls", "dual_ekf")
"""Engines that learn from the mean of an observation alone."""


def lacking(model: Model, requires: Requirements, able: Iterable[str] = ()) -> list[Obstacle]:
    """What stands between a model and an engine of nonlinear programs; `able`: engines that take it."""
    by = tuple(able)
    flat = requires.diffuse and _straight(model)
    found: list[Obstacle] = [*_unfinished(model), *_unending(model), *_without_a_start(model, flat, by)]
    bar = lambda needs, span, label, help="": found.append(
        Obstacle("E306", f"engine 'kalman' {needs}", span, label, help, by=by)
    )
    if requires.continuous:
        for s in model.states.values():
            if s.values is not None:
                bar("needs states that are real numbers", s.span, f"{s.name} is discrete")
    elif not requires.part_linear:
        for i in unstarted(model):
            name = i.targets[0].name
            bar("draws first values", i.span, f"the stationary law of {name} is not that of constant chances",
                f"give it a law: `init {name} ~ Categorical(...)`")  # fmt: skip
    if requires.normal_noise:
        for law in _moving_laws(model):
            if law.name not in EXACT:
                bar("moves states by functions of normal numbers", law.span, f"a draw of {law.name} is taken as none",
                    "Normal, MvNormal and LogNormal are")  # fmt: skip
        for p in model.parameters.values():
            if p.augment:
                what = ("weighs paths of the states by the laws that they are drawn from" if requires.random else
                        "draws parameters and states together by their own laws")  # fmt: skip
                why = (f"as a state {p.name} starts from a Gaussian law with the mean and the variance of its prior on "
                       "the unconstrained scale, not from the prior itself")  # fmt: skip
                found.append(Obstacle("E306", f"engine 'kalman' {what}", p.span, f"{p.name} is augmented",
                                      f"leave out `augment`: a fit learns {p.name} with the other parameters", why, by))
    if requires.moments:
        for law in _laws(model):
            if law.name in WITHOUT_MOMENTS:
                bar("works with means and variances", law.span, f"{law.name} has none")
    size = sum(v.size for v in model.states.values()) + sum(p.size for p in model.parameters.values() if p.augment)
    if requires.unmoved:
        for c in chances(model):
            bar("needs states that chance does not move", c.span, c.label)
    if requires.few and size > requires.few:
        bar(f"needs few entries of the states for its grid of points: {requires.few} at most, not {size}", None, "")
    if requires.augmented and not any(p.augment for p in model.parameters.values()):
        why = "none is augmented: write `augment param ...`, or compile(..., augment={...})"
        found.append(Obstacle("E306", "engine 'kalman' needs an augmented parameter", None, "", "", why, by))
    if requires.part_linear and not found:
        parts = parts_of(model)
        if isinstance(parts, Obstacle):
            found.append(parts)
    if requires.curved:
        for law in kinked(model):
            if requires.random and law.name == "Laplace":  # its corner is rounded off for the Gaussian law alone
                continue
            bar("needs observations whose log-density bends with the state", law.span,
                f"that of {law.name} is flat or straight on either side",
                "a StudentT has tails too")  # fmt: skip
    if requires.emission_density:
        told, shared = (told_noises(model), shared_noises(model)) if not requires.part_linear else ((), None)
        for e in model.equations:
            if e.role == "emission" and _exact(e, model, told, shared):
                bar("needs observations that have a density given the state", e.span, *_without_density(e))
    return found


def _without_density(e: Equation) -> tuple[str, str]:
    """What an observation lacks, and what to write."""
    noises = list(dict.fromkeys(name for sort, name, _ in expr.references(nodes_of(e)) if sort == "noise"))
    if not noises:
        return "is exact given the state", "give the observation a noise of its own"
    name = e.targets[0].name
    return (f"has no law of its own: {name} is computed from the noise {noises[0]}",
            f"write it as a law, `{name}[t] ~ Normal(location, scale)`, given the noise that a state shares with it")


def _unfinished(model: Model) -> Iterator[Obstacle]:
    for name in model.missing_constants:
        hint = f"give it: compile(..., constants={{{name!r}: ...}}), or --const {name}=..."
        yield Obstacle("E307", f"constant `{name}` has no value", None, "", hint)


def _unending(model: Model) -> Iterator[Obstacle]:
    for node in expr.walk([n for e in model.equations for n in nodes_of(e)]):
        if node.op == "past_sum":
            yield Obstacle("E306", "engine 'kalman' does not sum over the whole past", node.span,
                           "reaches back to row 0", "bound the sum: `for k in 1..min(20, t)`")  # fmt: skip


def _straight(model: Model) -> bool:
    """Whether the states move linearly: then data say of a flat start what they say of any."""
    moving = lambda sort, name, lag: sort in ("state", "noise", "augment")
    return all(is_linear(e, moving) for e in model.equations if e.role == "transition")


def _without_a_start(model: Model, flat: bool, by: tuple[str, ...]) -> Iterator[Obstacle]:
    """E306 for a start that has no law, but where the engine takes a `flat` one; E205 for a state that is read before
    it has a value."""
    given: dict[tuple[str, int], set[int]] = {}
    for i in model.initials:
        if i.special == "diffuse" and not flat:
            names = ", ".join(dict.fromkeys(t.name for t in i.targets))
            yield Obstacle("E306", "engine 'kalman' needs a proper initial law", i.span,
                           "a diffuse start has infinite variance",
                           f"give a law, wide as you like: `init {names} ~ Normal(0, 100)`", by=by)  # fmt: skip
        for target in i.targets:
            if target.name in model.observations:
                yield Obstacle("E306", "engine 'kalman' takes no initial law of an observation", i.span,
                               f"is the law of {target.name}", "start the data a row later")  # fmt: skip
            if i.special == "stationary":
                for row in range(64):
                    given.setdefault((target.name, row), set()).update(target.entries)
            given.setdefault((target.name, -target.row), set()).update(target.entries)
    whole = {s.name: set(range(s.size)) for s in model.states.values()}
    exists = lambda name, row: row >= 0 or given.get((name, -row), set()) >= whole[name]
    for e in model.equations:
        if e.role != "transition":
            continue
        for sort, name, lag in sorted(expr.references(nodes_of(e)), key=str):
            if sort != "state" or not isinstance(lag, int) or (name, lag) in e.guarded:
                continue
            early = [r for r in range(lag) if not exists(name, r - lag)]
            targets = {t.name: set(t.entries) for t in e.targets}
            started = all(given.get((n, 0), set()) >= own for n, own in targets.items())
            early = [r for r in early if r > 0 or not started]
            if early:
                needs = " and ".join(f"t = {r - lag}" for r in early)
                yield Obstacle("E205", "a lag has no initial value", _span_of(e, sort, name, lag),
                               f"needs {name} at {needs}", f"add `init {name} ~ ...`")  # fmt: skip
                break


def _span_of(e: Equation, sort: str, name: str, lag: int) -> Span | None:
    found = (n.span for n in expr.walk(nodes_of(e)) if n.op == "ref" and n.attrs == (sort, name, lag))
    return next((s for s in found if s is not None), e.span)


def _exact(e: Equation, model: Model, told: Iterable[str], shared: Shared | None) -> bool:
    """Whether an emission has no law and no noise that observations alone read, nor one that they tell of."""
    if e.law is not None:
        return False
    moved = {n for q in model.equations if q.role == "transition" for s, n, _ in expr.references(nodes_of(q))
             if s == "noise"}  # fmt: skip
    if shared is not None and any(e is d for d in shared.dense):
        return False
    own = {n for s, n, lag in expr.references(nodes_of(e)) if s == "noise" and lag == 0}
    return not own - (moved - set(told))


def _moving_laws(model: Model) -> Iterator[Dist]:
    """The laws that states are made by."""
    laws = [e.law for e in model.equations if e.role == "transition"] + [i.law for i in model.initials]
    read = {n for e in model.equations if e.role == "transition" for s, n, _ in expr.references(nodes_of(e))
            if s == "noise"}  # fmt: skip
    yield from (law for law in [*laws, *(model.noises[n].law for n in sorted(read))] if law is not None)


def _laws(model: Model) -> Iterator[Dist]:
    laws = [e.law for e in model.equations] + [i.law for i in model.initials] + [v.law for v in model.noises.values()]
    yield from (law for law in laws if law is not None)


def read_back(model: Model) -> dict[str, int]:
    """Observations that an equation of a later row, a state of their own row or a definition reads: the longest lag."""
    found: dict[str, int] = {}
    for d in model.definitions.values():
        for sort, name, lag in expr.references([d.value] if d.series and d.value is not None else []):
            if sort == "obs" and isinstance(lag, int):
                found[name] = max(found.get(name, 0), lag)
    for e in model.equations:
        for sort, name, lag in expr.references(nodes_of(e)):
            if sort == "obs" and isinstance(lag, int) and (lag or e.role == "transition"):
                found[name] = max(found.get(name, 0), lag)
    return found


def read_at_once(model: Model) -> tuple[str, ...]:
    """Observations that a state or a definition of their own row reads."""
    lets = [d.value for d in model.definitions.values() if d.series and d.value is not None]
    return (*read_in_own_row(model), *sorted(n for s, n, lag in expr.references(lets) if s == "obs" and lag == 0))


def entries_read_back(model: Model, name: str) -> np.ndarray:
    """Which entries (C-order positions) of one of `read_back` are read so; others may be missing as they like."""
    size, dependence, found = model.observations[name].size, Dependence("obs", [name]), set()
    lets = [(d.value, True) for d in model.definitions.values() if d.series and d.value is not None]
    for node, at_once in (*lets, *((n, e.role == "transition") for e in model.equations for n in nodes_of(e))):
        lags = {lag for s, n, lag in expr.references([node]) if (s, n) == ("obs", name)}
        if any(not isinstance(lag, int) for lag in lags):
            return np.arange(size)
        reads = frozenset().union(*dependence(node).reshape(-1)) if lags else frozenset()
        found |= {i for _, i, lag in reads if lag or at_once}
    return np.array(sorted(found), int)


def lost(model: Model, name: str, values: np.ndarray) -> bool:
    """Whether something of an observation, (T, ...) with NaN where missing, is missing where it is read back."""
    own = values.reshape(len(values), -1)[:, entries_read_back(model, name)]
    return bool(np.isnan(own if name in read_at_once(model) else own[:-1]).any())


def row_reads(model: Model) -> list[tuple[Equation, str, int, str, int]]:
    """Of each observed entry that reads others of its own row: its equation, name and position, and the name and
    position of each that it reads. Entries that are drawn jointly read the same."""
    found = []
    dependence = Dependence("obs", list(model.observations))
    for e in model.equations:
        if e.role != "emission" or not any(s == "obs" and lag == 0 for s, _, lag in expr.references(nodes_of(e))):
            continue
        own = [(t.name, i) for t in e.targets for i in t.entries]
        if e.law is not None:
            ndim = DISTRIBUTIONS[e.law.name].argument_ndim
            each = reads_of_entries(dependence, e.law.args, ndim, e.law.shape, e.law.event_ndim)
        else:
            assert e.value is not None
            each = list(np.broadcast_to(dependence(e.value).reshape(-1), (len(own),)))
        found += [(e, name, i, n, j) for (name, i), reads in zip(own, each) for n, j, lag in sorted(reads) if lag == 0]
    return found


def holds(model: Model, requires: Requirements, name: str) -> bool:
    """Whether an engine takes an observation that later rows read where it is missing, or still to come: as a part of
    the state that is seen exactly, or, where it asks for densities, that its law draws."""
    if not requires.emission_density:
        return True
    if requires.unmoved:
        return requires.random
    draws = requires.random and not requires.normal_noise and not requires.part_linear
    laws = [e.law for e in model.equations if any(t.name == name for t in e.targets) and e.role == "emission"]
    normal = all(law is not None and law.name in ("Normal", "MvNormal") for law in laws)
    return not requires.part_linear and all(law is not None for law in laws) and (draws or normal)


def blind(model: Model) -> bool:
    """Whether a scale or shape of an observation moves with the state, which a linearisation of its mean misses."""
    states = {("state", n) for n in model.states}
    states |= {("augment", p.name) for p in model.parameters.values() if p.augment}
    for e in model.equations:
        if e.role == "emission" and e.law is not None and e.law.name in ("Normal", "MvNormal", "StudentT", "Laplace"):
            rest = [v for k, v in e.law.args.items() if k != "loc"]
            if any((s, n) in states for s, n, _ in expr.references(rest)):
                return True
    return any(e.role == "emission" and scaled_by_states(e, model) for e in model.equations)


def gaussian_emission(model: Model) -> bool:
    """Whether every observation is Gaussian given the state, with a scale that does not move with it."""
    laws = [e.law for e in model.equations if e.role == "emission" and e.law is not None]
    return all(law.name in ("Normal", "MvNormal") for law in laws) and not blind(model)


def moves_linearly(model: Model) -> bool:
    """Whether states are affine in those of the rows before and in noises whose scales do not move with them."""
    moving = lambda sort, name, lag: sort in ("state", "noise", "augment")
    moved = [e for e in model.equations if e.role == "transition"]
    normal = all(e.law is None or e.law.name in ("Normal", "MvNormal") for e in moved)
    return normal and all(is_linear(e, moving) for e in moved) and not stepped(model)[0].differentials


def heavy_tailed(model: Model) -> tuple[Dist, ...]:
    """Laws of observations about a state with tails that the curvature at their middle does not tell of."""
    return tuple(law for law in _about_states(model) if law.name in HEAVY)


def kinked(model: Model) -> tuple[Dist, ...]:
    """Laws of observations whose log-density does not bend with the state that they lie about."""
    return tuple(law for law in _about_states(model) if law.name in STRAIGHT)


def _about_states(model: Model) -> Iterator[Dist]:
    moving = {("state", n) for n in model.states}
    moving |= {("augment", p.name) for p in model.parameters.values() if p.augment}
    for e in model.equations:
        if e.role == "emission" and e.law is not None:
            centre = [v for k, v in e.law.args.items() if k in ("loc", "low", "high")]
            if any((s, n) in moving for s, n, _ in expr.references(centre)):
                yield e.law


def said(name: str, model: Model, purpose: str) -> str:
    """What an engine is to a model that it can run."""
    if name in LINEARISING and blind(model):
        return f"{purpose}; does not see what moves the scale of an observation alone"
    heavy = ", ".join(dict.fromkeys(law.name for law in heavy_tailed(model)))
    if heavy and name == "laplace":
        return f"{purpose}; too sure of the states and low in its likelihood under the tails of {heavy}"
    if heavy and name in LINEARISING:
        return f"{purpose}; takes {heavy} by its variance, and rates narrow ones too high"
    return purpose
