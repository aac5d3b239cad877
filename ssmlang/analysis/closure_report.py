"""What is said of a lift: the finding where it closes, where it does not, and of assertions of its stability."""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from ssmlang.analysis.budget import OutOfTime
from ssmlang.analysis.closure_algebra import Element
from ssmlang.analysis.closure_growth import grows_without_end
from ssmlang.analysis.closure_lift import Closure
from ssmlang.analysis.closure_modes import typical
from ssmlang.analysis.closure_noise import noise_of
from ssmlang.analysis.closure_operator import matrix_of, spectrum, spoken
from ssmlang.analysis.closure_outputs import View, observed, start
from ssmlang.analysis.closure_search import Search, search
from ssmlang.analysis.closure_space import Vector, degree
from ssmlang.analysis.closure_stability import Stable, stable
from ssmlang.analysis.closure_words import Words, text
from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Finding, Outcome, asserted
from ssmlang.analysis.scalars import Unsupported
from ssmlang.model.model import Lift

DEGREE = 4
"""Up to this degree (or that of the lift, if higher) functions are looked for that would close a lift."""
MOST_LINES = 12
MOST_LEFT = 4


# ------------------------------------------------------------------------------------------------------- it closes


def proved(context: Context, lift: Lift, closure: Closure, words: Words, line: int) -> list[Finding]:
    """The finding of a lift that closes: K, its eigenvalues, and what noise, start and observations make of it."""
    exact = lift.mode == "exact"
    names = words.functions(closure.functions)
    matrix = matrix_of(closure, words)
    continuous = closure.koopman.continuous
    parts = spectrum(matrix, closure, words)
    verdict = stable(context, parts, closure, words)
    unless = _unless(matrix, context)
    details = rows_of(closure, words, names)
    operator = "the generator" if continuous else "K"
    details.append(f"eigenvalues of {operator}: {spoken(parts, continuous)}; {verdict.said}")
    details += typical(context, matrix, closure)
    details += [f"{names[j]} is a combination of the functions before it: drop it" for j in closure.redundant]
    details += _noise(context, closure, words, names)
    details += start(context.model, closure, words, names)
    view = observed(context, closure, words, names)
    details += view.said
    reason = _reason(closure, lift, len(names))
    if not exact:
        # `fitted` asks for no proof; that there is one is worth saying.
        reason += f"; write `exact` to have its matrix instead of one from least squares (line {line})"
    if closure.rounded:
        reason += ", to the rounding of constants known to 16 digits"
    found = Finding(f"lift {lift.name} {'exact' if exact else 'closes'}", "proved", reason, line, unless=unless,
                    details=tuple(details), asserted=exact)  # fmt: skip
    return [found, *stability(context, lift, closure, verdict), *observability(context, lift, view, len(names))]


def _reason(closure: Closure, lift: Lift, size: int) -> str:
    if closure.koopman.continuous:
        return f"d({lift.name}) = L {lift.name} dt without noise, so that {lift.name}[t] = exp(L dt) {lift.name}[t-1]"
    return f"{lift.name}[t] = K {lift.name}[t-1] without noise, by algebra"


def rows_of(closure: Closure, words: Words, names: Sequence[str]) -> list[str]:
    """K (or the generator) a row a line, as equations between functions."""
    found = []
    lag = 0 if closure.koopman.continuous else 1
    before = words.functions(closure.functions, lag)
    for i, name in enumerate(names[:MOST_LINES]):
        parts = [(words.coefficient(c), before[j]) for j, c in sorted(closure.matrix[i].items())]
        left = f"d({name})/dt" if closure.koopman.continuous else name
        found.append(f"{left} = {words.sum(parts)}")
    if len(names) > MOST_LINES:
        found.append(f"... {len(names) - MOST_LINES} more rows")
    return found


def _unless(matrix: sp.Matrix, context: Context) -> tuple[str, ...]:
    """Where an entry of K has no value."""
    found: dict[str, None] = {}
    for e in matrix:
        denominator = sp.fraction(sp.together(e))[1] if e.is_rational_function() else sp.S.One
        for factor, _ in sp.factor_list(denominator)[1] if not denominator.is_number else []:
            if not (factor.is_positive or factor.is_negative):
                found[f"{text(factor)} = 0"] = None
    return tuple(found)


def _noise(context: Context, closure: Closure, words: Words, names: Sequence[str]) -> list[str]:
    """What noise does to exactness."""
    try:
        noise = noise_of(closure.koopman, closure.functions)
    except Unsupported as trouble:
        return [f"noise: {trouble.reason}, so what it makes of the lift is not worked out"]
    except OutOfTime:
        return ["noise: what it makes of the lift took too long to work out"]
    if all(e == "none" for e in noise.effects):
        return ["noise: none in these functions, so that K holds for every path"]
    if noise.exact:
        enters = [n for n, e in zip(names, noise.effects) if e == "additive"]
        return [f"noise: enters {', '.join(enters)} as it is (Gaussian, the same at every state): the lift stays exact"]
    through = [n for n, e in zip(names, noise.effects) if e == "through the state"]
    found = [f"noise: enters {', '.join(through[:MOST_LEFT])} through the state: a filter in z is the best linear one, "
             "not the exact one"]  # fmt: skip
    for name, shift in zip(names, noise.shifts):
        if shift is not None and shift.terms:
            what = "rate of change" if closure.koopman.continuous else "mean"
            lag = 0 if closure.koopman.continuous else 1
            found.append(f"noise moves the {what} of {name} by {words.whole(shift, lag)}")
    if any(s is None for s in noise.shifts):
        found.append("noise moves some means by what is not worked out")
    elif any(s.terms for s in noise.shifts if s is not None) and not noise.mean_closes:
        found.append("with noise the means no longer close")
    return found[: MOST_LINES // 2]


# --------------------------------------------------------------------------------------------- it does not close


def refuted(context: Context, lift: Lift, closure: Closure, words: Words, line: int) -> list[Finding]:
    """The finding of a lift that does not close: what is left over, and what would close it."""
    names = words.functions(closure.functions)
    reasons = [_left(closure, words, names, i) for i in list(closure.left)[:MOST_LEFT]]
    if len(closure.left) > MOST_LEFT:
        reasons.append(f"and {len(closure.left) - MOST_LEFT} more functions do not close")
    only = _only_where(closure, words, context)
    if only:
        reasons.append(only)
    cure, fix = _cure(context, lift, closure, words, names)
    if cure:
        reasons.append(cure)
    exact = lift.mode == "exact"
    if not exact:
        reasons = [reasons[0], *_fitted(context, lift, names), *([cure] if cure else [])]
    found = Finding(
        f"lift {lift.name} {'exact' if exact else 'closes'}", "refuted", reasons[0], line, details=tuple(reasons[1:]),
        fix=fix, code="E501" if exact else None, asserted=exact, span_of=lift.name,
        headline=f"`{lift.name}` is not closed: {names[next(iter(closure.left))]} leaves it",
        label="is proved to be no exact lift",
    )  # fmt: skip
    return [found, *stability(context, lift, closure, None), *observability(context, lift, None, len(names))]


def _fitted(context: Context, lift: Lift, names: Sequence[str]) -> list[str]:
    """How good the least-squares operator is."""
    from ssmlang.analysis.closure_fitted import fitted, spoken

    context.budget.restart()
    try:
        found = fitted(context, lift)
    except (OutOfTime, Unsupported):
        return []
    return spoken(found, names) if found is not None else []


def _left(closure: Closure, words: Words, names: Sequence[str], i: int) -> str:
    lag = 0 if closure.koopman.continuous else 1
    verb = "changes at the rate" if closure.koopman.continuous else "becomes"
    image = words.whole(closure.images[i], lag)
    rest: Vector = closure.left[i]
    if closure.divided:
        return f"{names[i]} {verb} {image}, which is no combination of the functions"
    functions = sorted(rest, key=lambda t: (degree(t), repr(t)))
    shown = [words.term(t, lag) for t in functions]
    some = ", ".join(shown[:MOST_LEFT]) + (f" and {len(shown) - MOST_LEFT} more" if len(shown) > MOST_LEFT else "")
    left = words.combination(rest, lag)
    are = "is" if len(shown) == 1 else "are"
    if len(image) > 120:
        return f"{names[i]} {verb} a sum in which {some} {are} left over"
    return f"{names[i]} {verb} {image}: {left if len(left) < 80 else some} {are} left over"


def _only_where(closure: Closure, words: Words, context: Context) -> str | None:
    """Parameters at which nothing would be left over, where that is a factor of all of it."""
    coefficients = [words.coefficient(c) for rest in closure.left.values() for c in rest.values()]
    if len(coefficients) > 40 or not all(c.is_rational_function() for c in coefficients):
        return None
    common = sp.S.Zero
    for c in coefficients:
        common = sp.gcd(common, sp.fraction(sp.together(c))[0])
    factors = [f for f, _ in sp.factor_list(common)[1]] if not common.is_number else []
    left = [f for f in factors if not (f.is_nonzero or f.is_positive or f.is_negative)]
    return f"it closes only where {' or '.join(f'{text(f)} = 0' for f in left)}" if left else None


def _cure(context: Context, lift: Lift, closure: Closure, words: Words, names: Sequence[str]
          ) -> tuple[str | None, str | None]:  # fmt: skip
    """What would close it, in words, and a statement that can be pasted."""
    limit = max(DEGREE, *(degree(t) for f in closure.functions for t in f.terms))
    try:
        found = search(closure.koopman, closure.functions, limit)
        if found.added is not None:
            new = [words.function(f) for f in found.added]
            what = "this function closes" if len(new) == 1 else f"these {len(new)} functions close"
            return f"{what} it: {', '.join(new)}", words.statement(lift.name, [*names, *new])
        endless = [names[i] for i in closure.left if grows_without_end(closure.koopman, closure.functions[i])]
        fitted = f"write `fitted` for the least-squares operator of {lift.name}" if lift.mode == "exact" else None
        return nothing_closes(found, words, limit, endless), fitted
    except (OutOfTime, Unsupported):
        return f"whether functions up to degree {limit} would close it took too long to find out", None


def nothing_closes(found: Search, words: Words, limit: int, endless: Sequence[str]) -> str:
    """Why no set of functions was found."""
    if endless:
        return (f"no finite set of functions that holds {endless[0]} closes: "
                f"what {endless[0]} becomes grows in degree without end")  # fmt: skip
    beyond = f" ({_short(words, found.beyond)})" if found.beyond is not None else ""
    return f"nothing up to degree {limit} closes it: {found.reason}{beyond}"


def _short(words: Words, e: Element) -> str:
    try:
        shown = words.function(e)
    except Unsupported:
        return "a function within itself, again and again"
    return shown if len(shown) < 70 else shown[:67] + "..."


# ------------------------------------------------------------------------------------------------------ stability


def stability(context: Context, lift: Lift, closure: Closure | None, verdict: Stable | None) -> list[Finding]:
    """`assert stable(z)` of a lift."""
    found = []
    for name, arguments, line in asserted(context.model, "stable", "stationary"):
        if lift.name not in arguments:
            continue
        if verdict is None:
            reason = f"{lift.name} is not proved to close, so that it has no matrix K"
            found.append(Finding(name, "unknown", reason, line, asserted=True))
        else:
            others = [a for a in arguments if a not in {x.name for x in context.model.lifts}]
            outcome = verdict.verdict
            generator = closure is not None and closure.koopman.continuous
            reason = f"{'the generator' if generator else 'K'} of {lift.name}: {verdict.said}"
            if others and outcome == "proved":
                outcome, reason = "unknown", f"{reason}; of {', '.join(others)} assert it apart"
            fix = verdict.fix if outcome == "refuted" else None
            found.append(Finding(name, outcome, reason, line, asserted=True, details=verdict.details, fix=fix))
    return found


def observability(context: Context, lift: Lift, view: View | None, size: int) -> list[Finding]:
    """`assert observable(z)` of a lift: of its matrices K and C."""
    found = []
    for name, arguments, line in asserted(context.model, "observable", "detectable"):
        if lift.name not in arguments or not set(arguments) <= {x.name for x in context.model.lifts}:
            continue
        outcome: Outcome = "unknown"
        if view is None:
            reason = f"{lift.name} is not proved to close, so that it has no matrix K"
        elif not view.linear:
            reason = view.said[0] if view.said else "the observations are not known to be linear in it"
        elif view.rank == size:
            outcome, reason = "proved", f"(K, C) has rank {size} of {size}, for almost every parameter"
        elif view.lost and name.startswith("observable"):
            outcome = "refuted"
            reason = f"{', '.join(view.lost[:4])} never reach{'es' if len(view.lost) == 1 else ''} the observations"
        else:
            reason = f"(K, C) has rank {view.rank} of {size} at a prior draw"
        refuted = outcome == "refuted" and view is not None
        fix = f"drop {', '.join(view.lost[:4])} from {lift.name}" if refuted and view else None
        found.append(Finding(name, outcome, reason, line, asserted=True, code="E602" if refuted else None, fix=fix))
    return found
