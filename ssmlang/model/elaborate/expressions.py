"""Expressions of the syntax tree to nodes: names, axes, labels, lags, shapes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ssmlang.language import syntax as syn
from ssmlang.language.source import Span
from ssmlang.language.suggest import respelt, suggest
from ssmlang.model import expr
from ssmlang.model.distributions import DISTRIBUTIONS
from ssmlang.model.elaborate import foreign, values
from ssmlang.model.elaborate.indexing import IndexMixin
from ssmlang.model.elaborate.loops import LoopMixin
from ssmlang.model.elaborate.scope import NOUN, Problem, Scope, Symbol
from ssmlang.model.elaborate.series import SeriesMixin
from ssmlang.model.elaborate.values import NeedsUnroll, Val
from ssmlang.model.expr import ExprError

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


class Expressions(LoopMixin, SeriesMixin, IndexMixin, ABC):
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
            if missing:
                p = missing[0]
                raise self.scope.error(
                    "E214", f"{what} depends on `{p}`, a constant without a value", e.span, f"needs {p}",
                    help=f'compile(..., constants={{"{p}": ...}}), or --const {p}=...',
                )  # fmt: skip
            raise self.scope.error(
                "E214", f"{what} must be a number known before any data", e.span, "this is not a constant"
            )
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
                raise self.scope.error(
                    "E201", f"`{e.span.text}` is not the name of anything", e.span, "only a part has names inside it"
                )
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
                    raise self.scope.error(
                        "E208",
                        f"a label of axis `{side.domain.name}` is not a number",
                        written.span,
                        "cannot be calculated with",
                    )
        result = values.elementwise(OPERATORS[e.op], [left, right], self.scope.loops, e.span)
        if e.op in ARITHMETIC and result.node.is_const:
            finite = np.isfinite(np.asarray(result.node.value, float)).all()
            if not finite and all(np.isfinite(np.asarray(v.node.value, float)).all() for v in (left, right)):
                raise self.scope.error(
                    "E215",
                    "this number is too large or not defined",
                    e.span,
                    f"evaluates to {np.asarray(result.node.value).flat[0]}",
                )
        return result

    def _compared(self, e: syn.Binary, c: Context) -> tuple[Val, Val]:
        """Both sides of == and !=, where a label may stand beside a value of its axis."""
        first, second = e.left, e.right
        swapped = (
            isinstance(first, syn.Name)
            and self.scope.local(first.id) is None
            and (first.id not in self.scope.symbols or self.scope.axis_of_label(first.id) is not None)
        )
        if swapped:
            first, second = second, first
        a = self.value(first, c)
        label = None
        if a.domain is not None and isinstance(second, syn.Name):
            label = self.scope.label_position(second.id, a.domain)
            if label is None and self.scope.local(second.id) is None and second.id not in self.scope.symbols:
                close = suggest(second.id, [str(v) for v in a.domain.labels])
                raise self.scope.error(
                    "E208",
                    f"axis `{a.domain.name}` has no label `{second.id}`",
                    second.span,
                    f"its labels: {', '.join(map(str, a.domain.labels))}",
                    help=f"did you mean `{close}`?" if close else (),
                )
        b = label if label is not None else self.value(second, c)
        return (b, a) if swapped else (a, b)

    def _conditional(self, e: syn.Conditional, c: Context) -> Val:
        test = self.value(e.test, c)
        if test.node.kind != "bool":
            raise self.scope.error(
                "E207",
                "`if` needs a comparison",
                e.test.span,
                "this is a number",
                help="write a comparison such as `k > 0`",
            )
        then, otherwise = (self._branch(x, test, holds, c) for x, holds in ((e.then, True), (e.otherwise, False)))
        if then is None or otherwise is None:
            return then or otherwise  # type: ignore[return-value]
        return values.elementwise("where", [test, then, otherwise], self.scope.loops, e.span)

    def _branch(self, e: syn.Expr, test: Val, holds: bool, c: Context) -> Val | None:
        """One side of a choice; None for the side not chosen, where that is known and it reads off the end of an axis
        (`if i > 1 then x[t-1, i-1] else 0`)."""
        if not test.node.is_const:
            return self.value(e, c)
        kept = self.scope.findings.mark()
        try:
            return self.value(e, c)
        except Problem:
            if (
                any(d.code != "E208" for d in self.scope.findings.items[kept:])
                or len(self.scope.findings.items) == kept
            ):
                raise
            if test.batch:
                self.scope.findings.rewind(kept)
                raise NeedsUnroll(test.batch[-1]) from None
            if bool(test.node.value) == holds:
                raise
            self.scope.findings.rewind(kept)
            return None

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
                raise self.scope.error(
                    "E210",
                    "`t` has no value here",
                    e.span,
                    "there is no row",
                    help=f"write `let {c.plain}[t] = ...`, and `{c.plain}[t]` where it is read"
                    if c.plain and self.scope.symbols[c.plain].sort == "let"
                    else "only equations and series have a row",
                )
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
                raise self.scope.error(
                    "E201",
                    f"`{e.id}` is an axis, not a value",
                    e.span,
                    "an axis is a set of labels",
                    help="use it in a declaration or after `in`",
                )
            case "def":
                raise self.scope.error("E211", f"`{e.id}` is a function", e.span, "write its arguments in parentheses")
        if c.mode == "sde" and symbol.sort in ("state", "input"):
            return self.read(symbol, 1, e.span, c)
        if c.mode == "init" and not c.plain:
            return self.read(symbol, -c.row, e.span, c)
        where = f"`{c.plain}`" if c.plain else "the law of a parameter or a noise" if c.mode == "prior" else "this"
        if c.mode in ("transition", "emission") and not c.plain:
            raise self.scope.error(
                "E209",
                f"`{e.id}` is {NOUN[symbol.sort]}, a series",
                e.span,
                "which row?",
                help=f"write `{e.id}[t]` or `{e.id}[t-1]`",
            )
        raise self.scope.error(
            "E216", f"`{e.id}` is {NOUN[symbol.sort]}, a series; {where} has no row", e.span, "cannot be read here"
        )

    def _parameter(self, symbol: Symbol, span: Span, c: Context) -> Val:
        if symbol.sort == "const":
            return Val(self.constant(symbol).at(span))
        if c.mode == "static":
            raise self.scope.error(
                "E214", f"`{symbol.name}` is a parameter, unknown before the data", span, "a constant is needed here"
            )
        statement = symbol.statement
        if isinstance(statement, syn.Param) and symbol.name in self.augmented:
            if c.mode == "prior":
                raise self.scope.error(
                    "E216",
                    f"`{symbol.name}` is an augmented parameter and changes from row to row",
                    span,
                    "cannot be read in a prior",
                )
            lag = c.shift + (1 if c.mode in ("transition", "sde") else -c.row)
            return Val(expr.augment(symbol.name, lag, symbol.shape, symbol.axes, span))
        return Val(expr.param(symbol.name, symbol.shape, symbol.axes, span))

    augmented: frozenset[str] | dict[str, object] = frozenset()

    @abstractmethod
    def constant(self, symbol: Symbol) -> expr.Node:
        """The value of a constant; declarations provide it."""

    def let_value(self, symbol: Symbol, c: Context, span: Span) -> Val:
        """What a `let` stands for where it is used, `c.shift` rows back."""
        statement = symbol.statement
        assert isinstance(statement, syn.Let)
        inner = replace(c, plain=None if symbol.series else (c.plain or symbol.name))
        if (symbol.name, inner) in self._lets:
            return self._lets[symbol.name, inner]
        if symbol.name in self._open:
            raise self.scope.error(
                "E206",
                f"`{symbol.name}` is defined by itself",
                span,
                "closes the circle",
                help="a quantity with a memory is a state",
            )
        self._open.append(symbol.name)
        try:
            with self.scope.isolated():
                value = self.let_body(symbol, statement, inner)
        finally:
            self._open.pop()
        self._lets[symbol.name, inner] = value
        return value

    @abstractmethod
    def let_body(self, symbol: Symbol, statement: syn.Let, c: Context) -> Val:
        """The value of a `let`; declarations provide it."""

    # -------------------------------------------------------------------------------------------------- calls

    def _call(self, e: syn.Call, c: Context) -> Val:
        from ssmlang.model.elaborate.functions import FUNCTIONS, call_builtin

        if not isinstance(e.function, syn.Name):
            raise self.scope.error("E211", "only functions are called", e.function.span, "this is not a function")
        name = e.function.id
        if name.startswith("_."):
            raise Problem  # expansion has complained of it
        symbol = self.scope.symbols.get(name)
        if symbol is not None and symbol.sort == "def":
            symbol.used = True
            for argument in e.arguments:
                if argument.name is not None:
                    raise self.scope.error(
                        "E211",
                        f"`{name}` takes its arguments by position",
                        argument.span,
                        "a name is not understood here",
                    )
            return self.apply(symbol, [self.value(a.value, c) for a in e.arguments], e.span, c)
        if name in FUNCTIONS:
            return call_builtin(self, e, c)
        if name in DISTRIBUTIONS or name in ("Diffuse", "Stationary"):
            raise self.scope.error(
                "E213",
                f"`{name}` is a law, not a number",
                e.span,
                "a number is needed here",
                help="a law stands after `~`",
            )
        if symbol is not None:
            raise self.scope.error(
                "E211", f"`{name}` is {NOUN[symbol.sort]}, not a function", e.function.span, "cannot be called"
            )
        defs = [n for n, s in self.scope.symbols.items() if s.sort == "def"]
        close = suggest(name, [*FUNCTIONS, *defs])
        hint = foreign.function_named(name) or (f"did you mean `{close}`?" if close else ())
        raise self.scope.error(
            "E211",
            f"unknown function `{name}`",
            e.function.span,
            "no function of this name",
            help=hint,
            fix=foreign.renamed(e.function.span, name) or respelt(e.function.span, name, [*FUNCTIONS, *defs]),
        )

    def apply(self, symbol: Symbol, arguments: list[Val], span: Span, c: Context) -> Val:
        """A user's function on values."""
        statement = symbol.statement
        assert isinstance(statement, syn.Def)
        if len(arguments) != len(statement.params):
            raise self.scope.error(
                "E211", f"`{symbol.name}` takes {len(statement.params)} argument(s)", span, f"{len(arguments)} given"
            )
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
