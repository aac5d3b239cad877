"""From judged blocks to findings: what is asserted of states, and what is said of them unasked."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Finding, Outcome
from ssmlang.analysis.stability_analysis import Analysis, Judged
from ssmlang.analysis.stability_domain import Domain
from ssmlang.analysis.stability_factors import Factor
from ssmlang.analysis.stability_fixes import GROWS, fix_for, fix_never, fix_wide
from ssmlang.analysis.stability_moments import moving_moments, starts_stationary
from ssmlang.analysis.stability_points import Probability, prior_median, probability_inside, symbol_draws
from ssmlang.analysis.stability_text import (
    MOST_FACTORS,
    bad_mode,
    in_time,
    marginal_period,
    modes_at,
    names_of,
    region,
    timescales,
    unit_roots,
    why_inside,
    witness_text,
)
from ssmlang.analysis.stability_words import point, some
from ssmlang.model import expr

UNSTABLE = "E611"
NO_UNIT_ROOT = "E612"
MOSTLY_EXPLOSIVE = "W613"
EXPLODES = 1.0 + 1e-9
OUTSIDE = 1.0 + 1e-4
"""Numeric roots of one that are multiple come apart by less."""
MOSTLY = 0.5
"""Unasked, a warning is made where more than this of the prior makes a state explode."""


class Claims:
    """Findings about one model's analysis."""

    def __init__(self, context: Context, analysis: Analysis) -> None:
        self.context, self.analysis = context, analysis

    @cached_property
    def domain(self) -> Domain:
        if not any(j.block.symbols for j in self.analysis.judged):
            return Domain()
        s = self.context.supports
        return Domain(s.intervals, s.stationary, s.simplexes)

    def entries(self, arguments: Sequence[str]) -> list[int]:
        """The entries of the state that names stand for: a state, an entry, a part, a definition's or observation's."""
        found: list[int] = []
        names = self.analysis.dynamics.names
        for a in arguments:
            a = a.replace(" ", "")
            own = [i for i, n in enumerate(names) if n == a or n.startswith((f"{a}[", f"{a}."))]
            found += own or self._read_by(a.split("[")[0])
        return list(dict.fromkeys(found))

    def _read_by(self, name: str) -> list[int]:
        model = self.context.model
        nodes = [d.value for d in [model.definitions.get(name)] if d is not None and d.value is not None]
        for e in model.equations:
            if any(t.name == name for t in e.targets):
                nodes += [e.value] if e.value is not None else list(e.law.args.values()) if e.law is not None else []
        read = {n for sort, n, _ in expr.references(nodes) if sort == "state"}
        return [i for i, n in enumerate(self.analysis.dynamics.names) if n.split("[")[0] in read]

    @cached_property
    def _sizes(self) -> dict[str, int]:
        model = self.context.model
        return {v.name: v.size for v in (*model.states.values(), *model.observations.values())}

    def named(self, found: Sequence[Judged]) -> str:
        return some(names_of(found, self._sizes))

    # ------------------------------------------------------------------------------------------------ asserted

    def asserted(self, text: str, arguments: tuple[str, ...], line: int) -> Finding:
        """The finding of an assertion."""
        own = self.entries(arguments)
        if not own:
            return Finding(text, "unknown", f"{', '.join(arguments)} is no state", line, asserted=True)
        found = self.analysis.of(own)
        if text.startswith("unit_root"):
            return self._unit_root(text, own, found, line)
        verdict, reason, details, fix = self.stability(found)
        moving = moving_moments(self.context, own, self.analysis) if text.startswith("stationary") else None
        if verdict == "proved" and moving is not None:
            verdict, reason, details = "refuted", moving, (f"it is stable: {reason}", *details)
            fix = f"assert `stable({', '.join(arguments)})`, which lets that move"
        elif verdict == "proved" and text.startswith("stationary") and not starts_stationary(self.context, own):
            details = (*details, "it starts elsewhere than in that law, and is stationary once its start is forgotten")
        never = [j for j in found if j.inside is False and self.never(j)]
        if verdict == "refuted" and fix is None and never:
            fix = fix_never(never, arguments)
        reason, details = _timed(found, reason), tuple(_timed(found, d) for d in details)
        code = UNSTABLE if verdict == "refuted" else None
        return Finding(text, verdict, reason, line, fix=fix, details=details, asserted=True, code=code,
                       headline=f"`{text}` does not hold", label=_short(reason))  # fmt: skip

    def stability(self, found: Sequence[Judged]) -> tuple[Outcome, str, tuple[str, ...], str | None]:
        """Verdict, reason, details and fix for all roots of these blocks inside the circle."""
        never = [j for j in found if j.inside is False and self.never(j)]
        if never:
            others = [] if len(never) == len(found) else [f"read through {self.named(never)}"]
            reason = "; ".join(f"{self.named([j])}: {self.why_never(j)}" for j in never[:4])
            return "refuted", reason, tuple(others), None
        opaque = [j for j in found if j.opaque]
        if opaque:
            reason = f"{self.named(opaque)} is no linear recursion with constant numbers: {opaque[0].why}"
            return "unknown", reason, (), None
        open_ = [j for j in found if not j.inside]
        where = region(found, self.domain)
        stated = f"stable iff {', '.join(where)}" if where else ""
        if not open_:
            why = why_inside(found, self.domain)
            details = [stated] if len(found) <= MOST_FACTORS and any(w not in why for w in where) else []
            return "proved", why, (*details, *self._typical(found)), None
        return self._open(found, open_, stated)

    def _open(self, found: Sequence[Judged], open_: list[Judged], stated: str
              ) -> tuple[Outcome, str, tuple[str, ...], str | None]:  # fmt: skip
        chance = probability_inside(found, self.context)
        odds = (f"prior probability of that: {chance[0]}",) if chance is not None else ()
        factors = [f for j in open_ for f in j.factors or () if f.place == "depends"]
        fix = self._fix(open_)
        if factors and factors[0].witness is not None:
            shown = f"not for all values allowed; {witness_text(factors[0])}"
            return "refuted", shown, (*((stated,) if stated else ()), *odds, *self._typical(found)), fix
        why = next((j.why for j in open_ if j.why), "the conditions are neither proved nor refuted by algebra")
        if chance is not None and chance[1].max(initial=0) > EXPLODES:
            worst = int(np.argmax(chance[1]))
            values, _ = symbol_draws(self.context)
            wanted = sorted({s for j in open_ for s in j.block.symbols}, key=str)
            at = point([(str(s), values[s][worst]) for s in wanted[:6]]) + (", ..." if len(wanted) > 6 else "")
            reason = f"not for all values allowed: a spectral radius of {chance[1][worst]:.3g} at a prior draw ({at})"
            stated = stated or "stable iff every eigenvalue lies inside the unit circle"
            owner = self.context.supports.owner
            fix = fix or fix_wide(list(dict.fromkeys(owner[s][0] for s in wanted if s in owner)))
            return "refuted", reason, (stated, *odds, why, *self._typical(found)), fix
        seen = () if chance is None else (f"numerically: prior probability {chance[0]}",)
        return "unknown", why, (*((stated,) if stated else ()), *seen, *self._typical(found)), fix

    def _fix(self, found: Sequence[Judged]) -> str | None:
        return fix_for([f for j in found for f in j.factors or ()], self.context, self.domain)

    def never(self, j: Judged) -> bool:
        """Whether a block is known not to be stable for any value allowed, where `inside` is False."""
        return bool(j.generic) or any(f.place in ("unity", "circle", "outside", "not inside") for f in j.factors or ())

    def why_never(self, j: Judged) -> str:
        """Why a block is not stable for any value allowed."""
        parts = [unit_roots(j, self.analysis)] if j.unity else []
        for f in j.factors or ():
            if f.place == "circle":
                parts.append(f"undamped oscillation, turning {marginal_period(f)}")
            elif f.place == "outside":
                parts.append(f"explosive: {bad_mode(f.modes)}")
            elif f.place == "not inside":
                parts.append(self._not_inside(f))
        return ", and ".join(parts)

    def _not_inside(self, f: Factor) -> str:
        if f.witness is not None:
            return f"not stable for any value allowed: {witness_text(f)}"
        grows = "it " if any(m.kind == "explosive" for m in f.modes) else ""
        pairs = "its roots come in pairs r and 1/r"
        return f"not stable for any value allowed: {pairs}; for some, {grows}{bad_mode(f.modes)}"

    def _unit_root(self, text: str, own: list[int], found: Sequence[Judged], line: int) -> Finding:
        finding = lambda verdict, reason, details=(), fix=None: Finding(
            text, verdict, reason, line, details=tuple(details), asserted=True, fix=fix,
            code=NO_UNIT_ROOT if verdict == "refuted" else None,
            headline=f"`{text}` does not hold", label=_short(reason),
        )  # fmt: skip
        with_root = [j for j in found if j.unity or any(f.place == "circle" for f in j.factors or ())]
        blown = [j for j in found if any(f.place in ("outside", "not inside") for f in j.factors or ())]
        if blown:
            return finding("refuted", f"{self.named(blown)}: {self.why_never(blown[0])}", fix=GROWS)
        if with_root:
            reason = "; ".join(f"{self.named([j])}: {self.why_never(j)}" for j in with_root[:4])
            reason = _timed(found, reason)
            rest = region(found, self.domain)
            details = [f"its other roots lie inside the unit circle iff {', '.join(rest)}"] if rest else []
            verdict, more = self._none_outside(found)
            fix = None if verdict != "refuted" else self._fix(found) or GROWS
            return finding(verdict, f"{reason}; {more[0]}" if more else reason, [*details, *more[1:]], fix)
        opaque = [j for j in found if j.factors is None]
        if opaque:
            return finding("unknown", f"{self.named(opaque)}: {opaque[0].why}")
        if all(j.inside for j in found):
            claim = text.replace("unit_root", "stable", 1)
            return finding("refuted", f"every root lies inside the unit circle: {why_inside(found, self.domain)}",
                           fix=f"assert `{claim}`, or write the number 1 where a root is to be one")  # fmt: skip
        where = region(found, self.domain)
        return finding("refuted", "only at single values of the parameters, not for all that are allowed",
                       [f"stable iff {', '.join(where)}"] if where else [],
                       "write a number for what must have a single value, or leave the claim out")  # fmt: skip

    def _none_outside(self, found: Sequence[Judged]) -> tuple[Outcome, list[str]]:
        """Whether all roots but those of one lie inside the circle, of blocks that have some; what is to be said."""
        opaque = [j for j in found if j.opaque]
        if opaque:
            return "unknown", [f"nothing is known of {self.named(opaque)}: {opaque[0].why}"]
        open_ = [f for j in found for f in j.factors or () if f.place == "depends" and f.witness is not None]
        if open_:
            told = "but not for all values allowed without another on the unit circle or outside"
            drawn = probability_inside(found, self.context)
            said = [f"{told}; {witness_text(open_[0])}"]
            if drawn is not None:
                none = Probability(int((drawn[1] < OUTSIDE).sum()), drawn[0].draws)
                said.append(f"prior probability of none outside: {none}")
            return "refuted", said
        if all(j.factors is not None and all(f.place != "unknown" for f in j.factors) for j in found):
            return "proved", []
        chance = probability_inside(found, self.context)
        if chance is None:
            return "unknown", ["its other roots are not known"]
        out = chance[1] > OUTSIDE
        odds = Probability(int(out.sum()), chance[0].draws)
        if out.any():
            told = "but not for all values allowed without an explosive one"
            return "refuted", [told, f"prior probability of an explosive one: {odds}"]
        return "unknown", [f"its other roots are not known; outside of the unit circle with prior probability {odds}"]

    # ------------------------------------------------------------------------------------------------ unasked

    def plain(self, own: Sequence[Judged]) -> Finding:
        """What blocks of one form do, said of their names."""
        name, first = self.named(own), own[0]
        line = self.context.line_of(first.names[0])
        likewise = f"each of {len(own)}: " if len(own) > 1 else ""
        if first.inside is False and self.never(first):
            reason = _timed(own, likewise + self.why_never(first))
            explosive = any(f.place == "outside" or ((f.place == "not inside" and f.modes) and any(
                m.kind == "explosive" for m in f.modes)) for f in first.factors or ())  # fmt: skip
            only_unity = not explosive and all(f.place in ("unity", "circle", "inside") for f in first.factors or ())
            if first.factors is not None and only_unity:
                return Finding(f"unit_root({name})", "proved", reason, line)
            code = MOSTLY_EXPLOSIVE if explosive else None
            fix = GROWS if explosive else None
            return Finding(f"stable({name})", "refuted", reason, line, code=code, span_of=first.names[0], fix=fix,
                           headline=f"{name} explodes" if explosive else None, label=_short(reason))  # fmt: skip
        verdict, reason, details, fix = self.stability(own)
        reason, details = _timed(own, reason), tuple(_timed(own, d) for d in details)
        code = None
        if verdict == "refuted":
            chance = probability_inside(own, self.context)
            exploding = None if chance is None else Probability(int((chance[1] > EXPLODES).sum()), chance[0].draws)
            if exploding is not None and exploding.value > MOSTLY:
                code = MOSTLY_EXPLOSIVE
                details = (f"it explodes with prior probability {exploding}", *details)
        headline = f"{name} explodes under most of its prior"
        return Finding(f"stable({name})", verdict, likewise + reason, line, details=details, fix=fix, code=code,
                       span_of=first.names[0], headline=headline, label=_short(reason))  # fmt: skip

    def _typical(self, found: Sequence[Judged]) -> list[str]:
        """The modes at the prior median, where they are asked for and depend on parameters."""
        own = [j for j in found if j.block.symbols and not j.opaque and len(j.names) * max(j.block.order, 1) <= 24]
        if not own or len(own) > 3:
            return []
        values = self.context.at(self._median)
        made = []
        for j in own:
            words = timescales(modes_at(j, values))
            if words:
                made.append(f"at the prior median {self.named([j])}: {words}" if len(own) > 1
                            else f"at the prior median: {words}")  # fmt: skip
        return made

    @cached_property
    def _median(self) -> dict[str, np.ndarray]:
        return prior_median(self.context)


def _timed(found: Sequence[Judged], text: str) -> str:
    """In units of time where all is in continuous time."""
    if not found or not all(j.continuous for j in found):
        return text
    return in_time(text)


def _short(reason: str) -> str:
    """The first words, for beside the carets."""
    reason = reason.split("; but not for all values allowed ")[-1]
    first = reason.removeprefix("not for all values allowed; ").split("; ")[0]
    return first if len(first) <= 90 else first[:87] + "..."
