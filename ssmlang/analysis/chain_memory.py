"""Whether a discrete state forgets its first label, and whether a filter of it does.

From the zeros of its chances, found exactly at random points: one class of labels that is never left, and no period,
make the chances of the labels settle whatever the first one was (Seneta, Non-negative Matrices and Markov Chains, 1981,
chapter 4). A filter forgets its start where, besides, every label gives every outcome a chance (van Handel 2009, Annals
of Probability 37); where no chance is zero, its error shrinks in every row by Birkhoff's coefficient of the
chances at least (Atar and Zeitouni 1997, Annales de l'IHP 33, theorem 1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import gcd

import numpy as np

from ssmlang.analysis import identifiability_words as words
from ssmlang.analysis.chain import FINITE, TRIES, Chain, arguments_of, labels_within
from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Finding, Outcome
from ssmlang.analysis.identifiability_dual import Calculus, Expressions
from ssmlang.analysis.identifiability_point import coordinates, duals, plausible, residues
from ssmlang.analysis.identifiability_rank import random_field
from ssmlang.analysis.identifiability_rings import NoRoot, Reals, Ring
from ssmlang.analysis.identifiability_rings import Unsupported as NotFollowed
from ssmlang.analysis.scalars import Unsupported
from ssmlang.analysis.stability_modes import figure
from ssmlang.analysis.stability_points import prior_median
from ssmlang.analysis.values import Unreadable
from ssmlang.model import expr
from ssmlang.model.dependence import Dependence, reads_of_entries
from ssmlang.model.distributions import DISTRIBUTIONS
from ssmlang.model.model import Equation, Model, State, nodes_of

Array = np.ndarray
DRAWS = 5
MOST_ENTRIES = 400
POSITIVE = frozenset(["Normal", "LogNormal", "StudentT", "Laplace", "Cauchy", "Poisson", "NegativeBinomial",
                      "Exponential", "Gamma", "InverseGamma"])  # fmt: skip
"""Families that give every outcome a chance, whatever their arguments."""


@dataclass(frozen=True)
class Memory:
    """What becomes of a chain: `closed` classes of labels that are never left, each with its period, and the other
    labels (`passing`), which are left for ever."""

    closed: tuple[tuple[tuple[int, ...], int], ...]
    passing: tuple[int, ...]

    @property
    def forgets(self) -> bool:
        return len(self.closed) == 1 and self.closed[0][1] == 1


def memory_of(possible: Array) -> Memory:
    """From which label leads to which in one row, (K, K)."""
    size = len(possible)
    reach = np.eye(size, dtype=bool) | possible
    for _ in range(size):
        reach = reach | (reach.astype(int) @ reach.astype(int) > 0)
    closed, passing = [], []
    for i in range(size):
        own = tuple(np.flatnonzero(reach[i] & reach[:, i]).tolist())
        if (reach[i] & ~reach[:, i]).any():
            passing.append(i)
        elif own[0] == i:
            closed.append((own, _period(possible, own)))
    return Memory(tuple(closed), tuple(passing))


def _period(possible: Array, own: Sequence[int]) -> int:
    """The greatest common divisor of the lengths of ways back."""
    row = {own[0]: 0}
    waiting, found = [own[0]], 0
    while waiting:
        i = waiting.pop(0)
        for j in np.flatnonzero(possible[i]).tolist():
            if j in row:
                found = gcd(found, row[i] + 1 - row[j])
            else:
                row[j] = row[i] + 1
                waiting.append(j)
    return max(found, 1)


class Steps:
    """The chances of one discrete state, each entry a chain of its own. Raises Unsupported of what is none."""

    def __init__(self, model: Model, state: State) -> None:
        self.model, self.state = model, state
        values = state.values
        assert values is not None
        if values.axis is None and (values.lower != 0 or values.upper is None):
            raise Unsupported(f"{state.name} is a count, and chains of labels are followed", state.span)
        self.labels = labels_within(state)
        if state.size > MOST_ENTRIES:
            raise Unsupported(f"{state.name} stands for {state.size:,} chains, more than this check takes", state.span)
        self.equations = [e for e in model.equations if any(t.name == state.name for t in e.targets)]
        for e in self.equations:
            self._alone(e)

    def _alone(self, e: Equation) -> None:
        name = self.state.name
        if e.law is None or e.law.name != "Categorical" or any(t.name != name for t in e.targets):
            raise Unsupported(f"{name} has no Categorical law of its own", e.span)
        nodes = nodes_of(e)
        if any(n.op == "time" for n in expr.walk(nodes)):
            raise Unsupported(f"the chances of {name} change with the row number", e.span)
        for sort, other, lag in expr.references(nodes):
            if (sort, other, lag) != ("state", name, 1):
                what = f"{other} of {lag} rows before" if other == name else other
                raise Unsupported(f"the chances of {name} read {what}", e.span)
        law = e.law
        reads = reads_of_entries(Dependence("state", list(self.model.states)), law.args,
                                 DISTRIBUTIONS[law.name].argument_ndim, law.shape, law.event_ndim)  # fmt: skip
        entries = [i for t in e.targets for i in t.entries]
        if any(other != i for i, own in zip(entries, reads) for _, other, _ in own):
            raise Unsupported(f"entries of {name} read each other", e.span)

    def exact(self, seed: int) -> Array:
        """Residues (n, K, K) at a random point."""
        names = sorted(expr.parameters(n for e in self.equations for n in nodes_of(e)))
        for attempt in range(TRIES):
            ring, random = random_field(seed + 1000 * attempt)
            try:
                return self._at(residues(self.model, ring, random, names), ring, names)
            except NoRoot:
                continue
        raise Unsupported("no random point has the square roots that the model takes")

    def numeric(self, values: Mapping[str, Array]) -> Array:
        """(n, K, K) in double precision."""
        names = sorted(expr.parameters(n for e in self.equations for n in nodes_of(e)))
        return self._at({n: np.asarray(values[n], float) for n in names}, Reals(), names)

    def _at(self, values: Mapping[str, Array], ring: Ring, names: Sequence[str]) -> Array:
        calculus, size = Calculus(ring, 1), len(self.labels)
        floats = plausible(self.model, 5) if ring.exact else {**plausible(self.model, 5), **values}
        own = duals(self.model, calculus, values, coordinates(self.model, names)[:1])
        expressions = Expressions(calculus, own, floats)
        step: Array = np.zeros((self.state.size, size, size), np.int64 if ring.exact else float)
        for e in self.equations:
            assert e.law is not None
            entries = [i for t in e.targets for i in t.entries]
            for k in range(size):
                label = np.full(self.state.shape, k)
                number = calculus.constant(label)
                try:
                    [chances] = expressions(arguments_of(e.law), 1, lambda *_, r=(number, label): r)
                except NotFollowed as trouble:
                    raise Unsupported(str(trouble)) from trouble
                step[entries, k] = chances.value.reshape(-1, size)
        return step


def stable(context: Context, state: State) -> Finding:
    """Whether the chances of a state's labels settle whatever the first one was."""
    name = f"stable({state.name})"
    line = context.line_of(state.name)
    try:
        steps = Steps(context.model, state)
        possible = (steps.exact(1) != 0) | (steps.exact(2) != 0)
        drawn = [steps.numeric(d) for d in context.draws(DRAWS)]
        middle = steps.numeric(prior_median(context))
    except (Unsupported, Unreadable) as trouble:
        return Finding(name, "unknown", str(trouble), line)
    if not all(((d > 0) == possible).all() and np.allclose(d.sum(axis=2), 1) for d in drawn):
        return Finding(name, "unknown", "chances are zero in exact arithmetic and not at draws from the prior", line)
    kinds = {memory_of(p): i for i, p in reversed(list(enumerate(possible)))}
    worst = next((m for m in kinds if not m.forgets), next(iter(kinds)))
    verdict, reason = _said(worst, steps.labels, state, kinds[worst])
    details = [_rate(middle)] if verdict == "proved" else []
    return Finding(name, verdict, reason, line, details=tuple(d for d in details if d))


def _said(m: Memory, labels: Sequence[str], state: State, entry: int) -> tuple[Outcome, str]:
    own = lambda at: words.listed([labels[i] for i in at])
    who = state.name if state.size == 1 else state.entry_names()[entry]
    if len(m.closed) > 1:
        classes = words.listed([f"{{{', '.join(labels[i] for i in c)}}}" for c, _ in m.closed])
        return "refuted", f"{classes} are never left: in which of them {who} ends, its start decides"
    (closed, period), all_ = m.closed[0], "for almost all parameters"
    if period > 1:
        return "refuted", f"{who} goes round {own(closed)} with period {period}: where in it, its start decides"
    if m.passing:
        leave = "leads" if len(m.passing) == 1 else "lead"
        stays = "is never left" if len(closed) == 1 else "are never left"
        return "proved", f"{own(m.passing)} {leave} to {own(closed)}, which {stays}, {all_}"
    return "proved", f"every label leads to every other, without a period: the first one is forgotten, {all_}"


def _rate(step: Array) -> str:
    """How long the chances remember, at one point."""
    sizes = [np.sort(np.abs(np.linalg.eigvals(one)))[-2] for one in step if len(one) > 1]
    slowest = max(sizes, default=0.0)
    if not 1e-12 < slowest < 1:
        return ""
    rows = float(np.log(0.5) / np.log(slowest))
    left = f"halves in {figure(rows)} rows" if rows >= 1 else "is more than halved every row"
    return f"at the prior median its memory {left}"


def filter_forgets(context: Context) -> list[Finding]:
    """Whether the filter of one chain forgets where it was started; nothing of other models."""
    name = "filter forgets its start"
    try:
        chain = Chain(context.model)
        tables = [chain.exact(seed)[1] for seed in (1, 2)]
        numbers = [chain.numeric(d) for d in context.draws(DRAWS)]
        middle = chain.numeric(prior_median(context)).step.value
    except (Unsupported, Unreadable):
        return []
    possible = (tables[0].step.value != 0) | (tables[1].step.value != 0)
    if not all(((n.step.value > 0) == possible).all() for n in numbers) or not memory_of(possible).forgets:
        return []
    for which, e in enumerate(chain.emissions):
        assert e.law is not None
        what = e.targets[0].name
        if e.law.name in FINITE:
            seen = [n.seen[which][0].value for n in numbers]
            if "logits" in e.law.args:
                continue
            most = 1 if e.law.name == "Bernoulli" else np.inf
            if not all(((v > 0) & (v < most)).all() for v in seen):
                why = f"some labels rule out outcomes of {what}, and the theorem used does not speak of such filters"
                return [Finding(name, "unknown", why)]
        elif e.law.name not in POSITIVE:
            return [Finding(name, "unknown", f"{e.law.name} may give outcomes of {what} no chance")]
    reason = f"{chain.state.name} forgets its first label, and every label gives every outcome a chance"
    return [Finding(name, "proved", reason, details=tuple(_shrinks(middle)))]


def _shrinks(step: Array) -> list[str]:
    """By how much each row shrinks the error of a filter at least, where no chance is zero."""
    if len(step) < 2 or (step <= 0).any():
        return []
    logs = np.log(step)
    # Over labels i, j before and k, l after: log of P[i,k] P[j,l] / (P[i,l] P[j,k]).
    apart = logs[:, :, None] - logs[:, None, :]
    widest = float((apart[:, None] - apart[None, :]).max())
    return [f"at the prior median every row leaves at most {np.tanh(widest / 4):.3g} of the error, whatever is seen"]
