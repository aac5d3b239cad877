"""Whether the prior makes sense before any inference: laws that exist, intervals it believes in, paths of a sane size.

The prior-predictive check (Gabry et al. 2019, J. R. Statist. Soc. A 182) as a lint: it speaks only where it is
off by orders of magnitude.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ssmlang.analysis.budget import OutOfTime
from ssmlang.analysis.context import Context
from ssmlang.analysis.draws import law
from ssmlang.analysis.findings import Finding
from ssmlang.analysis.identifiability_words import listed
from ssmlang.analysis.prior_paths import Left, NotDrawn, paths
from ssmlang.analysis.values import Unreadable, evaluate
from ssmlang.model import expr
from ssmlang.model.distributions import DISTRIBUTIONS
from ssmlang.model.linear import LinearForm
from ssmlang.model.model import Dist, Parameter

Array = np.ndarray
ROWS = 60
"""Rows of a path where the data's length is not known, and at most."""
PATHS, FEWEST = 24, 8
SECONDS = 0.2
SUPPORT_DRAWS = 200
OUTSIDE = 0.005
"""Share of the prior outside of what an argument may be, from which on it is said."""
TAIL = 1e-3
GROWTH, OFTEN = 1e4, 0.1
"""A path explodes that grows so many times from its first quarter to its last; said where so many draws do."""
STABLE = "keep the coefficients of the state where it is stable (`in stationary`, an interval)"
TAME = "narrow the priors of what lets it grow; an equation in `rk4` or `euler` may want smaller steps"
APART = 30.0
"""Times that the scale of simulated observations is away from that of the data."""
MOST_ENTRIES = 400


def check(context: Context) -> list[Finding]:
    """Findings of what is wrong; one that nothing is, where everything was looked at."""
    if not any(p.prior is not None for p in context.model.parameters.values()):
        return []
    found = [*_arguments(context), *_tails(context)]
    if any(not f.property.startswith("prior interval") for f in found):
        return found  # laws that do not exist have no paths
    try:
        simulated = simulate(context)
    except (NotDrawn, Unreadable, OutOfTime, KeyError) as trouble:
        reason = str(trouble) if not isinstance(trouble, KeyError) else "reads what is not given"
        return found or [Finding("prior sense", "unknown", f"not simulated here: {reason}")]
    found += [*_leaving(context, simulated), *_explosions(context, simulated), *_scales(context, simulated)]
    return found or [_fine(context, simulated)]


# ------------------------------------------------------------------------------------------ arguments and intervals


def _arguments(context: Context) -> Iterator[Finding]:
    """Arguments of laws, of parameters alone, that the prior puts where the law does not exist."""
    model = context.model
    laws: list[tuple[str, Dist]] = [(e.targets[0].name, e.law) for e in model.equations if e.law is not None]
    laws += [(n.name, n.law) for n in model.noises.values() if n.law is not None]
    laws += [(f"init {i.targets[0].name}", i.law) for i in model.initials if i.law is not None]
    told: set[str] = set()
    for owner, one in laws:
        signature = DISTRIBUTIONS[one.name]
        for argument, node in one.args.items():
            wanted = signature.argument_support[argument]
            if wanted not in ("positive", "unit") or not expr.parameters([node]) or node.size > MOST_ENTRIES:
                continue
            if wanted == "positive" and _declared_positive(context, node):
                continue
            draws = context.draws(SUPPORT_DRAWS, 3)
            try:
                values = np.array([evaluate(node, d) for d in draws])
            except Unreadable:
                continue
            outside = ~(values > 0) if wanted == "positive" else ~((values >= 0) & (values <= 1))
            share = _exactly(context, node, wanted)
            about = "" if share is not None else "about "
            share = float(outside.reshape(len(draws), -1).any(axis=1).mean()) if share is None else share
            names = sorted(expr.parameters([node]) - told)
            if share > OUTSIDE and names:
                told |= set(names)
                yield _outside(context, owner, one, argument, wanted, f"{about}{share:.0%}", names)


def _declared_positive(context: Context, node: expr.Node) -> bool:
    """Whether an expression is a parameter that its support keeps positive, and nothing else."""
    name = _alone(node)
    if name is None:
        return False
    low = context.model.parameters[name].support.lower
    return low is not None and low.value is not None and bool((np.asarray(low.value) >= 0).all())


def _alone(node: expr.Node) -> str | None:
    """The parameter that an expression is, its entries rearranged at most."""
    while node.op in ("broadcast", "reshape", "index", "transpose"):
        node = node.args[0]
    return node.attrs[0] if node.op == "param" else None


def _exactly(context: Context, node: expr.Node, wanted: str) -> float | None:
    """The share of the prior outside, where the expression is a parameter that is one number, with a known CDF."""
    p = context.model.parameters.get(_alone(node) or "")
    if p is None or p.size != 1:
        return None
    inside = _between(p, 0.0, np.inf if wanted == "positive" else 1.0)
    own = _mass(p) if p.support.declared else 1.0
    return None if inside is None or not own else max(1 - inside / own, 0.0)


def _outside(context: Context, owner: str, one: Dist, argument: str, wanted: str, share: str, names: list[str]
             ) -> Finding:  # fmt: skip
    what = "positive" if wanted == "positive" else "between 0 and 1"
    interval = "(0, inf)" if wanted == "positive" else "(0, 1)"
    if len(names) == 1:
        prior = context.model.parameters[names[0]].prior
        half = f", or a prior that is {what}" if prior is not None else ""
        fix = f"declare `param {names[0]} in {interval}`{half}"
    else:
        fix = f"make the {argument} of {owner} {what}, as by exp(...)" if wanted == "positive" else (
            f"make the {argument} of {owner} lie between 0 and 1, as by sigmoid(...)")  # fmt: skip
    return Finding(
        f"prior support: {listed(names)}", "refuted",
        f"the {argument} of {owner} must be {what}; {share} of the prior is not",
        context.line_of(names[0]), fix=fix, code="W632", span_of=names[0],
        headline=f"the prior of {listed(names)} has mass where {one.name} does not exist",
        label=f"{argument} of {owner}",
    )  # fmt: skip


def _tails(context: Context) -> Iterator[Finding]:
    """Declared intervals in which the prior has next to no mass."""
    for p in context.model.parameters.values():
        mass = _mass(p)
        if mass is not None and mass < TAIL:
            yield Finding(
                f"prior interval: {p.name}", "refuted",
                f"the prior gives its own interval a mass of {mass:.1g}: what is left of it is the edge of a tail",
                context.line_of(p.name), fix=f"give {p.name} a prior that lies in its interval", code="W633",
                span_of=p.name, headline=f"the prior of {p.name} hardly knows its interval",
            )  # fmt: skip


def _mass(p: Parameter) -> float | None:
    """The least share of a prior that lies in its declared interval; None where that is not known."""
    return _between(p, -np.inf, np.inf) if p.support.declared else None


def _between(p: Parameter, least: float, most: float) -> float | None:
    """The least share of a prior, as it is written, between two numbers and within the declared interval."""
    if p.prior is None or not DISTRIBUTIONS[p.prior.name].has_cdf:
        return None
    try:
        args = {k: np.asarray(evaluate(v, {}), float) for k, v in p.prior.args.items()}
        lower, upper = (np.asarray(evaluate(n, {}) if n is not None else other, float)
                        for n, other in ((p.support.lower, -np.inf), (p.support.upper, np.inf)))  # fmt: skip
    except (Unreadable, KeyError):
        return None
    ends = np.maximum(lower, least), np.minimum(upper, most)
    cdf = law(p.prior.name, args)[0]
    with np.errstate(all="ignore"):
        below, above = (np.asarray(np.where(np.isinf(x), far, cdf(np.where(np.isinf(x), 0.0, x))), float)
                        for x, far in zip(ends, (0.0, 1.0)))  # fmt: skip
        return float(np.min(above - below))


# ------------------------------------------------------------------------------------------------------- simulation


@dataclass(frozen=True)
class Simulated:
    """Paths of the observations from the prior, by name (draws, rows, entries), and the draws they are of."""

    paths: Mapping[str, Array]
    draws: int
    rows: int
    left: Mapping[Left, Array]
    """For each argument that leaves what its law takes, the draws in which it does"""


def simulate(context: Context) -> Simulated:
    """Prior-predictive paths within the time there is. Raises NotDrawn, Unreadable or OutOfTime."""
    model = context.model
    data = context.data[0] if context.data else None
    rows = min(context.rows or ROWS, ROWS)
    if model.inputs and data is None:
        raise NotDrawn(f"{listed(list(model.inputs))} must be given")
    inputs = {k: np.asarray(v, float) for k, v in data.inputs.items()} if data is not None else {}
    start = 0.0
    if data is not None:
        seen = np.concatenate([np.asarray(v, float).reshape(-1) for v in data.observations.values()] or [np.zeros(0)])
        start = float(np.nanmedian(seen)) if np.isfinite(seen).any() else 0.0
    random = np.random.default_rng(5)
    collected: dict[str, list[Array]] = {n: [] for n in model.observations}
    left: dict[Left, list[int]] = {}
    done = 0
    limit = context.budget.left - min(SECONDS, context.budget.left)
    for draw in context.draws(PATHS, 4):
        gone: set[Left] = set()
        one = paths(model, draw, rows, random, inputs, start, gone)
        for which in gone:
            left.setdefault(which, []).append(done)
        for name, values in one.items():
            collected[name].append(values.reshape(rows, -1))
        done += 1
        if context.budget.left < limit and done >= FEWEST:
            break
        context.budget.check()
    return Simulated({n: np.stack(v) for n, v in collected.items()}, done, rows,
                     {which: np.array(at) for which, at in left.items()})  # fmt: skip


def _leaving(context: Context, simulated: Simulated) -> Iterator[Finding]:
    """Arguments that are fine at first and leave what their law takes on the way, as a state wanders below zero."""
    for (owner, name, argument), draws in simulated.left.items():
        share = len(draws) / simulated.draws
        if share < OFTEN:
            continue
        unit = DISTRIBUTIONS[name].argument_support[argument] == "unit"
        what, mend = ("between 0 and 1", "sigmoid(...)") if unit else ("positive", "exp(...)")
        who = f"the {'probability' if argument == 'probs' else argument} of {owner}"
        yield Finding(
            f"prior support: {argument} of {owner}", "refuted",
            f"{who} must be {what}; in {share:.0%} of {simulated.draws} paths from the prior it is not, "
            f"within {simulated.rows} rows", context.line_of(owner), code="W632", span_of=owner,
            headline=f"{who} goes where {name} does not exist", fix=f"keep {who} {what}, as by {mend}",
        )  # fmt: skip


def _explosions(context: Context, simulated: Simulated) -> Iterator[Finding]:
    quarter = max(simulated.rows // 4, 1)
    for name, values in simulated.paths.items():
        size = np.abs(values)
        usable = np.isfinite(size).any(axis=(1, 2)) & np.isfinite(size[:, :quarter]).any(axis=(1, 2))
        with np.errstate(all="ignore"):
            early = np.max(np.where(np.isfinite(size[:, :quarter]), size[:, :quarter], 0), axis=(1, 2))
            late = np.max(np.where(np.isnan(size[:, -quarter:]), np.inf, size[:, -quarter:]), axis=(1, 2))
            usable[[k for draws in simulated.left.values() for k in draws]] = False
            grown = usable & (late > GROWTH * np.maximum(early, 1e-12)) & (late > GROWTH)
        share = float(grown.mean())
        if share > OFTEN:
            finite = late[grown & np.isfinite(late)]
            far = f", to {np.median(finite):.1g} in the middle one" if len(finite) else ", beyond what numbers can hold"
            yield Finding(
                f"prior paths of {name}", "refuted",
                f"{share:.0%} of {simulated.draws} paths from the prior explode within {simulated.rows} rows{far}",
                context.line_of(name), code="W630", span_of=name,
                headline=f"under the prior {name} explodes",
                fix=STABLE if isinstance(context.form, LinearForm) else TAME,
            )  # fmt: skip


def _scales(context: Context, simulated: Simulated) -> Iterator[Finding]:
    """The spread and the place of the data against those of the paths."""
    if not context.data:
        return
    for name, values in simulated.paths.items():
        columns = [np.asarray(d.observations[name], float).reshape(d.steps, -1) for d in context.data]
        seen = np.concatenate([c.reshape(-1) for c in columns])
        seen = seen[np.isfinite(seen)]
        if len(seen) < 3 or context.model.observations[name].values is not None:
            continue
        with np.errstate(all="ignore"):
            flat = values.reshape(len(values), -1)
            spread = np.nanstd(np.where(np.isfinite(flat), flat, np.nan), axis=1)
            place = np.nanmedian(np.where(np.isfinite(flat), flat, np.nan), axis=1)
        spread, place = spread[np.isfinite(spread)], place[np.isfinite(place)]
        if len(spread) < FEWEST:
            continue
        own, middle = float(seen.std()), float(np.median(seen))
        low, high = np.quantile(spread, [0.05, 0.95])
        if own > 0 and (low > APART * own or high * APART < own):
            sense = "wider" if low > own else "narrower"
            times = np.median(spread) / own if low > own else own / max(float(np.median(spread)), 1e-300)
            said = f"the sd of {name} is {low:.2g} to {high:.2g} in nine prior draws of ten, and {own:.2g} in the data"
            yield _apart(context, name, said, f"{_times(times)} {sense} under the prior than the data")
            continue
        nearest = np.min(np.abs(place - middle))
        if nearest > APART * max(float(np.max(spread)), own):
            yield _apart(context, name, f"under the prior {name} lies about {np.median(place):.3g}, "
                         f"give or take {np.median(spread):.2g}; the data about {middle:.3g}",
                         "elsewhere under the prior than the data")  # fmt: skip


def _times(x: float) -> str:
    return f"{x:,.0f} times" if x < 1e6 else f"{x:.0e} times"


def _apart(context: Context, name: str, reason: str, what: str) -> Finding:
    scales = _by_size(context)
    details = (f"prior medians of what is a scale: {scales}",) if scales else ()
    return Finding(
        f"prior scale of {name}", "refuted", reason, context.line_of(name), code="W631", span_of=name, details=details,
        headline=f"{name} is {what}",
        fix="give the scales priors of the data's size, or bring the data to the model's unit",
    )  # fmt: skip


def _by_size(context: Context) -> str:
    """Parameters that are a scale by themselves, with the median of their prior."""
    found: dict[str, float] = {}
    model = context.model
    laws = [e.law for e in model.equations if e.law is not None] + [n.law for n in model.noises.values() if n.law]
    draws = context.draws(SUPPORT_DRAWS, 3)
    for one in laws:
        node = one.args.get("scale")
        if node is not None:
            for name in expr.parameters([node]):
                found[name] = float(np.median([np.median(d[name]) for d in draws]))
    ordered = sorted(found.items(), key=lambda kv: -kv[1])[:4]
    return ", ".join(f"{n} {v:.2g}" for n, v in ordered)


def digits_apart(low: float, high: float) -> int:
    """So many digits, three or more, that two numbers differ in the last two of them: 100021 to 100066."""
    size, gap = max(abs(low), abs(high)), high - low
    return 3 if gap <= 0 or size <= 0 else int(np.clip(np.ceil(np.log10(size / gap)) + 2, 3, 12))


def _fine(context: Context, simulated: Simulated) -> Finding:
    shown = []
    for name, values in list(simulated.paths.items())[:4]:
        with np.errstate(all="ignore"):
            finite = values[np.isfinite(values)]
        if len(finite):
            low, high = np.quantile(finite, [0.05, 0.95])
            digits = digits_apart(low, high)
            shown.append(f"{name} {low:.{digits}g} to {high:.{digits}g}")
    said = "; ".join(shown)
    return Finding("prior sense", "proved", f"nine simulated values in ten: {said}" if said else "paths are finite",
                   details=(f"{simulated.draws} paths of {simulated.rows} rows drawn from the prior",))  # fmt: skip
