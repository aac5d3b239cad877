"""Changes of the parameters that are not small and leave the law as it is: signs turned, labels exchanged.

Each is tried at a random point of a prime field, where two laws are the same exactly or not at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice

import numpy as np

from ssmlang.analysis.identifiability_law import Law, Point, laws
from ssmlang.analysis.identifiability_rank import null_space
from ssmlang.analysis.identifiability_rings import NoRoot, P, PrimeField
from ssmlang.analysis.identifiability_study import Study
from ssmlang.analysis.residues import reduced
from ssmlang.analysis.values import Unreadable, evaluate
from ssmlang.model.model import Parameter

Array = np.ndarray
Change = Callable[[dict[str, Array]], dict[str, Array]]
MOST_SIGNS = 40
MOST_PAIRS = 60
SECONDS = 0.15
"""Processor time after which no more exchanges of whole parameters are tried."""


@dataclass(frozen=True)
class Symmetry:
    """`kind`: "sign" of the entries (parameter, position), "labels" i and j of an axis exchanged in all parameters that
    have it, or "pairs" of parameters exchanged."""

    kind: str
    entries: frozenset[tuple[str, int]]
    text: str
    order: str = ""
    """Of pairs: an interval that leaves one of the two orders"""


def symmetries(
    study: Study, skip: frozenset[tuple[str, int]] = frozenset(), within: frozenset[tuple[str, int]] | None = None
) -> list[Symmetry]:
    """Those found, each not made of those before it; entries in `skip` are left alone. `within`: signs of these
    alone."""
    found: list[Symmetry] = []
    if within is None:
        candidates = [*_signs(study, skip), *_labels(study, skip), *_pairs(study, skip)]
    else:
        candidates = [(s, change) for s, change in _signs(study, skip) if s.entries <= within]
    # What a condition reads stands beside the point as a number that is not changed.
    candidates = [c for c in candidates if not {name for name, _ in c[0].entries} & study.in_conditions]
    if not candidates:
        return []
    began = time.process_time()
    steps = study.lengths[-1] if study.turns_late else study.lengths[0]
    try:
        point, ring, _ = study.exact_point(study.rooted_seed, [], steps=steps)
        before = _prints(study, steps, point)
    except NoRoot:
        return []
    until = time.process_time() + SECONDS
    if time.process_time() - began > SECONDS / 3:  # of a large model one law takes as long as all else that is asked
        candidates = [c for c in candidates if c[0].kind != "pairs"]
    for candidate, change in candidates:
        study.budget.check()
        if candidate.kind == "pairs" and time.process_time() > until:
            break
        if any(s.entries <= candidate.entries and s.kind == candidate.kind for s in found):
            continue
        try:
            # In the field of the point itself: of its own a function that is not algebraic would be as random at -a.
            moved, _, _ = study.exact_point(study.rooted_seed, [], steps=steps, change=change, known=ring)
            if _prints(study, steps, moved) == before:
                found.append(candidate)
        except NoRoot:
            continue
    return found


def _prints(study: Study, steps: int, point: Point) -> list[tuple]:
    """The laws of a point, in a form that is the same for the same law."""
    kept = study.kept(steps)
    return [_print(law) for law in laws(study.model, study.form, point, steps, "given", study.blocks, kept)]


def _print(law: Law) -> tuple:
    mean, cov = law.mean.value, law.cov.value
    if not law.flat.value.size:
        return mean.tobytes(), cov.tobytes()
    field = PrimeField(0)
    beyond = null_space(law.flat.value.T).T
    cov = field.matmul(field.matmul(beyond, cov), beyond.T)
    return reduced(law.flat.value.T)[0].tobytes(), field.matmul(beyond, mean[:, None]).tobytes(), cov.tobytes()


# -------------------------------------------------------------------------------------------------------- signs


def _signs(study: Study, skip: frozenset[tuple[str, int]]) -> Iterator[tuple[Symmetry, Change]]:
    """Single entries, whole arrays, slices of arrays along an axis, then pairs of numbers."""
    both = [p for p in study.model.parameters.values() if p.name in study.read and both_signs(p, study)]
    groups: list[tuple[list[tuple[str, int]], str]] = []
    for p in both:
        names = p.entry_names()
        if p.size <= 8:
            groups += [([(p.name, i)], names[i]) for i in range(p.size)]
        if p.shape:
            at = np.arange(p.size).reshape(p.shape)
            for axis in reversed(range(len(p.shape))):
                if len(p.shape) > 1 and p.shape[axis] <= 8:
                    groups += [([(p.name, int(i)) for i in np.take(at, k, axis).reshape(-1)], _slice(p, axis, k))
                               for k in range(p.shape[axis])]  # fmt: skip
            groups.append(([(p.name, i) for i in range(p.size)], p.name))
    whole = lambda p: [(p.name, i) for i in range(p.size)]
    groups += [([*whole(a), *whole(b)], f"{a.name} and {b.name}") for i, a in enumerate(both) for b in both[i + 1 :]]
    for entries, text in groups[:MOST_SIGNS]:
        chosen = frozenset(entries)
        if not chosen & skip:
            yield Symmetry("sign", chosen, f"the sign of {text}"), _turned(chosen)


def both_signs(p: Parameter, study: Study) -> bool:
    if p.support.kind not in ("real", "interval"):
        return False
    value = study.floats(1)[p.name]
    for end, sign in ((p.support.lower, 1), (p.support.upper, -1)):
        if end is not None:
            try:
                if (sign * np.asarray(evaluate(end, study.floats(1))) >= 0).any():
                    return False
            except Unreadable:
                return False
    return value.size > 0


def _slice(p: Parameter, axis: int, k: int) -> str:
    own = p.axes[axis]
    label = own.labels[k] if own is not None else k
    inside = [str(label) if d == axis else ":" for d in range(len(p.shape))]
    return f"{p.name}[{', '.join(inside)}]"


def _turned(entries: frozenset[tuple[str, int]]) -> Change:
    def change(values: dict[str, Array]) -> dict[str, Array]:
        found = {k: v.copy() for k, v in values.items()}
        for name, i in entries:
            found[name].reshape(-1)[i] = -found[name].reshape(-1)[i] % P
        return found

    return change


# ------------------------------------------------------------------------------------------------------- labels


def _labels(study: Study, skip: frozenset[tuple[str, int]]) -> Iterator[tuple[Symmetry, Change]]:
    """Two labels of an axis exchanged in every parameter that has it (bare sizes: the last dimension of that size)."""
    used = [p for p in study.model.parameters.values() if p.name in study.read and p.support.kind != "stationary"]
    axes: dict[object, list[tuple[Parameter, int]]] = {}
    for p in used:
        for d, (size, axis) in enumerate(zip(p.shape, p.axes)):
            if size > 1:
                axes.setdefault(axis.name if axis is not None else size, []).append((p, d))
    for key, where in axes.items():
        size = where[0][0].shape[where[0][1]]
        if size > 6 or any((p.name, i) in skip for p, _ in where for i in range(p.size)):
            continue
        p, d = where[0]
        own = p.axes[d]
        label = lambda k, own=own: str(own.labels[k]) if own is not None else str(k)
        names = ", ".join(dict.fromkeys(p.name for p, _ in where))
        entries = frozenset((p.name, i) for p, _ in where for i in range(p.size))
        for j in range(1, size):
            what = f"labels {label(0)} and {label(j)}" + (f" of {key}" if own is not None else "")
            yield Symmetry(f"labels {j}", entries, f"{what} exchanged in {names}"), _exchanged(where, j)


def _exchanged(where: Sequence[tuple[Parameter, int]], j: int) -> Change:
    def change(values: dict[str, Array]) -> dict[str, Array]:
        found = dict(values)
        for p, d in where:
            order = np.arange(p.shape[d])
            order[[0, j]] = order[[j, 0]]
            found[p.name] = np.take(found[p.name], order, axis=d)
        return found

    return change


# ------------------------------------------------------------------------------------------------ whole parameters


def _pairs(study: Study, skip: frozenset[tuple[str, int]]) -> Iterator[tuple[Symmetry, Change]]:
    """Two numbers of one support exchanged: rates of a chain of compartments; then two such pairs at once: coefficients
    and noises of two processes that are added up."""
    model = study.model
    numbers = [p for p in model.parameters.values() if p.name in study.read and p.size == 1 and (p.name, 0) not in skip]
    alike = [(a, b) for a, b in combinations(numbers, 2) if _support(a) == _support(b) is not None]
    groups: list[tuple[tuple[Parameter, Parameter], ...]] = [(pair,) for pair in alike]
    groups += [(v, w) for v, w in combinations(alike, 2) if not {p.name for p in v} & {p.name for p in w}]
    for group in islice(groups, MOST_PAIRS):
        said = ", ".join(f"{a.name} and {b.name}" for a, b in group)
        entries = frozenset((p.name, 0) for pair in group for p in pair)
        (a, b), end = group[0], (_support(group[0][0]) or ())[-1]
        upper = "inf" if end is None else f"{end:g}"
        yield Symmetry("pairs", entries, f"{said} exchanged", f"{b.name} in ({a.name}, {upper})"), _swapped(group)


def _support(p: Parameter) -> tuple[object, ...] | None:
    """What a number may be, as far as that can be compared; None where it depends on other parameters."""
    ends = (p.support.lower, p.support.upper)
    if any(e is not None and e.value is None for e in ends):
        return None
    return (p.support.kind, *(None if e is None else float(np.asarray(e.value).reshape(-1)[0]) for e in ends))


def _swapped(group: Sequence[tuple[Parameter, Parameter]]) -> Change:
    def change(values: dict[str, Array]) -> dict[str, Array]:
        found = dict(values)
        for a, b in group:
            found[a.name], found[b.name] = values[b.name].reshape(a.shape), values[a.name].reshape(b.shape)
        return found

    return change
