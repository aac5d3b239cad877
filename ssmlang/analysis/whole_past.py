"""States that read their whole past: what the weights of x[t] = sum of w(k) x[t-k] for k in 1..t say of stability.

With c(0) = 1 and c(k) = -w(k), x is its noise through 1 / c(z). Two forms of weights are recognised, by the quotient of
neighbours, a rational function of k:

- w(k+1) / w(k) = r: c(z) = (1 - (r + w(1)) z) / (1 - r z), the root of a state of one lag.
- w(k+1) / w(k) = r (k - d) / (k + 1) and w(1) = d r: c(z) = (1 - r z)^d, fractional differencing (Granger and Joyeux
  1980, Hosking 1981). For r = 1 or -1 the variance is finite iff d < 1/2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ssmlang.analysis.algebra import sp
from ssmlang.analysis.context import Context
from ssmlang.analysis.findings import Finding
from ssmlang.analysis.stability_analysis import analyse
from ssmlang.analysis.stability_blocks import Dynamics
from ssmlang.analysis.stability_claims import Claims
from ssmlang.analysis.stability_domain import Domain
from ssmlang.analysis.stability_modes import figure
from ssmlang.analysis.stability_words import written
from ssmlang.analysis.symbolic import TooLarge
from ssmlang.analysis.values import Unreadable, one
from ssmlang.model import expr
from ssmlang.model.expr import Node
from ssmlang.model.linear import LinearForm

DRAWS = 20
ROWS = 200
HALF = sp.Rational(1, 2)
CLOSE = 1e-9


class Unrecognised(Exception):
    """Weights of no known form; the reason in a few words."""


@dataclass(frozen=True)
class Weights:
    """Of one entry of the states: the expression of its own weights in `k`, and the node that they come from."""

    entry: int
    node: Node
    k: sp.Symbol
    value: sp.Expr

    def numbers(self, params: Mapping[str, np.ndarray], rows: int) -> np.ndarray:
        """(rows,): w(1), ..., w(rows) at a point. Raises Unreadable."""
        order = list(expr.walk([self.node]))
        found = []
        for k in range(1, rows + 1):
            done: dict[int, np.ndarray] = {}
            for n in order:
                bound, args = n.op == "bound", [done[id(a)] for a in n.args]
                done[id(n)] = np.asarray(float(k)) if bound else one(n, args, params, None, None)
            found.append(float(done[id(self.node)].reshape(())))
        return np.array(found)

    @property
    def quotient(self) -> sp.Expr:
        """w(k+1) / w(k), a rational function of k. Raises Unrecognised."""
        found = sp.S.One
        for factor in sp.Mul.make_args(self.value):
            found *= _quotient(factor, self.k)
        return sp.cancel(found)


@dataclass(frozen=True)
class Form:
    """c(z) = (1 - rate z)^order; or, where `order` is None, with the one root `rate`."""

    rate: sp.Expr
    order: sp.Expr | None


def weights(context: Context) -> dict[int, Weights | str]:
    """By entry of the states that read their whole past, the weights; or why there are none of their own."""
    form = context.form
    assert isinstance(form, LinearForm)
    found: dict[int, Weights | str] = {}
    for (kind, lag), m in form.transition.terms.items():
        if kind != "past":
            continue
        for i, j, at in zip(m.rows, m.cols, range(m.nnz)):
            row, column = int(i), int(j)
            if row != column or lag:
                found[row] = "it reads the whole past of another state"
            elif row not in found:
                node = expr.reshape(_entry(m.values, at), ())
                found[row] = _read(context, row, node)
    for (kind, lag), m in form.transition.terms.items():
        if kind == "x" and lag:
            for i in m.rows:
                if int(i) in found:
                    found[int(i)] = "it reads some rows in a way of their own, beside its whole past"
    return found


def _entry(values: Node, at: int) -> Node:
    return expr.index(expr.reshape(values, (values.size,)), [expr.const(at)])


def _read(context: Context, entry: int, node: Node) -> Weights | str:
    if any(n.op == "time" or (n.op == "ref" and n.attrs[0] in ("input", "obs")) for n in expr.walk([node])):
        return "its weights change with the row"
    try:
        value = sp.sympify(context.translate(node).reshape(-1)[0])
    except (TooLarge, KeyError) as trouble:
        return f"its weights hold {trouble}"
    bound = {str(n.attrs[0]).split("#")[0] for n in expr.walk([node]) if n.op == "bound"}
    own = [s for s in value.free_symbols if s.is_integer and str(s) in bound]
    k = own[0] if own else sp.Symbol("k", integer=True, positive=True)
    return Weights(entry, node, k, value)


def recognised(w: Weights) -> Form:
    """The form of the weights. Raises Unrecognised."""
    q, first = w.quotient, w.value.subs(w.k, 1)
    if not q.has(w.k):
        return Form(sp.simplify(q + first), None)
    rate = sp.limit(q, w.k, sp.oo)
    if rate == 0 or rate.has(sp.oo, sp.nan, sp.zoo):
        raise Unrecognised("the quotient of its weights has no limit other than zero")
    order = sp.simplify(w.k - q * (w.k + 1) / rate)
    if order.has(w.k):
        raise Unrecognised("its weights are neither geometric nor those of fractional differencing")
    return Form(rate, order)


def _quotient(factor: sp.Expr, k: sp.Symbol) -> sp.Expr:
    """f(k+1) / f(k) of one factor."""
    if not factor.has(k):
        return sp.S.One
    if factor.is_polynomial(k):
        return factor.subs(k, k + 1) / factor
    base, exponent = factor.as_base_exp()
    if isinstance(factor, sp.exp):
        return sp.Mul(*(_of_exponent(term, k) for term in sp.Add.make_args(sp.expand(factor.args[0]))))
    if not exponent.has(k) and exponent.is_integer:
        if isinstance(base, sp.gamma):
            return _shifted(base.args[0], k) ** exponent
        return _quotient(base, k) ** exponent if base != factor else _fail(factor)
    if not base.has(k) and sp.diff(exponent, k, 2) == 0:
        return base ** sp.diff(exponent, k)
    return _fail(factor)


def _of_exponent(term: sp.Expr, k: sp.Symbol) -> sp.Expr:
    if not term.has(k):
        return sp.S.One
    times, rest = term.as_independent(k)
    if isinstance(rest, sp.loggamma) and times.is_integer:
        return _shifted(rest.args[0], k) ** times
    if rest == k:
        return sp.exp(times)
    if isinstance(rest, sp.log) and times.is_integer:
        return _quotient(rest.args[0], k) ** times
    return _fail(term)


def _shifted(argument: sp.Expr, k: sp.Symbol) -> sp.Expr:
    """gamma(a + 1) / gamma(a) for an argument that grows by one."""
    return argument if sp.expand(argument.subs(k, k + 1) - argument) == 1 else _fail(argument)


def _fail(what: sp.Expr) -> sp.Expr:
    del what
    raise Unrecognised("its weights are neither geometric nor those of fractional differencing")


# ------------------------------------------------------------------------------------------------- findings


def stable(context: Context) -> dict[str, Finding]:
    """By entry of the states that read their whole past: whether the variance stays finite."""
    assert isinstance(context.form, LinearForm)
    series = {**context.model.states, **context.model.observations}
    names = [n for name in context.form.stacking.x for n in series[name].entry_names()]
    return {names[entry]: _finding(context, names[entry], w) for entry, w in weights(context).items()}


def _finding(context: Context, name: str, w: Weights | str) -> Finding:
    text, line = f"stable({name})", context.line_of(name)
    if isinstance(w, str):
        return Finding(text, "unknown", w, line)
    try:
        form = recognised(w)
        wrong = _differs(context, w, form)
    except Unrecognised as trouble:
        return Finding(text, "unknown", f"{trouble}{_numerically(context, w)}", line)
    except Unreadable as trouble:
        return Finding(text, "unknown", f"its weights read {trouble}", line)
    if wrong:
        return Finding(text, "unknown", f"its weights are not those of a known form from the first on"
                                        f"{_numerically(context, w)}", line)  # fmt: skip
    if form.order is None:
        return _of_one_root(context, name, form.rate)
    return _of_order(context, text, line, form.rate, form.order)


def _differs(context: Context, w: Weights, form: Form) -> bool:
    """Whether the response to a shock is not that of the form, at draws from the prior."""
    for draw in context.draws(5):
        at = context.at(draw)
        found = response(w.numbers(draw, 40))
        rate = complex(form.rate.subs(at)).real
        if form.order is None:
            # The response is w(1) rate^(k-1) from the first row on.
            expected = np.concatenate([[1.0], found[1] * rate ** np.arange(40)])
        else:
            d = complex(form.order.subs(at)).real
            steps = (np.arange(40) + d) / (np.arange(40) + 1) * rate
            expected = np.concatenate([[1.0], np.cumprod(steps)])
        if not np.allclose(found, expected, rtol=CLOSE, atol=CLOSE):
            return True
    return False


def response(w: np.ndarray) -> np.ndarray:
    """(len(w) + 1,): what a shock of one is in its own row and in each later one."""
    found = np.zeros(len(w) + 1)
    found[0] = 1.0
    for t in range(1, len(found)):
        found[t] = w[:t] @ found[t - 1 :: -1]
    return found


def _of_one_root(context: Context, name: str, rate: sp.Expr) -> Finding:
    """As a state of one lag."""
    s = context.supports
    domain = Domain(s.intervals, s.stationary, s.simplexes)
    found = analyse(Dynamics((name,), {1: {(0, 0): rate}}), domain, context.budget)
    f = Claims(context, found).plain(list(found.judged))
    return replace(f, details=("its weights are geometric: it moves like a state of one lag", *f.details))


def _of_order(context: Context, text: str, line: int | None, rate: sp.Expr, d: sp.Expr) -> Finding:
    inside = _below(context, sp.Abs(rate), sp.S.One)
    kernel = f"(1 {'+' if rate == -1 else '-'} {'' if rate in (1, -1) else _shown(rate) + ' '}z)^{_bracketed(d)}"
    lead = f"1 - sum of its weights is {kernel}"
    if rate not in (1, -1):
        if inside:
            return Finding(text, "proved", f"{lead}, |{_shown(rate)}| < 1: a shock dies out geometrically", line)
        return Finding(text, "unknown", f"{lead}; whether |{written(rate)}| < 1 is not known", line)
    what = "fractional differencing" if rate == 1 else "fractional differencing at the period of 2 rows"
    if _below(context, d, HALF):
        power = figure(float(d) - 1) if d.is_number else f"({written(d - 1)})"
        forgets = (f"it remembers for long: of a shock, about k^{power} is left after k rows",)
        return Finding(text, "proved", f"{lead}, {what} of order {_shown(d)} < 1/2: its variance stays finite", line,
                       details=forgets)  # fmt: skip
    if d.is_number:
        grows = "like the logarithm of t" if d == HALF else f"like t^{figure(2 * float(d) - 1)}"
        return Finding(text, "refuted", f"{lead}, {what} of order {_shown(d)} >= 1/2: its variance grows {grows}", line)
    draws = context.draws(200)
    above = [v for v in (float(d.subs(context.at(p))) for p in draws) if v >= 0.5]
    if above:
        return Finding(text, "refuted", f"stable iff {written(d)} < 1/2: {lead}, {what}; at {written(d)} = "
                                        f"{figure(max(above))} its variance grows without end", line,
                       details=(f"stable with prior probability {1 - len(above) / len(draws):.2g}",),
                       fix=f"declare a support with {written(d)} < 1/2, as in `in (0, 0.5)`")  # fmt: skip
    return Finding(text, "unknown", f"stable iff {written(d)} < 1/2, which all of {len(draws)} prior draws are", line)


def _shown(d: sp.Expr) -> str:
    return figure(float(d)) if d.is_number else written(d)


def _bracketed(d: sp.Expr) -> str:
    own = _shown(d)
    return own if d.is_Symbol or (d.is_number and d > 0) else f"({own})"


def _below(context: Context, e: sp.Expr, bound: sp.Expr) -> bool:
    """Whether an expression is at most a number for all values allowed (below it, where ends are open)."""
    if e.is_number:
        return bool(e < bound)
    if isinstance(e, sp.Abs):
        return _below(context, e.args[0], bound) and _below(context, -e.args[0], bound)
    times, rest = e.as_independent(*e.free_symbols, as_Add=False)
    ends = context.supports.intervals.get(rest)
    if ends is None or any(not x.is_number for x in ends):
        return False
    end = ends[1] if times > 0 else ends[0]
    return bool(end.is_finite) and bool(times * end <= bound)


def _numerically(context: Context, w: Weights) -> str:
    """What is left of a shock after many rows, at draws from the prior."""
    left = []
    for draw in context.draws(DRAWS):
        try:
            left.append(abs(response(w.numbers(draw, ROWS))[-1]))
        except Unreadable:
            return ""
    if not left or not np.isfinite(left).all():
        return f"; numerically a shock grows without bound within {ROWS} rows at some prior draw"
    return (f"; numerically between {figure(min(left))} and {figure(max(left))} of a shock is left after {ROWS} rows, "
            f"at {len(left)} prior draws")  # fmt: skip

