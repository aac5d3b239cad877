"""Declarations: constants, axes, shapes, parameters, noises and definitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ssmlang.language import syntax as syn
from ssmlang.language.suggest import suggest
from ssmlang.model import expr
from ssmlang.model.distributions import DISTRIBUTIONS
from ssmlang.model.elaborate import laws
from ssmlang.model.elaborate.expressions import Context, Expressions
from ssmlang.model.elaborate.scope import Problem, Scope, Sort, Symbol
from ssmlang.model.elaborate.values import NeedsUnroll, Val
from ssmlang.model.expr import Axis, Node
from ssmlang.model.model import Definition, Dist, Input, Noise, Parameter, Support, Values

MAX_AXIS = 1_000_000
DECLARING: dict[type, Sort] = {
    syn.Const: "const", syn.Param: "param", syn.Input: "input", syn.State: "state", syn.Noise: "noise", syn.Obs: "obs",
}  # fmt: skip


class Declarations(Expressions):
    """Elaborates what a file declares, in the order in which it is needed."""

    def __init__(self, scope: Scope, constants: Mapping[str, Any], augment: Mapping[str, Any]) -> None:
        super().__init__(scope)
        self.overrides, self.extra_augment = dict(constants), dict(augment)
        self.augmented: dict[str, object] = {}
        self.missing: list[str] = []
        self._constants: dict[str, Node] = {}
        self._domains: dict[str, Values | None] = {}
        self._increments: dict[str, Node] = {}
        self.differential: Symbol | None = None

    # ------------------------------------------------------------------------------------------------- names

    def collect(self, statements: tuple[syn.Statement, ...]) -> None:
        """Enter every declared name."""
        for s in statements:
            sort = DECLARING.get(type(s))
            if sort is not None:
                decls = (s.decl,) if isinstance(s, syn.Const) else s.decls  # type: ignore[attr-defined]
                for d in decls:
                    series = sort in ("input", "state", "noise", "obs")
                    self.scope.declare(Symbol(d.name.id, sort, d.name.span, s, d, series=series))
                    if sort == "param" and (s.augment or d.name.id in self.extra_augment):  # type: ignore[attr-defined]
                        self.augmented[d.name.id] = self.extra_augment.get(d.name.id)
            elif isinstance(s, syn.AxisDecl):
                self.scope.declare(Symbol(s.name.id, "axis", s.name.span, s))
            elif isinstance(s, syn.Def):
                self.scope.declare(Symbol(s.name.id, "def", s.name.span, s))
            elif isinstance(s, (syn.Let, syn.Lift)):
                first = s.target.indices[:1]
                series = bool(first) and isinstance(first[0], syn.Name) and first[0].id == "t"
                sort = "lift" if isinstance(s, syn.Lift) else "let"
                self.scope.declare(Symbol(s.target.name.id, sort, s.target.name.span, s, series=series))
        self._check_overrides()
        for name, walk in self.extra_augment.items():
            self._check_walk(name, walk)

    def _check_walk(self, name: str, walk: object) -> None:
        """`augment={name: walk}`: standard deviations of the steps, or None for a parameter that stays."""
        try:
            steps = np.asarray(0.0 if walk is None else walk, float)
        except (TypeError, ValueError):
            steps = np.asarray(np.nan)
        if not (np.isfinite(steps).all() and (steps >= 0).all()):
            shown = f"augment={{'{name}': {walk!r}}}"
            help = f"the sd of its steps, as in augment={{'{name}': 0.01}}, or None where it stays"
            self.scope.findings.add("E490", f"a walk is a number that is not negative, given {shown}", help=help)
            self.extra_augment[name] = self.augmented[name] = None

    def _check_overrides(self) -> None:
        of_sort = lambda sort: [n for n, s in self.scope.symbols.items() if s.sort == sort]
        for given, sort, noun in ((self.overrides, "const", "constant"), (self.extra_augment, "param", "parameter")):
            for name in given:
                if name not in of_sort(sort):
                    close = suggest(name, of_sort(sort))
                    self.scope.findings.add(
                        "E490", f"the model has no {noun} `{name}`", help=f"did you mean `{close}`?" if close else ()
                    )

    # --------------------------------------------------------------------------------------- axes and constants

    def axis(self, s: syn.AxisDecl) -> None:
        """Enter the labels of an axis."""
        name = s.name.id
        if isinstance(s.labels, syn.LabelSet):
            labels = [label.id for label in s.labels.labels]
            for i, label in enumerate(s.labels.labels):
                if label.id in labels[:i]:
                    raise self.scope.error(
                        "E202", f"label `{label.id}` stands twice in axis `{name}`", label.span, "again here"
                    )
            self.scope.axes[name] = Axis(name, tuple(labels), s.span)
            return
        first = self.static_int(s.labels.first, "the first label of an axis")
        last = self.static_int(s.labels.last, "the last label of an axis")
        if last - first + 1 > MAX_AXIS:
            raise self.scope.error(
                "E215",
                f"axis `{name}` would have {last - first + 1:,} labels",
                s.labels.span,
                f"at most {MAX_AXIS:,} are allowed",
            )
        if last < first:
            raise self.scope.error("E215", f"axis `{name}` is empty", s.labels.span, f"{first}..{last}")
        self.scope.axes[name] = Axis(name, tuple(range(first, last + 1)), s.span)

    def constant(self, symbol: Symbol) -> Node:
        name, statement = symbol.name, symbol.statement
        assert isinstance(statement, syn.Const) and symbol.decl is not None
        if name in self._constants:
            return self._constants[name]
        if name in self._open:
            raise self.scope.error("E206", f"`{name}` is defined by itself", statement.span, "closes the circle")
        self._open.append(name)
        try:
            self.shape(symbol)
            node = self._constant(symbol, statement)
        finally:
            self._open.pop()
        self._constants[name] = node
        return node

    def _constant(self, symbol: Symbol, statement: syn.Const) -> Node:
        name = symbol.name
        if name in self.overrides:
            return self._override(symbol)
        if statement.value is None:
            self.missing.append(name)
            self.scope.findings.add(
                "N222",
                f"constant `{name}` has no value",
                symbol.span,
                "to be given from outside",
                help=f'compile(..., constants={{"{name}": ...}}), or --const {name}=...',
            )
            return expr.param(name, symbol.shape, symbol.axes, symbol.span)
        with self.scope.isolated():
            node = self.value(statement.value, Context("static")).node
        if not symbol.decl.dims:  # type: ignore[union-attr]
            symbol.shape, symbol.axes = node.shape, node.axes
        return self.fitted(node, symbol, statement.value)

    def _override(self, symbol: Symbol) -> Node:
        given = np.asarray(self.overrides[symbol.name])
        decl = symbol.decl
        if given.dtype == object or not np.issubdtype(given.dtype, np.number):
            message = f"constant `{symbol.name}` must be a number or an array of numbers"
            raise self.scope.error("E490", message, symbol.span, "declared here")
        if np.isnan(given).any():
            raise self.scope.error("E490", f"constant `{symbol.name}` is not a number", symbol.span, "given as nan")
        if decl is not None and (decl.dims or given.ndim == 0) and given.shape != symbol.shape:
            message = f"constant `{symbol.name}` has shape {symbol.shape}, given {given.shape}"
            raise self.scope.error("E490", message, symbol.span, "declared here")
        symbol.shape = given.shape
        symbol.axes = symbol.axes if decl is not None and decl.dims else (None,) * given.ndim
        return expr.const(given, axes=symbol.axes, span=symbol.span)

    def fitted(self, node: Node, symbol: Symbol, written: syn.Expr) -> Node:
        """A value broadcast to the declared shape of a name."""
        try:
            return expr.broadcast(node, symbol.shape).with_axes(symbol.axes)
        except expr.ExprError:
            raise self.scope.error(
                "E207", f"`{symbol.name}` has shape {symbol.shape}", written.span, f"this has shape {node.shape}",
                help=f"give it a value of shape {symbol.shape} or a number, or declare `{symbol.name}` "
                     f"{f'with sizes {list(node.shape)}' if node.shape else 'without brackets'}",
            ) from None  # fmt: skip

    def shape(self, symbol: Symbol) -> None:
        """Shape and axes from a declaration's brackets."""
        shape: list[int] = []
        axes: list[Axis | None] = []
        for dim in symbol.decl.dims if symbol.decl else ():
            size, axis = self.dimension(dim)
            shape.append(size)
            axes.append(axis)
        if np.prod(shape, dtype=float) > expr.MAX_ELEMENTS:
            raise self.scope.error(
                "E215",
                f"`{symbol.name}` would have {int(np.prod(shape, dtype=float)):,} entries",
                symbol.span,
                f"at most {expr.MAX_ELEMENTS:,} are allowed",
            )
        symbol.shape, symbol.axes = tuple(shape), tuple(axes)

    def dimension(self, dim: syn.Expr) -> tuple[int, Axis | None]:
        if isinstance(dim, syn.Name):
            if dim.id in self.scope.axes:
                self.scope.symbols[dim.id].used = True
                return self.scope.axes[dim.id].size, self.scope.axes[dim.id]
            if dim.id not in self.scope.symbols:
                raise self.scope.unknown(dim.id, dim.span, what="axis or constant")
            if self.scope.symbols[dim.id].sort == "axis":
                raise Problem  # the axis itself is broken
        size = self.static_int(dim, "a size")
        if not 1 <= size <= expr.MAX_ELEMENTS:
            raise self.scope.error(
                "E215", f"a size of {size:,}", dim.span, f"sizes run from 1 to {expr.MAX_ELEMENTS:,}"
            )
        return size, None

    # -------------------------------------------------------------------------------------------------- values

    def values_of(self, domain: syn.Expr | syn.Range | None, what: str) -> Values | None:
        """`in regime` or `in 0..K`."""
        if domain is None:
            return None
        if isinstance(domain, syn.Range):
            lower = self.static_int(domain.first, "the smallest value")
            endless = isinstance(domain.last, syn.Name) and domain.last.id == "inf"
            upper = None if endless else self.static_int(domain.last, "the largest value")
            if upper is not None and not lower <= upper <= lower + MAX_AXIS:
                raise self.scope.error("E215", "this range is empty or too long", domain.span, f"{lower}..{upper}")
            return Values(None, lower, upper)
        if isinstance(domain, syn.Name) and domain.id in self.scope.axes:
            self.scope.symbols[domain.id].used = True
            axis = self.scope.axes[domain.id]
            ends = (0, axis.size - 1) if axis.is_named else (int(axis.labels[0]), int(axis.labels[-1]))
            return Values(axis, *ends)
        if isinstance(domain, syn.Name) and domain.id not in self.scope.symbols:
            raise self.scope.unknown(domain.id, domain.span, what="axis")
        raise self.scope.error(
            "E214", f"{what} takes the labels of an axis or a range of integers", domain.span, "this is neither"
        )

    def discrete_values(self, symbol: Symbol) -> Values | None:
        if symbol.name not in self._domains:
            statement = symbol.statement
            domain = statement.domain if isinstance(statement, (syn.State, syn.Obs)) else None
            self._domains[symbol.name] = self.values_of(domain, f"`{symbol.name}`")
        return self._domains[symbol.name]

    def let_body(self, symbol: Symbol, statement: syn.Let, c: Context) -> Val:
        indices = statement.target.indices[1:] if symbol.series else statement.target.indices
        value = self._let_loops(statement.loops, statement.value, c)
        dims: list[tuple[int, Axis | None]] = []
        looped = {loop.variable.id: i for i, loop in enumerate(statement.loops)}
        for i in indices:
            if isinstance(i, syn.Name) and i.id in looped:
                at = looped[i.id]
                dims.append((value.shape[at], value.axes[at]))
            else:
                dims.append(self.dimension(i))
        if statement.loops and [i.id for i in indices if isinstance(i, syn.Name)][: len(looped)] != list(looped):
            raise self.scope.error(
                "E204",
                f"`{symbol.name}` needs the indices of its loops, in their order",
                statement.target.span,
                "these do not match",
            )
        if not dims:
            symbol.shape, symbol.axes = value.shape, value.axes
            return value
        symbol.shape, symbol.axes = tuple(d[0] for d in dims), tuple(d[1] for d in dims)
        return Val(self.fitted(value.node, symbol, statement.value))

    def _let_loops(self, loops: tuple[syn.Loop, ...], body: syn.Expr, c: Context) -> Val:
        if not loops:
            return self._number(body, c)
        return self.comprehension(syn.Comprehension(body, loops, span=body.span), c)

    def increment(self, e: syn.Expr, indices: tuple[syn.Expr, ...]) -> Val:
        symbol = self.differential
        assert symbol is not None
        if not indices:
            return Val(expr.ref("increment", "dW", 0, symbol.shape, symbol.axes, span=e.span))
        if len(indices) != 1 or not isinstance(indices[0], syn.Name):
            raise self.scope.error("E208", "`dW[a]` takes one bare name", e.span, "names a shared increment")
        return Val(expr.ref("increment", f"dW[{indices[0].id}]", 0, (), (), span=e.span))

    # ---------------------------------------------------------------------------------------------- parameters

    def parameters(self, s: syn.Param) -> list[Parameter]:
        """The parameters of one statement."""
        return [
            self._parameter_of(s, self.scope.symbols[d.name.id]) for d in s.decls if self.scope.symbols[d.name.id].sound
        ]

    def _parameter_of(self, s: syn.Param, symbol: Symbol) -> Parameter:
        prior = self._prior(s, symbol)
        support = self._support(s, symbol, prior)
        augment = symbol.name in self.augmented
        walk = None
        if s.walk is not None:
            walk = self.fitted(self.value(s.walk, Context("prior")).node, symbol, s.walk)
        elif self.extra_augment.get(symbol.name) is not None:
            given = expr.const(np.asarray(self.extra_augment[symbol.name], float))
            try:
                walk = expr.broadcast(given, symbol.shape)
            except expr.ExprError:
                message = f"the walk of `{symbol.name}` has shape {given.shape}, the parameter {symbol.shape}"
                raise self.scope.error("E490", message, symbol.span, "declared here") from None
        if s.walk is not None and not s.augment:
            raise self.scope.error(
                "E216",
                "`walk` belongs to an augmented parameter",
                s.walk.span,
                "this parameter does not change",
                help="write `augment param ...`",
            )
        if augment and prior is None:
            raise self.scope.error(
                "E218",
                f"augmented parameter `{symbol.name}` needs a prior",
                symbol.span,
                "its first value is drawn from it",
            )
        if prior is None and not augment:
            self.scope.findings.add(
                "W220",
                f"parameter `{symbol.name}` has no prior",
                symbol.span,
                "flat: maximum likelihood only",
                help=laws.with_a_prior(s, symbol.name),
            )
        return Parameter(symbol.name, symbol.shape, symbol.axes, symbol.span, s.doc, prior, support, augment, walk)

    def _prior(self, s: syn.Param, symbol: Symbol) -> Dist | None:
        if s.prior is None:
            return None
        name = laws.special(s.prior)
        if name is not None:
            raise self.scope.error("E213", "this law is for `init` only", s.prior.span, "not a prior")
        law = laws.law(self, s.prior, Context("prior"))
        if law.signature.discrete:
            raise self.scope.error(
                "E218",
                "a parameter is a real number",
                s.prior.span,
                f"`{law.signature.name}` is discrete",
                help="a discrete unknown is a state",
            )
        return laws.fit(self, law, (), symbol.shape, symbol.name)

    def _support(self, s: syn.Param, symbol: Symbol, prior: Dist | None) -> Support:
        signature = DISTRIBUTIONS[prior.name] if prior is not None else None
        if isinstance(s.support, syn.Name):
            if s.support.id != "stationary":
                close = suggest(s.support.id, ["stationary"])
                meant = {"positive": "(0, inf)", "negative": "(-inf, 0)", "real": "(-inf, inf)"}
                raise self.scope.error(
                    "E218",
                    f"unknown support `{s.support.id}`",
                    s.support.span,
                    "not understood",
                    help="did you mean `stationary`?" if close else f"write `in {meant.get(s.support.id, '(0, 1)')}`",
                )
            if not symbol.shape:
                raise self.scope.error(
                    "E218",
                    "`stationary` is for the coefficients of lags, a vector",
                    s.support.span,
                    f"`{symbol.name}` is a single number",
                    help=f"write `param {symbol.name} in (-1, 1)`",
                )
            if signature is not None and (signature.event_ndim or signature.support != "real"):
                raise self.scope.error(
                    "E218",
                    "`stationary` needs a prior on the real line",
                    s.support.span,
                    f"{signature.name} is not one",
                )
            return Support("stationary", declared=True)
        if signature is None and s.support is None:
            return Support("real")
        kind = signature.support if signature is not None else "real"
        if kind in ("simplex", "correlation_cholesky"):
            if s.support is not None:
                raise self.scope.error(
                    "E218",
                    f"an interval does not apply to {signature.name}",  # type: ignore
                    s.support.span,
                    "its support is its own",
                )
            return Support(kind)  # type: ignore[arg-type]
        lower, upper = self._ends(prior, kind)
        if isinstance(s.support, syn.Interval):
            if signature is not None and signature.event_ndim:
                raise self.scope.error(
                    "E218", f"an interval does not apply to {signature.name}", s.support.span, "a law of vectors"
                )
            low = self.value(s.support.lower, Context("prior")).node
            high = self.value(s.support.upper, Context("prior")).node
            for end, e in ((low, s.support.lower), (high, s.support.upper)):
                self.fitted(end, symbol, e)
            if low.is_const and high.is_const and np.any(np.asarray(low.value) >= np.asarray(high.value)):
                raise self.scope.error("E218", "this interval is empty", s.support.span, "its ends are out of order")
            self._check_mass(s, symbol, (low, high), (lower, upper))
            infinite = lambda n, sign: n.is_const and bool(np.all(np.asarray(n.value) == sign * np.inf))
            lower = lower if infinite(low, -1) else low
            upper = upper if infinite(high, 1) else high
            return Support("interval" if lower is not None or upper is not None else "real", lower, upper, True)
        return Support("interval" if lower is not None or upper is not None else "real", lower, upper)

    def _ends(self, prior: Dist | None, kind: str) -> tuple[Node | None, Node | None]:
        """The ends of a prior's own support."""
        if kind == "interval" and prior is not None:
            return prior.args["low"], prior.args["high"]
        fixed = {"positive": (0.0, None), "unit": (0.0, 1.0), "circle": (-np.pi, np.pi)}.get(kind, (None, None))
        return tuple(None if e is None else expr.const(e) for e in fixed)  # type: ignore[return-value]

    def _check_mass(
        self, s: syn.Param, symbol: Symbol, given: tuple[Node, Node], own: tuple[Node | None, Node | None]
    ) -> None:
        """An interval outside the prior's support leaves nothing."""
        low, high = given
        number = lambda n: np.asarray(n.value) if n is not None and n.is_const else None
        lower, upper, own_lower, own_upper = (number(n) for n in (low, high, *own))
        above = own_lower is not None and upper is not None and bool(np.any(upper <= own_lower))
        below = own_upper is not None and lower is not None and bool(np.any(lower >= own_upper))
        if above or below:
            assert s.support is not None
            raise self.scope.error(
                "E218",
                f"the prior of `{symbol.name}` has no mass in this interval",
                s.support.span,
                "outside its support",
            )

    def noise(self, s: syn.Noise, d: syn.Decl) -> Noise:
        """One named noise."""
        symbol = self.scope.symbols[d.name.id]
        law = laws.fit(self, laws.law(self, s.law, Context("prior")), (), symbol.shape, symbol.name)
        return Noise(symbol.name, symbol.shape, symbol.axes, symbol.span, s.doc, law)

    def definition(self, symbol: Symbol) -> Definition:
        """A `let`, as it stands with the results (a series at row t)."""
        mode = "emission" if symbol.series or self.augmented else "prior"
        try:
            node = self.let_value(symbol, Context(mode), symbol.span).node  # type: ignore[arg-type]
        except NeedsUnroll as need:  # pragma: no cover - a loop index never leaves its loop
            raise AssertionError(need) from None
        doc = symbol.statement.doc
        return Definition(symbol.name, symbol.shape, symbol.axes, symbol.span, doc, node, symbol.series)

    def input(self, symbol: Symbol) -> Input:
        return Input(symbol.name, symbol.shape, symbol.axes, symbol.span, symbol.statement.doc)
