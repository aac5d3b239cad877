"""What is said of identified and unidentified parameters, in the user's names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ssmlang.analysis.identifiability_invariants import Invariant
from ssmlang.analysis.identifiability_point import Coordinate, free
from ssmlang.model.model import Model

MOST_NAMED = 6
OTHERWISE = "add an observation that tells them apart"
JUMPS = "a condition reads {}: the law jumps there, and has no derivative"


def names(model: Model, coords: Sequence[Coordinate]) -> list[str]:
    """Whole parameters by their name, others entry by entry."""
    found: list[str] = []
    for name in dict.fromkeys(k.parameter for k in coords):
        own = [k for k in coords if k.parameter == name]
        p = model.parameters[name]
        found += [name] if len(own) == len(free(p)) and p.size > 1 else [k.name for k in own]
    return found


def listed(words: Sequence[str], last: str = "and") -> str:
    """`a, b and c`; a long list is cut, by more than one."""
    if len(words) > MOST_NAMED + 1:
        shown = words[:MOST_NAMED]
        return ", ".join(shown) + f" {last} {len(words) - MOST_NAMED} more"
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + f" {last} {words[-1]}"


def kept_text(kept: Sequence[Invariant], around: Sequence[Coordinate]) -> list[str]:
    own = [k.name for k in around]
    return [k.text(own) for k in kept]


def reason(who: Sequence[str], kept: Sequence[str], complete: bool) -> str:
    """What the observations say of parameters that they cannot tell apart."""
    if complete and not kept:
        return f"the law of the observations does not change with {listed(who)}"
    if complete:
        return f"only {listed(kept)} {'is' if len(kept) == 1 else 'are'} identified"
    if kept:
        return f"{listed(kept)} {'is' if len(kept) == 1 else 'are'} identified, {listed(who)} not"
    return f"{listed(who)} can be changed together so that the law of the observations stays the same"


def fix(model: Model, coords: Sequence[Coordinate], kept: Sequence[Invariant], complete: bool, dimension: int) -> str:
    """What to write instead."""
    who = names(model, coords)
    if complete and not kept:
        return f"drop {listed(who)}, or let an equation of a state or an observation read it"
    plain = [k for k in kept if max(k.coordinates(), default=-1) < len(coords)]
    if complete and len(kept) == len(plain) == 1:
        one = plain[0]
        if one.is_product:
            chosen = _scale_like(model, coords)
            return f"give {chosen} a number: write `const {chosen} = 1` in place of its `param`"
        if all(len(powers) == 1 for _, powers in one.terms):
            square = all(e == 2 for _, powers in one.terms for _, e in powers)
            what = "noise" if square else "term"
            return f"keep one of {listed(who)}: the model needs one such {what}, not {len(coords)}"
    number = {1: "one", 2: "two", 3: "three", 4: "four"}.get(dimension, str(dimension))
    if any(model.parameters[k.parameter].shape for k in coords):
        what = "numbers" if dimension > 1 else "a number"
        return f"give {number} of the entries of {listed(who)} {what}, or {OTHERWISE}"
    return f"give {number} of {listed(who)} a number (a `const`), or {OTHERWISE}"


def _scale_like(model: Model, coords: Sequence[Coordinate]) -> str:
    """Of parameters that enter as a product, a scale rather than a coefficient."""
    scalars = [k for k in coords if not model.parameters[k.parameter].shape]
    positive = [k for k in scalars if _positive(model, k.parameter)]
    chosen = (positive or scalars or list(coords))[-1]
    return chosen.name


def _positive(model: Model, name: str) -> bool:
    low = model.parameters[name].support.lower
    return low is not None and low.value is not None and bool((np.asarray(low.value) >= 0).all())


def setting(values: Mapping[str, np.ndarray], model: Model) -> dict[str, float]:
    """Parameter values by entry."""
    found: dict[str, float] = {}
    for name, value in values.items():
        entries = model.parameters[name].entry_names()
        found.update(zip(entries, np.asarray(value, float).reshape(-1).tolist()))
    return found
