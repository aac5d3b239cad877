"""What a block's roots mean, in the user's names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction

from ssmlang.analysis.algebra import sp
from ssmlang.analysis.stability_analysis import Analysis, Judged
from ssmlang.analysis.stability_domain import Domain
from ssmlang.analysis.stability_factors import Factor
from ssmlang.analysis.stability_modes import Mode, figure, of_roots, periods_of_unity, spoken_periods
from ssmlang.analysis.stability_signs import positive
from ssmlang.analysis.stability_words import conditions, point, some, written

MOST_FACTORS = 8
"""So many are written out."""
ANYWHERE = Domain()
"""All real values; it keeps the points that were drawn."""
TREND = {1: "a unit root at frequency zero", 2: "two unit roots at frequency zero"}


def names_of(found: Sequence[Judged], sizes: Mapping[str, int]) -> list[str]:
    """Entries, those of a whole variable under its name: `level`, `pos`, `x[0]`."""
    entries = [n for j in found for n in j.names]
    by_base: dict[str, list[str]] = {}
    for n in entries:
        by_base.setdefault(n.split("[")[0], []).append(n)
    return [name for base, own in by_base.items() for name in ([base] if sizes.get(base) == len(own) else own)]


def unit_roots(judged: Judged, analysis: Analysis | None = None) -> str:
    """The roots of one of a block: "a unit root at frequency zero", "unit roots at periods 12, 6, 4, 3, 2.4 and 2"."""
    parts = []
    if judged.trend:
        own = TREND.get(judged.trend, f"{judged.trend} unit roots at frequency zero")
        number = [k for k, j in enumerate(analysis.judged) if j is judged] if analysis is not None else []
        order = analysis.integrated[number[0]] if analysis is not None and number else judged.index
        if order is not None and judged.index is not None and order > judged.index:
            own += f", on top of what it reads: integrated of order {order}"
        elif order is not None and judged.trend > 1:
            own += f": integrated of order {order}"
        parts.append(own)
    periods = sorted((p for n in judged.unity if n > 1 for p in periods_of_unity(n)), reverse=True)
    if periods:
        several = len(periods) > 1
        text = f"unit root{'s' if several else ''} at period{'s' if several else ''} {spoken_periods(periods)}"
        parts.append((text if several else f"a {text}") + _season(judged, periods))
    return ", and ".join(parts)


def _season(judged: Judged, periods: Sequence[Fraction]) -> str:
    """Where they are all the frequencies of a season but zero."""
    longest = periods[0]
    whole = longest.denominator == 1 and {Fraction(longest, k) for k in range(1, int(longest) // 2 + 1)} == set(periods)
    if not whole or len(periods) < 2:
        return ""
    none = "" if judged.trend else ", none at frequency zero"
    return f" (a season of {longest} rows{none})"


def marginal_period(f: Factor) -> str:
    """The period of undamped oscillations, as an expression where it is one: 2 pi / omega."""
    if f.symbols and f.degree == 2:
        cosine = -f.coefficients[1] / 2
        if isinstance(cosine, sp.cos):
            turn = written(cosine.args[0])
            return f"once in 2*pi/{turn if cosine.args[0].is_Symbol else f'({turn})'} rows"
    turning = [m for m in f.modes if m.period is not None]
    return f"once in {figure(turning[0].period or 0)} rows" if turning else "at a fixed rate"


def region(found: Sequence[Judged], domain: Domain) -> list[str]:
    """The conditions under which all roots lie inside the circle, those that always hold left out."""
    texts: list[str] = []
    parts = [f for j in found for f in j.factors or () if f.place in ("inside", "depends", "unknown") and f.conditions]
    for f in parts[:MOST_FACTORS]:
        texts += conditions(informative(f))
    more = len(parts) - MOST_FACTORS
    return list(dict.fromkeys(texts)) + ([f"and the same of {more:,} others"] if more > 0 and texts else [])


def informative(f: Factor) -> list[sp.Expr]:
    """Conditions that do not hold for all real values of the parameters."""
    if len(f.conditions) > 1 and f.degree <= 2 and f.place == "inside":
        return [g for g in f.conditions if not positive(g, ANYWHERE).positive] or list(f.conditions)
    return list(f.conditions)


def why_inside(found: Sequence[Judged], domain: Domain) -> str:
    """Why all roots of these blocks lie inside the circle."""
    declared = list(dict.fromkeys(
        str(s).split("[")[0] for j in found for f in j.factors or () for s in f.declared
    ))  # fmt: skip
    free = [f for j in found for f in j.factors or () if f.symbols and not f.declared]
    rest = [g for f in free[:MOST_FACTORS] for g in conditions(informative(f))]
    parts = []
    if declared:
        parts.append(f"{some(declared)} {'is' if len(declared) == 1 else 'are'} declared `stationary`")
    if rest:
        texts = list(dict.fromkeys(rest))
        if len(free) > MOST_FACTORS:
            texts = [*texts[:2], f"and the same of {len(free) - len(texts[:2]):,} others"]
        parts.append(f"{some(texts, 4)}, by the supports")
    numbers = [m for j in found for f in j.factors or () if not f.symbols for m in f.modes]
    if numbers:
        slowest = max(numbers, key=lambda m: m.modulus)
        parts.append(f"the slowest of its constant modes: {slowest.describe()}")
    return "; ".join(parts) or "it forgets its past after a finite number of rows"


def bad_mode(modes: Sequence[Mode]) -> str:
    """The worst mode in words."""
    return max(modes, key=lambda m: m.modulus).describe() if modes else "has a root outside the unit circle"


def witness_text(f: Factor) -> str:
    """`at phi = 1.4 it grows by 40% a row`."""
    assert f.witness is not None
    values = point([(str(s), v) for s, v in sorted(f.witness.items(), key=lambda kv: str(kv[0])) if s in f.symbols])
    return f"at {values} it {bad_mode(f.modes)}"


def modes_at(judged: Judged, values: Mapping[sp.Symbol, float]) -> tuple[Mode, ...]:
    """The modes of a block at values of the parameters."""
    import numpy as np

    from ssmlang.analysis.stability_blocks import companion

    matrix = np.array([[float(v.xreplace({s: sp.Float(values[s]) for s in v.free_symbols})) for v in row]
                       for row in companion(judged.block)])  # fmt: skip
    found = np.linalg.eigvals(matrix)
    return tuple(m for m in of_roots(np.exp(found) if judged.continuous else found) if m.modulus > 1e-9)


def in_time(text: str) -> str:
    """What is said of rows, said of units of time."""
    text = text.replace(" rows", " units of time").replace(" a row", " a unit of time")
    return re.sub(r" 1 row\b", " 1 unit of time", text)


def timescales(modes: Sequence[Mode], most: int = 3) -> str:
    """The slowest modes in words; nothing where all are gone within a row or two."""
    if all(m.modulus <= 0.5 for m in modes):
        return ""
    shown = [m.describe() for m in modes[:most]]
    more = f"; {len(modes) - most} faster" if len(modes) > most else ""
    return "; ".join(dict.fromkeys(shown)) + more


