"""Did you mean: the nearest of the names that would do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from ssmlang.language.diagnostics import Edit, Fix
from ssmlang.language.source import Span

_GREEK = frozenset({
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi",
    "omicron", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega",
})  # fmt: skip


def suggest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate that `name` was probably meant to be, or None; case and order of letters count little."""
    pool = list(dict.fromkeys(candidates))
    folded = {c.casefold(): c for c in reversed(pool)}
    if name.casefold() in folded:
        return folded[name.casefold()]
    swapped = next((c for c in pool if sorted(c) == sorted(name)), None)
    if swapped is not None:
        return swapped
    close = difflib.get_close_matches(name[:80], pool, n=1, cutoff=0.6)
    return close[0] if close else None


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """`did you mean `phi`?`, or an empty text."""
    found = suggest(name, candidates)
    return f"did you mean `{found}`?" if found else ""


def only_neighbour(name: str, candidates: Iterable[str]) -> str | None:
    """The one candidate that `name` can be a misspelling of; None where there are several, or where it may be another
    name altogether: two Greek letters (`psi`, `phi`), names told apart by a digit (`sd_1`, `sd_2`), short ones."""
    pool = [c for c in dict.fromkeys(candidates) if c != name]
    folded = [c for c in pool if c.casefold() == name.casefold()]
    if folded:
        return folded[0] if len(folded) == 1 else None
    near = [c for c in pool if _slips(name, c) <= (2 if min(len(name), len(c)) >= 7 else 1) and _misspelt(name, c)]
    return near[0] if len(near) == 1 else None


def respelt(span: Span, name: str, candidates: Iterable[str]) -> Fix | None:
    """The safe fix of a misspelt name, where it stands as such in the text and one candidate alone is near."""
    meant = only_neighbour(name, candidates) if span.text == name else None
    return None if meant is None else Fix(f"write `{meant}`", (Edit(span, meant),), safe=True)


def _misspelt(name: str, meant: str) -> bool:
    if {name.casefold(), meant.casefold()} <= _GREEK or name.casefold() in _GREEK:
        return False
    if [c for c in name if c.isdigit()] != [c for c in meant if c.isdigit()] or max(len(name), len(meant)) < 3:
        return False
    # Of short names a letter in place of another makes a name of its own; one doubled, lost or swapped does not.
    return len(name) != len(meant) or sorted(name) == sorted(meant) or len(name) >= 5


def _slips(one: str, two: str) -> int:
    """Letters lost, added, replaced, and neighbours swapped, that lead from one to the other (Damerau, 1964)."""
    if abs(len(one) - len(two)) > 2:
        return 3
    older: list[int] = []
    last = list(range(len(two) + 1))
    for i, a in enumerate(one, 1):
        row = [i]
        for j, b in enumerate(two, 1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a != b))
            if i > 1 and j > 1 and a == two[j - 2] and one[i - 2] == b:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
        older, last = last, row
    return last[-1]
