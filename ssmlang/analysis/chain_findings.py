"""What is known of a Markov chain and of its parameters before any data.

Three rows of observations tell the chances and the laws of the labels, up to the order of these, where the matrix of
chances has full rank and the laws are linearly independent (Allman, Matias and Rhodes 2009, theorem 6; Gassiat, Cleynen
and Robin 2016, theorem 1); full rank is not needed where mixtures of the laws are identifiable, as those of normal laws
are (Teicher 1963). Parameters are then identified where chances and laws are one-to-one in them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations

import numpy as np

from ssmlang.analysis import identifiability_words as words
from ssmlang.analysis.chain import FINITE, INDEPENDENT, Chain, Tables
from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Finding, Witness
from ssmlang.analysis.identifiability_dual import Dual
from ssmlang.analysis.identifiability_invariants import Invariant, invariants
from ssmlang.analysis.identifiability_point import Coordinate, inside, moved, plausible
from ssmlang.analysis.identifiability_rank import float_rank, null_space
from ssmlang.analysis.identifiability_rings import P
from ssmlang.analysis.identifiability_study import Sample
from ssmlang.analysis.identifiability_witness import scaled
from ssmlang.analysis.residues import rank, reduced
from ssmlang.analysis.sides import in_conditions
from ssmlang.model.model import Model

MOST_SOLVED = 7
DRAWS = 5
TRIES = 4


def parameters(context: Context, chain: Chain) -> tuple[list[Finding], dict[Coordinate, Finding]]:
    """Findings of what is identified, and the verdict of each coordinate."""
    if not chain.coords:
        return [], {}
    samples = [_sample(chain, seed) for seed in (1, 2)]
    null = min(samples, key=lambda s: s.null.shape[1]).null
    found: list[Finding] = []
    verdicts: dict[Coordinate, Finding] = {}
    for group in groups_of(null):
        f = lost(context, chain.model, chain.coords, group, lambda k: _sample(chain, 70 + k))
        found.append(f)
        verdicts.update(dict.fromkeys((chain.coords[i] for i in group), f))
    rest = [k for k in chain.coords if k not in verdicts]
    if rest:
        who = words.listed(words.names(chain.model, rest))
        doubt = _doubt(context, chain)
        details = symmetries(chain)
        if doubt is None:
            told = "each" if len(rest) > 1 else "it"
            reason = f"{who}: three rows tell chances and laws of the labels, up to their order, and these tell {told}"
            f = Finding("parameters identified", "proved", reason, details=details)
        else:
            reason = f"{who}: one-to-one in the chances and the laws of the labels, but {doubt}"
            f = Finding("parameters identified", "unknown", reason, details=details)
        found.insert(0, f)
        verdicts.update(dict.fromkeys(rest, f))
    return found, verdicts


# ------------------------------------------------------------------------------------------------- what the laws say


def _sample(chain: Chain, seed: int) -> Sample:
    """A random point and the directions in which no table changes."""
    values, tables, _ = chain.exact(seed)
    count = len(chain.coords)
    rows = _slopes(tables, count)
    null = null_space(rows) if len(rows) else np.eye(count, dtype=np.int64)
    at = np.array([values[k.parameter].reshape(-1)[k.entry] for k in chain.coords], np.int64)
    return Sample(at, null)


def _slopes(tables: Tables, count: int) -> np.ndarray:
    """(numbers of the tables, coordinates)"""
    parts = [tables.step, *([tables.start] if tables.start is not None else []), *(a for s in tables.seen for a in s)]
    rows = [d.tangent.reshape(count, -1).T for d in parts if d.tangent is not None]
    return np.concatenate(rows) if rows else np.zeros((0, count), np.int64)


def groups_of(null: np.ndarray) -> list[list[int]]:
    """Coordinates that unseen directions move together."""
    groups: list[set[int]] = []
    for row in reduced(null.T)[0]:
        own = set(np.flatnonzero(row).tolist())
        touching = [g for g in groups if g & own]
        groups = [g for g in groups if not g & own] + [own.union(*touching)]
    return sorted(sorted(g) for g in groups)


def _settings(model: Model, coords: Sequence[Coordinate], kept: Sequence[Invariant]) -> Witness | None:
    """Two settings of coordinates of which the law tells no more than some products: these doubled and halved; where it
    tells nothing, two plausible settings."""
    for seed in range(1, TRIES + 1):
        first = plausible(model, seed)
        if kept:
            second = scaled(model, first, coords, kept)
        else:
            other = plausible(model, seed + TRIES)
            at = _at(other, coords)
            second = moved(model, first, coords, partial(np.add, at - _at(first, coords)))
        if second is not None and inside(model, second):
            chosen = lambda v: {k.name: round(float(v[k.parameter].reshape(-1)[k.entry]), 12) for k in coords}
            others = {n: v for n, v in first.items() if n not in {k.parameter for k in coords}}
            what = "the observations have the same law"
            return Witness(chosen(first), chosen(second), what, "parameters", words.setting(others, model))
    return None


def _at(values: Mapping[str, np.ndarray], coords: Sequence[Coordinate]) -> np.ndarray:
    return np.array([values[k.parameter].reshape(-1)[k.entry] for k in coords])


def lost(context: Context, model: Model, own: Sequence[Coordinate], group: Sequence[int],
         drawn: Callable[[int], Sample]) -> Finding:  # fmt: skip
    """The finding on coordinates of `own` that unseen directions move together; `drawn`: such directions, by seed."""
    compared = in_conditions(model)
    jumping = [own[i] for i in group if own[i].parameter in compared]
    if jumping:
        names, jumpy = (words.listed(words.names(model, k)) for k in ([own[i] for i in group], jumping))
        line = context.line_of(jumping[0].parameter)
        return Finding(f"identified: {names}", "unknown", words.JUMPS.format(jumpy), line)
    known: dict[int, Sample] = {}

    def sample(k: int) -> Sample:
        if k not in known:
            whole = drawn(k)
            others = [i for i in range(len(own)) if i not in set(group)]
            within = null_space(whole.null[others]) if others else np.eye(whole.null.shape[1], dtype=np.int64)
            kept = [np.mod(np.mod(whole.null[list(group)] * v % P, P).sum(axis=1), P) for v in within.T]
            known[k] = Sample(whole.values[list(group)], np.stack(kept, axis=1))
        return known[k]

    coords = [own[i] for i in group]
    dimension = sample(0).null.shape[1]
    kept = invariants(sample, len(coords), dimension) if len(coords) <= MOST_SOLVED else []
    complete = len(kept) == len(coords) - dimension
    who = words.names(model, coords)
    reason = words.reason(who, words.kept_text(kept, coords), complete).replace("only ", "at most ", 1)
    verb = "is not identified" if len(coords) == 1 else "cannot be told apart"
    return Finding(
        f"identified: {words.listed(who)}", "refuted", reason, context.line_of(coords[0].parameter), code="W620",
        witness=_settings(model, coords, kept) if complete else None,
        fix=words.fix(model, coords, kept, complete, dimension), headline=f"{words.listed(who)} {verb}",
        span_of=coords[0].parameter, label=f"together with {words.listed(who[1:])}" if len(who) > 1 else "",
    )  # fmt: skip


def _doubt(context: Context, chain: Chain) -> str | None:
    """Why the theorem does not speak of this chain; None where it does, for almost all parameters."""
    tables = chain.exact(1)[1]
    independent = [e for i, e in enumerate(chain.emissions) if _independent(chain, tables, i)]
    if not independent:
        return "the labels' laws are not known to be linearly independent"
    # Of families whose mixtures are identifiable one row tells the laws, and products of them the chances.
    mixtures = any(e.law is not None and e.law.name in INDEPENDENT for e in independent)
    if not mixtures and rank(tables.step.value) < chain.size:
        return "the matrix of chances has no full rank"
    count = len(chain.coords)
    exact = rank(_slopes(tables, count))
    draws = [chain.numeric(draw) for draw in context.draws(DRAWS)]
    slopes = [s for t in draws if np.isfinite(s := _slopes(t, count)).all()]
    if not any(float_rank(s, np.ones(count))[0] == exact for s in slopes):
        return "double precision does not see their rank"
    for numbers in draws:
        step = numbers.step.value
        start = np.full(chain.size, 1 / chain.size) if numbers.start is None else numbers.start.value
        reached = [start @ np.linalg.matrix_power(step, k) for k in range(chain.size + 1)]
        settled = np.linalg.matrix_power((np.eye(chain.size) + step) / 2, 4096)
        if not np.isfinite(step).all() or ((settled <= 0).any() if numbers.start is None
                                           else not any((r > 0).all() for r in reached)):  # fmt: skip
            return "some labels may never come"
    return None


def _independent(chain: Chain, tables: Tables, which: int) -> bool:
    """Whether the laws of one observation, a label each, are linearly independent."""
    law = chain.emissions[which].law
    assert law is not None
    arguments = tables.seen[which]
    if law.name in INDEPENDENT:
        return not any(all((a.value[i] == a.value[j]).all() for a in arguments)
                       for i, j in combinations(range(chain.size), 2))  # fmt: skip
    if law.name not in FINITE or ("logits" in law.args and law.name == "Bernoulli"):
        return False
    chances = arguments[0].value.reshape(chain.size, -1)
    if law.name == "Bernoulli":
        if chances.shape[1] != 1:
            return False
        chances = np.concatenate([chances, np.mod(1 - chances, P)], axis=1)
    return rank(chances) == chain.size


# ------------------------------------------------------------------------------------------------- exchanged labels


def symmetries(chain: Chain) -> tuple[str, ...]:
    """Labels that can be exchanged, with the parameters' entries that belong to them, without any law changing."""
    axis = chain.state.values.axis if chain.state.values is not None else None
    if axis is None:
        return ()
    values, tables, field = chain.exact(3)
    found = []
    for i, j in combinations(range(chain.size), 2):
        order = np.arange(chain.size)
        order[[i, j]] = j, i
        moved = {n: _reordered(chain, n, v, axis, order) for n, v in values.items()}
        if all((moved[n] == v).all() for n, v in values.items()):
            continue
        other = chain.at(moved, field)
        if _exchanged(tables, other, order):
            found.append(f"{chain.labels[i]} and {chain.labels[j]}")
    if not found:
        return ()
    who = [n for n in chain.read if axis in chain.model.parameters[n].axes]
    lead = f"up to the labels {words.listed(found, 'or')}, exchanged in {words.listed(who)}"
    uneven = [n for n in who if _uneven(chain, n, axis)]
    if uneven:
        return (f"{lead}: the priors of {words.listed(uneven)} alone prefer one order",)
    return (f"{lead}: expect as many modes, or give the labels an order by the priors",)


def _reordered(chain: Chain, name: str, value: np.ndarray, axis: object, order: np.ndarray) -> np.ndarray:
    for d, own in enumerate(chain.model.parameters[name].axes):
        if own == axis:
            value = np.take(value, order, axis=d)
    return value


def _exchanged(tables: Tables, other: Tables, order: np.ndarray) -> bool:
    """Whether tables at moved parameters are those of exchanged labels."""
    same = lambda a, b: a.value.shape == b.value.shape and bool((a.value == b.value).all())
    if not same(Dual(tables.step.value[np.ix_(order, order)]), other.step):
        return False
    if tables.start is not None and other.start is not None and not same(Dual(tables.start.value[order]), other.start):
        return False
    return all(same(Dual(a.value[order]), b) for one, two in zip(tables.seen, other.seen) for a, b in zip(one, two))


def _uneven(chain: Chain, name: str, axis: object) -> bool:
    """Whether the prior is another for other labels."""
    prior = chain.model.parameters[name].prior
    if prior is None:
        return False
    return any(n.value is not None and n.size > 1 and len(np.unique(n.value)) > 1 for n in prior.args.values())
