"""Did you mean: the nearest of the names that would do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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
