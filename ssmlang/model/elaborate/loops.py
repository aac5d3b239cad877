"""Loops: comprehensions, reductions and the ranges they run over.

A loop is elaborated once, with its index as an array of all its values; where the index is needed as a number (a lag, a
size) it is written out instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ssmlang.language import syntax as syn
from ssmlang.language.source import Span
from ssmlang.model import expr
from ssmlang.model.elaborate import values
from ssmlang.model.elaborate.values import NeedsUnroll, Val
from ssmlang.model.expr import Axis, Node

if TYPE_CHECKING:
    from ssmlang.model.elaborate.expressions import Context, Expressions

MAX_LOOP = 100_000
MAX_UNROLLED = 2_000
NEUTRAL = {"sum": 0, "prod": 1}


@dataclass(frozen=True)
class Domain:
    """What an index runs over: labels of an axis, or whole numbers. `until`: only those up to this (a row number);
    `past`: 1..t."""

    numbers: tuple[int, ...]
    axis: Axis | None = None
    until: Val | None = None
    past: bool = False

    def index(self, batch: tuple[str, ...]) -> Val:
        domain = self.axis if self.axis is not None and self.axis.is_named else None
        return Val(expr.const(np.array(self.numbers, int), axes=(self.axis,), domain=domain), batch)

    def single(self, number: int) -> Val:
        domain = self.axis if self.axis is not None and self.axis.is_named else None
        return Val(expr.const(number, domain=domain))


class LoopMixin:
    """The part of `Expressions` that deals with loops."""

    def domain(self: Expressions, loop: syn.Loop, c: Context) -> Domain:  # type: ignore[misc]
        """The values of a loop's index."""
        scope, d = self.scope, loop.domain
        if isinstance(d, syn.Name) and d.id in scope.axes and scope.local(d.id) is None:
            scope.symbols[d.id].used = True
            axis = scope.axes[d.id]
            numbers = range(axis.size) if axis.is_named else axis.labels
            return Domain(tuple(int(n) for n in numbers), axis)
        if not isinstance(d, syn.Range):
            known = isinstance(d, syn.Name) and (d.id in scope.symbols or scope.local(d.id) is not None)
            if isinstance(d, syn.Name) and not known:
                raise scope.unknown(d.id, d.span, what="axis")
            raise scope.error(
                "E214",
                "a loop runs over an axis or a range",
                d.span,
                "this is neither",
                help="write `for i in site` or `for k in 1..3`",
            )
        first = self.static_int(d.first, "the first value of a range")
        if isinstance(d.last, (syn.Name, syn.Binary, syn.Call)) and c.mode in ("transition", "emission"):
            last = self.value(d.last, c)
            if not last.node.is_const:
                return self._past(first, last, d, c)
        last_number = self.static_int(d.last, "the last value of a range")
        if last_number - first >= MAX_LOOP:
            raise scope.error(
                "E215", f"a range of {last_number - first + 1:,} values", d.span, f"more than the {MAX_LOOP:,} allowed"
            )
        return Domain(tuple(range(first, last_number + 1)))

    def _past(self: Expressions, first: int, last: Val, d: syn.Range, c: Context) -> Domain:  # type: ignore[misc]
        """1..t, or first..min(p, t)."""
        node = last.node
        if node.op == "time" and first == 1:
            return Domain((), past=True)
        if node.op == "time":
            raise self.scope.error(
                "E214",
                "a sum over the whole past begins at 1",
                d.first.span,
                f"begins at {first}",
                help="write `for k in 1..t`, and a term of row t beside the sum",
            )
        if node.op == "minimum" and not last.batch:
            constant, row = (node.args[0], node.args[1]) if node.args[0].is_const else (node.args[1], node.args[0])
            if constant.is_const and constant.kind == "int" and expr.varies([row]):
                until = int(constant.value)  # type: ignore[arg-type]
                return Domain(tuple(range(first, until + 1)), until=Val(row))
        raise self.scope.error(
            "E214",
            "a range ends at a number known before any data, at `t`, or at `min(p, t)`",
            d.last.span,
            "cannot be used as the end of a range",
        )

    def fresh(self: Expressions, name: str) -> str:  # type: ignore[misc]
        self._fresh += 1
        return f"{name}#{self._fresh}"

    def comprehension(self: Expressions, e: syn.Comprehension, c: Context) -> Val:  # type: ignore[misc]
        def close(value: Val, variable: str, d: Domain) -> Val:
            return values.close_loop(value, variable, len(d.numbers), d.axis)

        def unrolled(items: Sequence[Val], d: Domain, span: Span) -> Val:
            return values.stack(items, d.axis, self.scope.loops, span)

        return self._loop(e.loops, e.body, c, close, unrolled, None, e.span)

    def reduction(self: Expressions, e: syn.Reduction, c: Context) -> Val:  # type: ignore[misc]
        op = e.function.id
        if op not in ("sum", "prod", "max", "min"):
            raise self.scope.error(
                "E211",
                f"`{op}` does not run over a loop",
                e.function.span,
                "cannot be used so",
                help="sum, prod, max and min do",
            )
        combine = {"sum": "add", "prod": "mul", "max": "maximum", "min": "minimum"}[op]

        def close(value: Val, variable: str, d: Domain) -> Val:
            closed = values.close_loop(value, variable, len(d.numbers), d.axis)
            return values.reduce(op, closed, 0, e.span)

        def unrolled(items: Sequence[Val], d: Domain, span: Span) -> Val:
            result = items[0]
            for item in items[1:]:
                result = values.elementwise(combine, [result, item], self.scope.loops, span)
            return result

        return self._loop(e.loops, e.body, c, close, unrolled, op, e.span)

    def _loop(  # type: ignore[misc]
        self: Expressions,
        loops: Sequence[syn.Loop],
        body: syn.Expr,
        c: Context,
        close: Callable[[Val, str, Domain], Val],
        unrolled: Callable[[Sequence[Val], Domain, Span], Val],
        op: str | None,
        span: Span,
    ) -> Val:
        if not loops:
            return self._number(body, c)
        loop, rest = loops[0], loops[1:]
        inner = lambda: self._loop(rest, body, c, close, unrolled, op, span)
        d = self.domain(loop, c)
        name = loop.variable.id
        if d.past:
            return self._past_sum(loop, inner, op, span)
        if not d.numbers:
            if op in NEUTRAL:
                return Val(expr.const(NEUTRAL[op], span=span))
            raise self.scope.error("E215", "this range is empty", loop.domain.span, "nothing to run over")
        if d.until is None:
            variable = self.fresh(name)
            self.scope.loops.append(variable)
            try:
                with self.scope.bind({name: d.index((variable,))}):
                    return close(inner(), variable, d)
            except NeedsUnroll as need:
                if need.variable != variable:
                    raise
            finally:
                self.scope.loops.remove(variable)
        if len(d.numbers) > MAX_UNROLLED:
            raise self.scope.error("E215", f"a loop of {len(d.numbers):,} lags", span, f"at most {MAX_UNROLLED:,}")
        items = []
        for number in d.numbers:
            with self.scope.bind({name: d.single(number)}):
                items.append(self._guarded(inner, d, number, op, span) if d.until is not None else inner())
        return unrolled(items, d, span)

    def _guarded(  # type: ignore[misc]
        self: Expressions, inner: Callable[[], Val], d: Domain, number: int, op: str | None, span: Span
    ) -> Val:
        """A term of a sum over first..min(p, t): it counts only in rows that have so many before them."""
        assert d.until is not None
        if op not in NEUTRAL:
            raise self.scope.error("E214", "only a sum or a product may run to `min(p, t)`", span, "its size changes")
        guard = self.fresh("guard")
        self._guards.append(guard)
        self._guard_lag[guard] = number
        try:
            term = inner()
        finally:
            self._guards.pop()
        test = values.elementwise("le", [Val(expr.const(number)), d.until], self.scope.loops, span)
        neutral = Val(expr.const(float(NEUTRAL[op])))
        return values.elementwise("where", [test, term, neutral], self.scope.loops, span)

    def _past_sum(  # type: ignore[misc]
        self: Expressions, loop: syn.Loop, inner: Callable[[], Val], op: str | None, span: Span
    ) -> Val:
        if op != "sum":
            raise self.scope.error("E214", "only a sum may run over the whole past", span, "its size changes")
        name = self.fresh(loop.variable.id)
        self.scope.past[loop.variable.id] = name
        index: Node = expr.bound(name, loop.variable.span)
        try:
            with self.scope.bind({loop.variable.id: Val(index)}):
                term = inner()
        finally:
            self.scope.past.pop(loop.variable.id, None)
        return Val(expr.past_sum(name, term.node, span), term.batch)
