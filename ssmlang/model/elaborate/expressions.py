"""Expressions of the syntax tree to nodes: names, axes, labels, lags, shapes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ssmlang.language import syntax as syn
from ssmlang.language.source import Span
from ssmlang.language.suggest import suggest
from ssmlang.model import expr
from ssmlang.model.distributions import DISTRIBUTIONS
from ssmlang.model.elaborate import values
from ssmlang.model.elaborate.loops import LoopMixin
from ssmlang.model.elaborate.scope import NOUN, SERIES, Problem, Scope, Symbol
from ssmlang.model.elaborate.values import NeedsUnroll, Val
from ssmlang.model.expr import Axis, ExprError

Mode = Literal["static", "prior", "transition", "emission", "init", "sde"]
OPERATORS = {
    "+": "add", "-": "sub", "*": "mul", "/": "div", "^": "pow", "%": "mod", "<": "lt", "<=": "le", ">": "gt",
    ">=": "ge", "==": "eq", "!=": "ne", "and": "and", "or": "or",
}  # fmt: skip
ARITHMETIC = ("+", "-", "*", "/", "^", "%")


@dataclass(frozen=True)
class Context:
    """Where an expression stands: the kind of statement, how many rows a `let` around it is read back (`shift`), the
    row an `init` is for, and the name of a plain `let` or `def` (which may not read series)."""

    mode: Mode
    shift: int = 0
    row: int = 0
    plain: str | None = None


class Expressions(LoopMixin):
    """Elaborates expressions in a scope. Errors become diagnostics and end the statement by `Problem`."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.guarded: set[tuple[str, int]] = set()
        """(state, lag) read only where the row exists, by a sum over 1..min(p, t)."""
        self._guards: list[str] = []
        self._guard_lag: dict[str, int] = {}
        self._fresh = 0
        self._open: list[str] = []
        self._lets: dict[tuple[str, Context], Val] = {}

    # ------------------------------------------------------------------------------------------- entry points

    def value(self, e: syn.Expr, context: Context) -> Val:
        """The value of an expression; shape errors become E207 at the smallest expression that has them."""
        try:
            return self._value(e, context)
        except ExprError as error:
            raise self.scope.error("E207", error.message, e.span, error.label, help=error.help or ()) from None

    def static_int(self, e: syn.Expr, what: str) -> int:
        """A whole number known before any data: sizes, ranges, lags."""
        if isinstance(e, syn.Name) and self.scope.local(e.id) is None and e.id in self.scope.axes:
            self.scope.symbols[e.id].used = True
            return self.scope.axes[e.id].size
        val = self.value(e, Context("static"))
        if val.batch and val.node.is_const:
            raise NeedsUnroll(val.batch[-1])
        if not val.node.is_const or val.shape:
            missing = [p for p in expr.parameters([val.node]) if p in self.scope.symbols]
            hint = f"give `{missing[0]}` a value" if missing else ()
            raise self.scope.error("E214", f"{what} must be a number known before any data", e.span,
                                   "this is not a constant", help=hint)
        number = float(val.node.value)  # type: ignore[arg-type]
        if number != round(number) or not np.isfinite(number):
            raise self.scope.error("E214", f"{what} must be a whole number", e.span, f"this is {number:g}")
        return int(number)

    # ------------------------------------------------------------------------------------------- the dispatch

    def _value(self, e: syn.Expr, c: Context) -> Val:
        match e:
            case syn.Number():
                return Val(expr.const(e.value, span=e.span))
            case syn.Name():
                return self._name(e, c)
            case syn.Unary(op="-"):
                return values.elementwise("neg", [self._number(e.operand, c)], self.scope.loops, e.span)
            case syn.Unary():
                return values.elementwise("not", [self.value(e.operand, c)], self.scope.loops, e.span)
            case syn.Binary():
                return self._binary(e, c)
            case syn.Conditional():
                return self._conditional(e, c)
            case syn.Transpose():
                operand = self.value(e.operand, c)
                return operand if operand.ndim < 2 else Val(expr.transpose(operand.node, e.span), operand.batch)
            case syn.Subscript():
                return self._subscript(e, c)
            case syn.Call():
                return self._call(e, c)
            case syn.Array():
                axis = self.scope.expected[-1] if self.scope.expected else None
                with self.scope.expecting(axis):
                    items = [self._number(i, c) for i in e.items]
                return values.stack(items, None, self.scope.loops, e.span)
            case syn.Comprehension():
                return self.comprehension(e, c)
            case syn.Reduction():
                return self.reduction(e, c)
            case syn.Member():
                raise self.scope.error("E201", f"`{e.span.text}` is not the name of anything", e.span,
                                       "only a part has names inside it")
        raise AssertionError(e)

    def _number(self, e: syn.Expr, c: Context) -> Val:
        """A value for arithmetic: truth values count as 0 and 1; labels do not take part."""
        val = self.value(e, c)
        if val.node.kind == "bool":
            one, zero = expr.const(1), expr.const(0)
            return Val(expr.where(val.node, one, zero, e.span), val.batch)
        return val

    def _binary(self, e: syn.Binary, c: Context) -> Val:
        if e.op == "@":
            return values.matmul(self._number(e.left, c), self._number(e.right, c), self.scope.loops, e.span)
        if e.op in ("==", "!="):
            left, right = self._compared(e, c)
        elif e.op in ("and", "or"):
            left, right = self.value(e.left, c), self.value(e.right, c)
        else:
            left, right = self._number(e.left, c), self._number(e.right, c)
            for side, written in ((left, e.left), (right, e.right)):
                if side.domain is not None:
                    raise self.scope.error("E208", f"a label of axis `{side.domain.name}` is not a number", written.span,
                                           "cannot be calculated with")
        result = values.elementwise(OPERATORS[e.op], [left, right], self.scope.loops, e.span)
        if e.op in ARITHMETIC and result.node.is_const:
            finite = np.isfinite(np.asarray(result.node.value, float)).all()
            if not finite and all(np.isfinite(np.asarray(v.node.value, float)).all() for v in (left, right)):
                raise self.scope.error("E215", "this number is too large or not defined", e.span,
                                       f"evaluates to {np.ravel(result.node.value)[0]}")
        return result

    def _compared(self, e: syn.Binary, c: Context) -> tuple[Val, Val]:
        """Both sides of == and !=, where a label may stand beside a value of its axis."""
        first, second = e.left, e.right
        swapped = isinstance(first, syn.Name) and self.scope.local(first.id) is None and (
            first.id not in self.scope.symbols or self.scope.axis_of_label(first.id) is not None
        )
        if swapped:
            first, second = second, first
        a = self.value(first, c)
        label = None
        if a.domain is not None and isinstance(second, syn.Name):
            label = self.scope.label_position(second.id, a.domain)
            if label is None and self.scope.local(second.id) is None and second.id not in self.scope.symbols:
                close = suggest(second.id, [str(v) for v in a.domain.labels])
                raise self.scope.error("E208", f"axis `{a.domain.name}` has no label `{second.id}`", second.span,
                                       f"its labels: {', '.join(map(str, a.domain.labels))}",
                                       help=f"did you mean `{close}`?" if close else ())
        b = label if label is not None else self.value(second, c)
        return (b, a) if swapped else (a, b)

    def _conditional(self, e: syn.Conditional, c: Context) -> Val:
        test = self.value(e.test, c)
        if test.node.kind != "bool":
            raise self.scope.error("E207", "`if` needs a comparison", e.test.span, "this is a number",
                                   help="write a comparison such as `k > 0`")
        then, otherwise = self.value(e.then, c), self.value(e.otherwise, c)
        return values.elementwise("where", [test, then, otherwise], self.scope.loops, e.span)

    # ------------------------------------------------------------------------------------------------- names

    def _name(self, e: syn.Name, c: Context) -> Val:
        local = self.scope.local(e.id)
        if local is not None:
            return local.at(e.span) if not local.batch else local
        expected = self.scope.expected[-1] if self.scope.expected else None
        if expected is not None and e.id not in self.scope.symbols:
            label = self.scope.label_position(e.id, expected)
            if label is not None:
                return label.at(e.span)
        if e.id == "t":
            if c.mode in ("static", "prior", "init") or c.plain:
                raise self.scope.error("E210", "`t` has no value here", e.span, "there is no row",
                                       help="only equations and series have a row")
            now = expr.time(e.span)
            return Val(expr.sub(now, expr.const(c.shift)) if c.shift else now)
        if e.id in ("pi", "inf"):
            return Val(expr.const(np.pi if e.id == "pi" else np.inf, span=e.span))
        symbol = self.scope.symbols.get(e.id)
        if symbol is None:
            if c.mode == "sde" and e.id == "dW":
                return self.increment(e, ())
            raise self.scope.unknown(e.id, e.span)
        symbol.used = True
        if not symbol.sound:
            raise Problem
        return self._symbol(symbol, e, c)

    def _symbol(self, symbol: Symbol, e: syn.Name, c: Context) -> Val:
        match symbol.sort:
            case "const" | "param":
                return self._parameter(symbol, e.span, c)
            case "let" if not symbol.series:
                return self.let_value(symbol, c, e.span)
            case "axis":
                raise self.scope.error("E201", f"`{e.id}` is an axis, not a value", e.span, "an axis is a set of labels",
                                       help="use it in a declaration or after `in`")
            case "def":
                raise self.scope.error("E211", f"`{e.id}` is a function", e.span, "write its arguments in parentheses")
        if c.mode == "sde" and symbol.sort in ("state", "input"):
            return self.read(symbol, 1, e.span, c)
        if c.mode == "init" and not c.plain:
            return self.read(symbol, -c.row, e.span, c)
        where = f"`{c.plain}`" if c.plain else "a prior" if c.mode == "prior" else "this"
        if c.mode in ("transition", "emission") and not c.plain:
            raise self.scope.error("E209", f"`{e.id}` is {NOUN[symbol.sort]}, a series", e.span, "which row?",
                                   help=f"write `{e.id}[t]` or `{e.id}[t-1]`")
        raise self.scope.error("E216", f"`{e.id}` is {NOUN[symbol.sort]}, a series; {where} has no row", e.span,
                               "cannot be read here")

    def _parameter(self, symbol: Symbol, span: Span, c: Context) -> Val:
        if symbol.sort == "const":
            return Val(self.constant(symbol).at(span))
        if c.mode == "static":
            raise self.scope.error("E214", f"`{symbol.name}` is a parameter, unknown before the data", span,
                                   "a constant is needed here")
        statement = symbol.statement
        if isinstance(statement, syn.Param) and symbol.name in self.augmented:
            if c.mode == "prior":
                raise self.scope.error("E216", f"`{symbol.name}` is an augmented parameter and changes from row to row",
                                       span, "cannot be read in a prior")
            lag = c.shift + (1 if c.mode in ("transition", "sde") else -c.row)
            return Val(expr.augment(symbol.name, lag, symbol.shape, symbol.axes, span))
        return Val(expr.param(symbol.name, symbol.shape, symbol.axes, span))

    augmented: frozenset[str] | dict[str, object] = frozenset()

    def constant(self, symbol: Symbol) -> expr.Node:
        """The value of a constant; declarations provide it."""
        raise NotImplementedError

    def let_value(self, symbol: Symbol, c: Context, span: Span) -> Val:
        """What a `let` stands for where it is used, `c.shift` rows back."""
        statement = symbol.statement
        assert isinstance(statement, syn.Let)
        inner = replace(c, plain=None if symbol.series else (c.plain or symbol.name))
        if (symbol.name, inner) in self._lets:
            return self._lets[symbol.name, inner]
        if symbol.name in self._open:
            raise self.scope.error("E206", f"`{symbol.name}` is defined by itself", span, "closes the circle",
                                   help="a quantity with a memory is a state")
        self._open.append(symbol.name)
        try:
            with self.scope.isolated():
                value = self.let_body(symbol, statement, inner)
        finally:
            self._open.pop()
        self._lets[symbol.name, inner] = value
        return value

    def let_body(self, symbol: Symbol, statement: syn.Let, c: Context) -> Val:
        raise NotImplementedError

    # ------------------------------------------------------------------------------------------------ series

    def read(self, symbol: Symbol, lag: int | str, span: Span, c: Context) -> Val:
        """The value of a series `lag` rows back."""
        scope = self.scope
        if c.plain or c.mode in ("static", "prior"):
            kind = "a `def`" if c.plain and scope.symbols[c.plain].sort == "def" else f"`{c.plain}`"
            where = kind if c.plain else "a prior" if c.mode == "prior" else "a constant"
            hint = f"write `let {c.plain}[t] = ...`" if c.plain and scope.symbols[c.plain].sort == "let" else ()
            raise scope.error("E216", f"`{symbol.name}` is {NOUN[symbol.sort]}, a series; {where} has no row", span,
                              "cannot be read here", help=hint)
        if symbol.sort == "let":
            if isinstance(lag, str):
                raise scope.error("E210", "a definition cannot be summed over the whole past", span,
                                  "write its expression out")
            return self.let_value(symbol, replace(c, shift=lag), span)
        if isinstance(lag, int) and lag < 0:
            raise scope.error("E210", f"`{span.text}` is a value of a later row", span, "the future cannot be read")
        if symbol.sort == "obs" and c.mode == "transition" and lag == 0:
            raise scope.error("E210", f"a transition cannot read `{symbol.name}` of the same row", span,
                              "the observation comes after the state",
                              help=f"read `{symbol.name}[t-1]`, or let the emission read the state")
        if isinstance(lag, int) and self._guards and any(self._guard_lag.get(g) == lag for g in self._guards):
            self.guarded.add((symbol.name, lag))
        values_ = self.discrete_values(symbol)
        kind, domain = ("real", None) if values_ is None else ("int", values_.axis if values_ else None)
        node = expr.ref(symbol.sort, symbol.name, lag, symbol.shape, symbol.axes, kind=kind,  # type: ignore[arg-type]
                        domain=domain if domain is not None and domain.is_named else None, span=span)
        return Val(node)

    def discrete_values(self, symbol: Symbol):  # noqa: ANN201
        """The Values of a discrete state or observation, None for a real one."""
        raise NotImplementedError

    def increment(self, e: syn.Expr, indices: tuple[syn.Expr, ...]) -> Val:
        raise NotImplementedError

    def lag(self, e: syn.Expr, c: Context) -> int | str:
        """How many rows back a time index reads: of `t - 2`, 2; of `t - k` in a sum over the whole past, its name."""
        try:
            rows, constant, past = self._affine_in_t(e)
        except Problem:
            raise
        if rows == 1 and not past:
            return c.shift - constant
        if rows == 1 and list(past.values()) == [-1] and constant == 0 and c.shift == 0:
            return next(iter(past))
        if rows == 0 and not past:
            if c.mode == "init":
                return -constant
            raise self.scope.error("E209", "the first index of a series is its row", e.span, "this is not a row",
                                   help="write the row first: `[t]`, `[t-1]`, `[t, label]`")
        raise self.scope.error("E210", "a row is `t` minus a whole number", e.span, "cannot be understood as a row")

    def _affine_in_t(self, e: syn.Expr) -> tuple[int, int, dict[str, int]]:
        if isinstance(e, syn.Name) and self.scope.local(e.id) is None:
            if e.id == "t":
                return 1, 0, {}
        if isinstance(e, syn.Name) and e.id in self.scope.past:
            return 0, 0, {self.scope.past[e.id]: 1}
        if isinstance(e, syn.Binary) and e.op in ("+", "-"):
            (r1, c1, p1), (r2, c2, p2) = self._affine_in_t(e.left), self._affine_in_t(e.right)
            sign = 1 if e.op == "+" else -1
            past = {k: p1.get(k, 0) + sign * p2.get(k, 0) for k in {*p1, *p2}}
            return r1 + sign * r2, c1 + sign * c2, {k: v for k, v in past.items() if v}
        if isinstance(e, syn.Name) and e.id in self.scope.symbols and self.scope.symbols[e.id].sort in SERIES:
            raise self.scope.error("E209", "the first index of a series is its row", e.span, "this is not a row",
                                   help="write the row first: `[t]`, `[t-1]`, `[t, label]`")
        return 0, self.static_int(e, "a lag"), {}

    # ------------------------------------------------------------------------------------------------ indices

    def _subscript(self, e: syn.Subscript, c: Context) -> Val:
        target = e.value
        if isinstance(target, syn.Name) and self.scope.local(target.id) is None:
            symbol = self.scope.symbols.get(target.id)
            if symbol is None and c.mode == "sde" and target.id == "dW":
                return self.increment(e, e.indices)
            if symbol is None:
                raise self.scope.unknown(target.id, target.span)
            symbol.used = True
            if not symbol.sound:
                raise Problem
            if symbol.series:
                # Only in a differential may a bare index be a label: there the row is understood.
                if c.mode == "sde" and symbol.sort in ("state", "input") and not _mentions_t(e.indices[0]):
                    return self.indexed(self.read(symbol, 1, target.span, c), e.indices, e.span, c, symbol.name)
                whole = self.read(symbol, self.lag(e.indices[0], c), e.span, c)
                return self.indexed(whole, e.indices[1:], e.span, c, symbol.name)
            if _is_row(e.indices[0]):
                raise self.scope.error("E209", f"`{target.id}` is {NOUN[symbol.sort]}, not a series", e.span,
                                       "it has no rows", help=f"write `{target.id}`")
        name = target.id if isinstance(target, syn.Name) else "this value"
        return self.indexed(self.value(target, c), e.indices, e.span, c, name)

    def indexed(self, value: Val, indices: tuple[syn.Expr, ...], span: Span, c: Context, name: str) -> Val:
        """`value[i, j]`, each index by the labels of its axis."""
        if not indices:
            return value
        if len(indices) > value.ndim:
            has = "is a single number" if value.ndim == 0 else f"has {value.ndim} dimension(s)"
            raise self.scope.error("E208", f"`{name}` {has}", indices[value.ndim].span, "one index too many")
        positions = [self.position(i, value.axes[d], value.shape[d], c, name) for d, i in enumerate(indices)]
        return values.take(value, positions, self.scope.loops, span)

    def position(self, index: syn.Expr, axis: Axis | None, size: int, c: Context, name: str) -> Val:
        """The position (from 0) that an index means along a dimension."""
        if axis is not None and isinstance(index, syn.Name):
            label = self.scope.label_position(index.id, axis)
            if label is not None:
                return label.at(index.span)
            known = self.scope.local(index.id) is not None or index.id in self.scope.symbols or index.id == "t"
            if axis.is_named and not known:
                close = suggest(index.id, [str(v) for v in axis.labels])
                raise self.scope.error("E208", f"axis `{axis.name}` has no label `{index.id}`", index.span,
                                       f"its labels: {', '.join(map(str, axis.labels))}",
                                       help=f"did you mean `{close}`?" if close else ())
        with self.scope.expecting(axis if axis is not None and axis.is_named else None):
            val = self.value(index, c)
        if val.domain is not None:
            if axis is not None and val.domain.name != axis.name:
                raise self.scope.error("E208", f"`{name}` runs over axis `{axis.name}` here", index.span,
                                       f"this is a label of `{val.domain.name}`")
            return val
        if axis is not None and axis.is_named:
            raise self.scope.error("E208", f"`{name}` is indexed by the labels of `{axis.name}` here", index.span,
                                   "a number is not one of them", help=f"labels: {', '.join(map(str, axis.labels))}")
        if val.node.kind != "int":
            whole = val.node.is_const and (np.asarray(val.node.value) % 1 == 0).all()
            if not whole:
                raise self.scope.error("E208", "an index is a whole number or a label", index.span,
                                       "this is neither")
            val = Val(replace(val.node, value=np.asarray(val.node.value).astype(int), kind="int"), val.batch)
        first = int(axis.labels[0]) if axis is not None and axis.labels else 0
        if val.node.is_const:
            found = np.asarray(val.node.value)
            if found.size and (found.min() < first or found.max() > first + size - 1):
                bad = int(found.min() if found.min() < first else found.max())
                raise self.scope.error("E208", f"`{name}` has no entry {bad} here", index.span,
                                       f"the labels are {first}..{first + size - 1}")
        if not first:
            return val
        return values.elementwise("sub", [val, Val(expr.const(first))], self.scope.loops, index.span)

    # -------------------------------------------------------------------------------------------------- calls

    def _call(self, e: syn.Call, c: Context) -> Val:
        from ssmlang.model.elaborate.functions import FUNCTIONS, call_builtin

        if not isinstance(e.function, syn.Name):
            raise self.scope.error("E211", "only functions are called", e.function.span, "this is not a function")
        name = e.function.id
        symbol = self.scope.symbols.get(name)
        if symbol is not None and symbol.sort == "def":
            symbol.used = True
            for argument in e.arguments:
                if argument.name is not None:
                    raise self.scope.error("E211", f"`{name}` takes its arguments by position", argument.span,
                                           "a name is not understood here")
            return self.apply(symbol, [self.value(a.value, c) for a in e.arguments], e.span, c)
        if name in FUNCTIONS:
            return call_builtin(self, e, c)
        if name in DISTRIBUTIONS or name in ("Diffuse", "Stationary"):
            raise self.scope.error("E213", f"`{name}` is a law, not a number", e.span, "a number is needed here",
                                   help="a law stands after `~`")
        if symbol is not None:
            raise self.scope.error("E211", f"`{name}` is {NOUN[symbol.sort]}, not a function", e.function.span,
                                   "cannot be called")
        defs = [n for n, s in self.scope.symbols.items() if s.sort == "def"]
        close = suggest(name, [*FUNCTIONS, *defs])
        raise self.scope.error("E211", f"unknown function `{name}`", e.function.span, "no function of this name",
                               help=f"did you mean `{close}`?" if close else ())

    def apply(self, symbol: Symbol, arguments: list[Val], span: Span, c: Context) -> Val:
        """A user's function on values."""
        statement = symbol.statement
        assert isinstance(statement, syn.Def)
        if len(arguments) != len(statement.params):
            raise self.scope.error("E211", f"`{symbol.name}` takes {len(statement.params)} argument(s)", span,
                                   f"{len(arguments)} given")
        if symbol.name in self._open:
            raise self.scope.error("E206", f"`{symbol.name}` calls itself", span, "closes the circle")
        self._open.append(symbol.name)
        scope, kept = self.scope, (self.scope.locals, self.scope.past)
        scope.locals, scope.past = [{p.id: a for p, a in zip(statement.params, arguments)}], {}
        try:
            return self.value(statement.body, replace(c, plain=symbol.name))
        finally:
            scope.locals, scope.past = kept
            self._open.pop()


def _is_row(e: syn.Expr) -> bool:
    """`t` or `t - something`."""
    return (isinstance(e, syn.Name) and e.id == "t") or (
        isinstance(e, syn.Binary) and e.op in ("+", "-") and isinstance(e.left, syn.Name) and e.left.id == "t"
    )


def _mentions_t(e: syn.Expr) -> bool:
    return _is_row(e) or (isinstance(e, syn.Binary) and (_mentions_t(e.left) or _mentions_t(e.right)))
