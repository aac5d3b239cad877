"""Indices: labels of an axis, whole numbers, loop indices, values of discrete states."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ssmlang.language import syntax as syn
from ssmlang.language.source import Span
from ssmlang.language.suggest import suggest
from ssmlang.model import expr
from ssmlang.model.elaborate import values
from ssmlang.model.elaborate.scope import NOUN, Problem
from ssmlang.model.elaborate.series import is_row, mentions_t
from ssmlang.model.elaborate.values import Val
from ssmlang.model.expr import Axis

if TYPE_CHECKING:
    from ssmlang.model.elaborate.expressions import Context, Expressions


class IndexMixin:
    """The part of `Expressions` that deals with what stands in square brackets."""

    def _subscript(self: Expressions, e: syn.Subscript, c: Context) -> Val:  # type: ignore[misc]
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
                if c.mode == "sde" and symbol.sort in ("state", "input"):
                    if mentions_t(e.indices[0]):
                        raise self.scope.error(
                            "E209",
                            "a differential equation has no time index",
                            e.indices[0].span,
                            "stands for no row",
                            help=f"write `{target.id}`: its value within the step",
                        )
                    return self.indexed(self.read(symbol, 1, target.span, c), e.indices, e.span, c, symbol.name)
                whole = self.read(symbol, self.lag(e.indices[0], c), e.span, c)
                return self.indexed(whole, e.indices[1:], e.span, c, symbol.name)
            if is_row(e.indices[0]):
                raise self.scope.error(
                    "E209",
                    f"`{target.id}` is {NOUN[symbol.sort]}, not a series",
                    e.span,
                    "it has no rows",
                    help=f"write `{target.id}`",
                )
        name = target.id if isinstance(target, syn.Name) else "this value"
        return self.indexed(self.value(target, c), e.indices, e.span, c, name)

    def indexed(self: Expressions, value: Val, indices: tuple[syn.Expr, ...], span: Span, c: Context, name: str) -> Val:  # type: ignore[misc]
        """`value[i, j]`, each index by the labels of its axis."""
        if not indices:
            return value
        if len(indices) > value.ndim:
            has = "is a single number" if value.ndim == 0 else f"has {value.ndim} dimension(s)"
            raise self.scope.error("E208", f"`{name}` {has}", indices[value.ndim].span, "one index too many")
        positions = [self.position(i, value.axes[d], value.shape[d], c, name) for d, i in enumerate(indices)]
        return values.take(value, positions, self.scope.loops, span)

    def position(self: Expressions, index: syn.Expr, axis: Axis | None, size: int, c: Context, name: str) -> Val:  # type: ignore[misc]
        """The position (from 0) that an index means along a dimension."""
        if axis is not None and isinstance(index, syn.Name):
            label = self.scope.label_position(index.id, axis)
            if label is not None:
                return label.at(index.span)
            known = self.scope.local(index.id) is not None or index.id in self.scope.symbols or index.id == "t"
            if axis.is_named and not known:
                close = suggest(index.id, [str(v) for v in axis.labels])
                raise self.scope.error(
                    "E208",
                    f"axis `{axis.name}` has no label `{index.id}`",
                    index.span,
                    f"its labels: {', '.join(map(str, axis.labels))}",
                    help=f"did you mean `{close}`?" if close else (),
                )
            symbol = None if self.scope.local(index.id) is not None else self.scope.symbols.get(index.id)
            if symbol is not None and symbol.sort == "axis":
                own = self.scope.symbols.get(name)
                entry = f"{name}[{'t, ' if own is not None and (own.series or own.sort != 'param') else ''}i]"
                raise self.scope.error(
                    "E201",
                    f"`{index.id}` is an axis, not a value",
                    index.span,
                    "the whole set of labels",
                    help=f"write `{entry}` with `for i in {index.id}` behind the equation, or leave the index out: "
                    "without it all labels are meant",
                )
        with self.scope.expecting(axis if axis is not None and axis.is_named else None):
            val = self.value(index, c)
        if val.domain is not None:
            if axis is not None and val.domain.name != axis.name:
                raise self.scope.error(
                    "E208",
                    f"`{name}` runs over axis `{axis.name}` here",
                    index.span,
                    f"this is a label of `{val.domain.name}`",
                )
            return val
        if axis is not None and axis.is_named:
            raise self.scope.error(
                "E208",
                f"`{name}` is indexed by the labels of `{axis.name}` here",
                index.span,
                "a number is not one of them",
                help=_picked_by_data(val, axis, name) or f"labels: {', '.join(map(str, axis.labels))}",
            )
        if val.node.kind != "int":
            whole = val.node.is_const and (np.asarray(val.node.value) % 1 == 0).all()
            if not whole:
                raise self.scope.error(
                    "E208",
                    "an index is a whole number or a label",
                    index.span,
                    "this is neither",
                    help=_picked_by_data(val, axis, name),
                )
            val = Val(replace(val.node, value=np.asarray(val.node.value).astype(int), kind="int"), val.batch)
        first = int(axis.labels[0]) if axis is not None and axis.labels else 0
        if val.node.is_const:
            found = np.asarray(val.node.value)
            if found.size and (found.min() < first or found.max() > first + size - 1):
                bad = int(found.min() if found.min() < first else found.max())
                raise self.scope.error(
                    "E208",
                    f"`{name}` has no entry {bad} here",
                    index.span,
                    f"the labels are {first}..{first + size - 1}",
                    help=f"labels from 1 are those of an axis: `axis k = 1..{size}`, then `{name}[k]` where it is "
                    "declared"
                    if axis is None and bad == size and name.isidentifier()
                    else (),
                )
        if not first:
            return val
        return values.elementwise("sub", [val, Val(expr.const(first))], self.scope.loops, index.span)


def _picked_by_data(val: Val, axis: Axis | None, name: str) -> str:
    """What to write where an input is to say which entry is meant."""
    read = next((n for sort, n, _ in expr.references([val.node]) if sort == "input"), None)
    if read is None or axis is None:
        return ""
    return (
        f"declare `input {read}[{axis.name}]`, 1 at the label meant and 0 at the others; `dot({read}[t], {name}[t])` "
        "is then that entry"
    )
