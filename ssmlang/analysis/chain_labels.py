"""Whether the labels of a chain can be known from what is observed in their row and in later ones.

The chance of later outcomes, as a function of the label now, is D_0 P D_1 P ... D_T 1 (P the chances, D_t the diagonal
matrix of what each label says of outcome t). Labels on which all such functions agree have one law of the future; the
functions are spanned by 1 and closed under v -> D P v, and are found exactly at a random point.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, product

import numpy as np

from ssmlang.analysis import identifiability_words as words
from ssmlang.analysis.chain import FINITE, INDEPENDENT, Chain, Tables
from ssmlang.analysis.chain_array import Chains
from ssmlang.analysis.findings import Outcome
from ssmlang.analysis.identifiability_rings import P
from ssmlang.analysis.residues import reduced
from ssmlang.analysis.scalars import Unsupported
from ssmlang.analysis.sides import in_conditions
from ssmlang.model import expr
from ssmlang.model.model import Model, nodes_of

MOST_OUTCOMES = 256
ROWS = 4
"""Rows of chains whose chances change with the row that are looked at"""
Pairs = list[tuple[int, int]]


def labels_of(model: Model) -> tuple[str, tuple[Outcome, str, str | None]]:
    """The discrete state of a model of chains, and whether its labels can be known: verdict, reason, fix.

    Raises Unsupported of another model.
    """
    chain = chain_of(model)
    compared = sorted(in_conditions(model))
    if compared:
        reason = f"a condition reads {words.listed(compared)}: what holds on one side of it need not on the other"
        return chain.state.name, ("unknown", reason, None)
    return chain.state.name, told_apart(chain) if isinstance(chain, Chain) else told_apart_each(chain)


def chain_of(model: Model) -> Chain | Chains:
    """The chain of a model, or its chains that never meet. Raises Unsupported."""
    try:
        return Chain(model)
    except Unsupported as one:
        try:
            return Chains(model)
        except Unsupported:
            if any(s.values is not None and s.size > 1 for s in model.states.values()):
                raise
            raise one from None


def told_apart(chain: Chain) -> tuple[Outcome, str, str | None]:
    """Whether the labels can be known from what is observed: verdict, reason, fix."""
    name = chain.state.name
    observed = words.listed([t.name for e in chain.emissions for t in e.targets])
    tables = chain.exact(1)[1]
    alike = [(i, j) for i, j in combinations(range(chain.size), 2) if _same_laws(tables, i, j)]
    if not alike:
        return "proved", f"the law of {observed} differs between {_all(chain)}, for almost all parameters", None
    outcomes = _outcomes(chain, tables)
    if outcomes is None:
        merged = [(c[0], k) for c in _lumped(tables) for k in c[1:]]
    else:
        merged = _one_future(tables.step.value, outcomes)
    if merged:
        return "refuted", *_merged(chain, merged, observed)
    apart = words.listed(list(dict.fromkeys(chain.labels[i] for pair in alike for i in pair)))
    if outcomes is not None:
        reason = f"{apart} have one law of {observed}, but lead to others with other chances"
        return "proved", f"{reason}: later rows tell them apart, for almost all parameters", None
    return "unknown", f"{apart} of {name} have one law of {observed}: only later rows could tell them apart", None


def told_apart_each(chains: Chains) -> tuple[Outcome, str, str | None]:
    """The same of chains that never meet."""
    name = chains.state.name
    observed = words.listed([t.name for e in chains.emissions for t in e.targets])
    _, tables = chains.exact(1, ROWS if chains.varying else 1)
    moving = any(n.op == "time" for n in expr.walk(n for e in chains.emissions for n in nodes_of(e)))
    alike = False
    for i, entry in enumerate(chains.state.entry_names()):
        for row in tables.rows:
            laws = [d.value for d in row.seen[i]]
            same = [p for p in combinations(range(chains.size), 2) if all((d[p[0]] == d[p[1]]).all() for d in laws)]
            alike = alike or bool(same)
            if same and not chains.varying:
                own = [v[:, k] for v in (_joint(laws, chains.size),) for k in range(v.shape[1])]
                merged = _one_future(row.step.value[i], own)
                if merged:
                    return "refuted", *_merged(chains, merged, observed, entry)
            elif same:
                one, other = (chains.labels[k] for k in same[0])
                return "unknown", f"{one} and {other} of {entry} have one law of {observed} in some row", None
    if moving:
        return "unknown", f"the law of {observed} changes with the row: it differs in the first {ROWS} rows", None
    how = "later rows tell apart" if alike else f"the law of {observed} differs between"
    each = "" if chains.state.size == 1 else f" of each {name}"
    return "proved", f"{how} {_all(chains)}{each}, for almost all parameters", None


def _all(chain: Chain | Chains) -> str:
    return "its two labels" if chain.size == 2 else f"any two of its {chain.size} labels"


def _merged(chain: Chain | Chains, pairs: Pairs, observed: str, entry: str = "") -> tuple[str, str]:
    """Reason and fix."""
    first = min(i for i, _ in pairs)
    own = words.listed([chain.labels[i] for i in sorted({k for p in pairs if first in p for k in p})])
    whose = entry or chain.state.name
    reason = f"{own} of {whose} have one law of {observed} and lead to the others with the same chances"
    return reason, f"give one of {own} a law of its own, or write one label for them"


def _outcomes(chain: Chain, tables: Tables) -> list[np.ndarray] | None:
    """What each label says of each outcome of a row, residues (K,) each; of laws that are linearly independent, whether
    it has that law. None where the laws are not known to be, or where there are too many outcomes."""
    parts = []
    for e, seen in zip(chain.emissions, tables.seen):
        assert e.law is not None
        if e.law.name in FINITE and not (e.law.name == "Bernoulli" and "logits" in e.law.args):
            parts += list(_chances(seen[0].value, e.law.name))
        elif e.law.name in INDEPENDENT:
            kind = [min(j for j in range(chain.size) if all((a.value[i] == a.value[j]).all() for a in seen))
                    for i in range(chain.size)]  # fmt: skip
            parts.append(np.array([[int(k == c) for c in sorted(set(kind))] for k in kind], np.int64))
        else:
            return None
    if np.prod([p.shape[1] for p in parts]) > MOST_OUTCOMES:
        return None
    joint = _joint(parts, chain.size)
    return [joint[:, k] for k in range(joint.shape[1])]


def _chances(value: np.ndarray, family: str) -> Iterator[np.ndarray]:
    """(K, outcomes) of each entry."""
    if family == "Bernoulli":
        for one in value.reshape(len(value), -1).T:
            yield np.stack([np.mod(1 - one, P), one], axis=1)
    else:
        flat = value.reshape(len(value), -1, value.shape[-1])
        yield from (flat[:, j] for j in range(flat.shape[1]))


def _joint(parts: Sequence[np.ndarray], size: int) -> np.ndarray:
    """(K, joint outcomes)"""
    columns = []
    for own in product(*(p.T for p in parts)):
        column = np.ones(size, np.int64)
        for one in own:
            column = np.mod(column * one, P)
        columns.append(column)
    return np.stack(columns, axis=1)


def _one_future(step: np.ndarray, outcomes: Sequence[np.ndarray]) -> Pairs:
    """Pairs of labels with one law of all that is observed from now on; step (K, K) and outcomes are residues."""
    size = len(step)
    basis = np.ones((1, size), np.int64)
    while True:
        ahead = np.mod(np.mod(basis[:, None] * step[None], P).sum(axis=2), P)
        wider, _ = reduced(np.concatenate([basis, *(np.mod(ahead * o, P) for o in outcomes)]), P)
        if len(wider) == len(basis):
            return [(i, j) for i, j in combinations(range(size), 2) if (basis[:, i] == basis[:, j]).all()]
        basis = wider


def _same_laws(tables: Tables, i: int, j: int) -> bool:
    return all((a.value[i] == a.value[j]).all() for one in tables.seen for a in one)


def _lumped(tables: Tables) -> list[list[int]]:
    """The coarsest classes of labels that have one law each and lead to every class with one chance."""
    size = len(tables.step.value)
    label = [min(j for j in range(size) if _same_laws(tables, i, j)) for i in range(size)]
    while True:
        classes = [[i for i in range(size) if label[i] == c] for c in sorted(set(label))]
        chances = [tuple(int(row[c].sum() % P) for c in classes) for row in tables.step.value]
        seen: dict[tuple[int, tuple[int, ...]], int] = {}
        finer = [seen.setdefault((label[i], chances[i]), i) for i in range(size)]
        if len(set(finer)) == len(classes):
            return classes
        label = finer
