"""Series: which row an index means, and what may be read where."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING

from ssmlang.language import syntax as syn
from ssmlang.language.source import Span
from ssmlang.model import expr
from ssmlang.model.elaborate.scope import NOUN, SERIES, Symbol
from ssmlang.model.elaborate.values import Val

if TYPE_CHECKING:
    from ssmlang.model.elaborate.expressions import Context, Expressions
    from ssmlang.model.model import Values

MAX_LAG = 1_000


class SeriesMixin:
    """The part of `Expressions` that deals with series and their rows."""

    def read(self: Expressions, symbol: Symbol, lag: int | str, span: Span, c: Context) -> Val:  # type: ignore[misc]
        """The value of a series `lag` rows back."""
        scope = self.scope
        if c.plain or c.mode in ("static", "prior"):
            kind = "a `def`" if c.plain and scope.symbols[c.plain].sort == "def" else f"`{c.plain}`"
            where = kind if c.plain else "the law of a parameter or a noise" if c.mode == "prior" else "a constant"
            hint = f"write `let {c.plain}[t] = ...`" if c.plain and scope.symbols[c.plain].sort == "let" else ()
            raise scope.error(
                "E216",
                f"`{symbol.name}` is {NOUN[symbol.sort]}, a series; {where} has no row",
                span,
                "cannot be read here",
                help=hint,
            )
        if symbol.sort == "let":
            if isinstance(lag, str):
                raise scope.error(
                    "E210", "a definition cannot be summed over the whole past", span, "write its expression out"
                )
            return self.let_value(symbol, replace(c, shift=lag), span)
        if isinstance(lag, int) and lag < 0:
            raise scope.error("E210", f"`{span.text}` is a value of a later row", span, "the future cannot be read")
        if isinstance(lag, int) and lag > MAX_LAG:
            raise scope.error("E215", f"a lag of {lag:,} rows", span, f"at most {MAX_LAG:,} are allowed")
        if symbol.sort == "obs" and c.mode == "transition" and lag == 0:
            raise scope.error(
                "E210",
                f"a transition cannot read `{symbol.name}` of the same row",
                span,
                "the observation comes after the state",
                help=f"read `{symbol.name}[t-1]`, or let the emission read the state",
            )
        if isinstance(lag, int) and self._guards and any(self._guard_lag.get(g) == lag for g in self._guards):
            self.guarded.add((symbol.name, lag))
        values_ = self.discrete_values(symbol)
        kind, domain = ("real", None) if values_ is None else ("int", values_.axis if values_ else None)
        node = expr.ref(
            symbol.sort,
            symbol.name,
            lag,
            symbol.shape,
            symbol.axes,
            kind=kind,  # type: ignore[arg-type]
            domain=domain if domain is not None and domain.is_named else None,
            span=span,
        )
        return Val(node)

    @abstractmethod
    def discrete_values(self, symbol: Symbol) -> Values | None:
        """The Values of a discrete state or observation, None for a real one."""

    @abstractmethod
    def increment(self, e: syn.Expr, indices: tuple[syn.Expr, ...]) -> Val:
        """`dW` or `dW[a]` of a differential equation."""

    def lag(self: Expressions, e: syn.Expr, c: Context) -> int | str:  # type: ignore[misc]
        """How many rows back a time index reads: of `t - 2`, 2; of `t - k` in a sum over the whole past, its name."""
        rows, constant, past = self._affine_in_t(e)
        if rows == 1 and not past:
            return c.shift - constant
        if rows == 1 and list(past.values()) == [-1] and constant == 0 and c.shift == 0:
            return next(iter(past))
        if rows == 0 and not past:
            if c.mode == "init":
                return -constant
            raise self.scope.error(
                "E209",
                "the first index of a series is its row",
                e.span,
                "this is not a row",
                help="write the row first: `[t]`, `[t-1]`, `[t, label]`",
            )
        raise self.scope.error("E210", "a row is `t` minus a whole number", e.span, "cannot be understood as a row")

    def _affine_in_t(self: Expressions, e: syn.Expr) -> tuple[int, int, dict[str, int]]:  # type: ignore[misc]
        if isinstance(e, syn.Name) and e.id == "t":
            return 1, 0, {}
        if isinstance(e, syn.Name) and e.id in self.scope.past:
            return 0, 0, {self.scope.past[e.id]: 1}
        if isinstance(e, syn.Binary) and e.op in ("+", "-"):
            (r1, c1, p1), (r2, c2, p2) = self._affine_in_t(e.left), self._affine_in_t(e.right)
            sign = 1 if e.op == "+" else -1
            past = {k: p1.get(k, 0) + sign * p2.get(k, 0) for k in {*p1, *p2}}
            return r1 + sign * r2, c1 + sign * c2, {k: v for k, v in past.items() if v}
        if isinstance(e, syn.Name) and e.id in self.scope.symbols and self.scope.symbols[e.id].sort in SERIES:
            raise self.scope.error(
                "E209",
                "the first index of a series is its row",
                e.span,
                "this is not a row",
                help="write the row first: `[t]`, `[t-1]`, `[t, label]`",
            )
        if mentions_t(e):
            raise self.scope.error("E210", "a row is `t` minus a whole number", e.span, "cannot be understood as a row")
        return 0, self.static_int(e, "a lag"), {}


def is_row(e: syn.Expr) -> bool:
    """`t` or `t - something`."""
    return (isinstance(e, syn.Name) and e.id == "t") or (
        isinstance(e, syn.Binary) and e.op in ("+", "-") and isinstance(e.left, syn.Name) and e.left.id == "t"
    )


def mentions_t(e: syn.Expr) -> bool:
    if isinstance(e, syn.Binary):
        return mentions_t(e.left) or mentions_t(e.right)
    return (isinstance(e, syn.Name) and e.id == "t") or (isinstance(e, syn.Unary) and mentions_t(e.operand))
