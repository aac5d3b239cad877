"""What cannot be seen, in the user's names: a shift, a scaling, a change of sign, an exchange."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ssmlang.analysis.lie_directions import Direction
from ssmlang.analysis.lie_outputs import Outputs
from ssmlang.analysis.skeleton import Key

MOST = 6


@dataclass(frozen=True)
class Said:
    reason: str
    headline: str
    label: str
    fix: str | None


def some(names: Sequence[str]) -> str:
    """`x, y and z`; of many the first and how many more."""
    if not names:
        return ""
    cut = len(names) > MOST + 1
    shown = [*names[:MOST], f"{len(names) - MOST} more"] if cut else list(names)
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + " and " + shown[-1]


def grouped(outputs: Outputs, keys: Sequence[Key]) -> list[str]:
    """Names of entries, whole variables by their own name."""
    found: list[str] = []
    for name in dict.fromkeys(k.name for k in keys):
        own = [k for k in keys if k.name == name]
        labels = outputs.skeleton.labels(name)
        found += [name] if len(own) == len(labels) > 1 else [labels[k.entry] for k in own]
    return found


def entries(outputs: Outputs, arguments: Sequence[str]) -> list[Key]:
    """The entries of the state that the arguments of an assertion name."""
    plain = lambda text: text.replace(" ", "")
    wanted = {plain(a) for a in arguments}
    return [k for k in outputs.keys if k.name in wanted or plain(outputs.name(k)) in wanted]


def said_of(outputs: Outputs, symmetry: Any) -> Said:
    """A direction, a set of states whose signs change, or an exchange, in words."""
    if isinstance(symmetry, Direction):
        return _direction(outputs, symmetry)
    if isinstance(symmetry, frozenset):
        return _signs(outputs, symmetry)
    return _exchange(outputs, symmetry)


def _direction(outputs: Outputs, d: Direction) -> Said:
    moved = [(outputs.name(k), c) for k, c in zip(outputs.keys, d.vector) if c]
    names = [n for n, _ in moved]
    fix = _observe(outputs, next(k for k, c in zip(outputs.keys, d.vector) if c))
    if len(moved) == 1:
        return Said(f"{names[0]} never reaches an observation: any value gives the same", f"{names[0]} is never seen",
                    "reaches no observation", fix)  # fmt: skip
    if d.kind == "shift":
        vector = ", ".join(str(c) for _, c in moved)
        reason = f"the direction ({', '.join(names)}) = ({vector}) is never seen"
        return Said(reason, f"{some(names)} cannot be told apart", "enters only in combination with others", fix)
    powers = ", ".join(f"{n} by {_power(c)}" for n, c in moved)
    reason = f"multiplying {powers} changes nothing that is observed, for any r"
    return Said(reason, f"the scales of {some(names)} cannot be told apart", "is known only up to a common scale", fix)


def _power(c: int) -> str:
    return "r" if c == 1 else "1/r" if c == -1 else f"r^{c}" if c > 0 else f"1/r^{-c}"


def _signs(outputs: Outputs, flips: frozenset[Key]) -> Said:
    keys = sorted(flips, key=lambda k: (k.sort != "state", k.name, k.entry))
    names = grouped(outputs, keys)
    pair, them = f"{names[0]} -> -{names[0]}", "its sign"
    if len(names) > 1:
        shown = names if len(names) <= MOST else [*names[:MOST], "..."]
        minus = [n if n == "..." else f"-{n}" for n in shown]
        pair, them = f"({', '.join(shown)}) -> ({', '.join(minus)})", "their signs"
    return Said(
        f"{pair} changes nothing that is observed: {them} cannot be known", f"the sign of {some(names)} is never seen",
        "enters only through what has no sign", _observe(outputs, keys[0]),
    )  # fmt: skip


def _exchange(outputs: Outputs, exchange: dict[Key, Key]) -> Said:
    pairs = [(a, b) for a, b in exchange.items() if (a.name, a.entry) < (b.name, b.entry)]
    first, second = (grouped(outputs, [p[i] for p in pairs]) for i in (0, 1))
    reason = f"exchanging {some(first)} with {some(second)} changes nothing that is observed"
    return Said(reason, f"{some(first)} and {some(second)} cannot be told apart", "can be exchanged with another",
                _observe(outputs, pairs[0][0]))  # fmt: skip


def _observe(outputs: Outputs, key: Key) -> str:
    """An observation that would settle it."""
    taken = {*outputs.model.states, *outputs.model.observations, *outputs.model.parameters, *outputs.model.definitions}
    name = next(n for n in ("seen", "extra", "seen_too", "measured") if n not in taken)
    value = outputs.skeleton.written(key, key.lag) if key.sort == "state" else outputs.skeleton.written(key)
    return f"observe {outputs.name(key)} itself: `obs {name}` with `{name}[t] ~ Normal({value}, 1)`"
