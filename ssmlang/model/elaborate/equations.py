"""Equations, initial laws, differentials, lifts and assertions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ssmlang.language import syntax as syn
from ssmlang.language.suggest import respelt, suggest
from ssmlang.model import expr
from ssmlang.model.elaborate import laws, values
from ssmlang.model.elaborate.declarations import Declarations
from ssmlang.model.elaborate.expressions import Context
from ssmlang.model.elaborate.fixes import as_law, at_row_t, fitting
from ssmlang.model.elaborate.guards import guarded_by_row
from ssmlang.model.elaborate.loops import MAX_UNROLLED
from ssmlang.model.elaborate.scope import NOUN, Problem, Symbol
from ssmlang.model.elaborate.series import is_row
from ssmlang.model.elaborate.values import NeedsUnroll, Val
from ssmlang.model.expr import Node
from ssmlang.model.model import (
    Assertion,
    Dist,
    Equation,
    InitialEquation,
    InitialTarget,
    Lift,
    StochasticDifferential,
    Target,
)

PROPERTIES = ("stable", "observable", "identifiable", "unit_root", "detectable", "stationary")


class Equations(Declarations):
    """Elaborates what the statements say of the series."""

    def _over(
        self,
        loops: Sequence[syn.Loop],
        body: Callable[[tuple[str, ...]], None],
        made: list,
        batch: tuple[str, ...] = (),
    ) -> None:
        """Run `body` for an equation's loops: once with indices as arrays, or written out where numbers are needed."""
        if not loops:
            body(batch)
            return
        loop = loops[0]
        d = self.domain(loop, Context("static"))
        variable, name, before = self.fresh(loop.variable.id), loop.variable.id, len(made)
        self.scope.loops.append(variable)
        try:
            with self.scope.bind({name: d.index((variable,))}):
                self._over(loops[1:], body, made, (*batch, variable))
            return
        except NeedsUnroll as need:
            if need.variable != variable:
                raise
            del made[before:]
        finally:
            self.scope.loops.remove(variable)
        if len(d.numbers) > MAX_UNROLLED:
            raise self.scope.error(
                "E215",
                f"{len(d.numbers):,} equations, one for each label",
                loop.span,
                f"at most {MAX_UNROLLED:,} can be written out",
            )
        for number in d.numbers:
            with self.scope.bind({name: d.single(number)}):
                self._over(loops[1:], body, made, batch)

    # ----------------------------------------------------------------------------------------------- equations

    def equation(self, s: syn.Equation) -> list[Equation]:
        """The equations of one statement; several where its loops had to be written out."""
        made: list[Equation] = []
        symbols = [self._left(t, s) for t in s.targets]
        if len({x.sort for x in symbols}) > 1:
            raise self.scope.error(
                "E204", "states and observations do not share an equation", s.span, "these are of both kinds"
            )
        role = "transition" if symbols[0].sort == "state" else "emission"

        def one(batch: tuple[str, ...]) -> None:
            if s.joint and batch:
                raise NeedsUnroll(batch[-1])
            self.guarded = set()
            context = Context(role)  # type: ignore[arg-type]
            entries = [self._entries(x, t.indices[1:], t, batch) for x, t in zip(symbols, s.targets)]
            targets = tuple(Target(x.name, tuple(int(i) for i in e.ravel())) for x, e in zip(symbols, entries))
            shape = (sum(e.size for e in entries),) if s.joint else entries[0].shape
            law, value = self._right(s.relation, s.value, symbols, batch, shape, s.targets[0], context)
            guarded = frozenset(self.guarded | guarded_by_row(law, value))
            made.append(Equation(role, targets, s.span, law, value, guarded))  # type: ignore[arg-type]

        self._over(s.loops, one, made)
        return made

    def _left(self, target: syn.Target, s: syn.Statement) -> Symbol:
        """The series that an equation gives, at row t."""
        name = target.name.id
        symbol = self.scope.symbols.get(name)
        if symbol is None and name in self.scope.broken:
            raise Problem
        if symbol is None:
            states = [n for n, x in self.scope.symbols.items() if x.sort in ("state", "obs")]
            close = suggest(name, states)
            raise self.scope.error(
                "E201",
                f"`{name}` is not declared",
                target.name.span,
                "neither state nor observation",
                help=f"did you mean `{close}`?" if close else f"add `state {name}` or `obs {name}`",
                fix=respelt(target.name.span, name, states),
            )
        if symbol.sort not in ("state", "obs"):
            hint = "its law stands at its declaration" if symbol.sort in ("param", "noise") else ()
            raise self.scope.error(
                "E204",
                f"`{name}` is {NOUN[symbol.sort]}; an equation gives a state or an observation",
                target.span,
                "cannot be given here",
                help=hint,
            )
        symbol.used = True
        first = target.indices[0] if target.indices else None
        if not (isinstance(first, syn.Name) and first.id == "t"):
            label = "which row?" if first is None else "not row t"
            raise self.scope.error(
                "E210",
                f"an equation gives `{name}[t]`, the value of row t",
                target.span,
                label,
                help=f"write `{name}[t]` on the left, and the past on the right; a value at the "
                f"start is `init {name} ...`",
                fix=at_row_t(target) if first is None else None,
            )
        return symbol

    def _entries(
        self, symbol: Symbol, indices: tuple[syn.Expr, ...], target: syn.Target, batch: tuple[str, ...]
    ) -> np.ndarray:
        """C-order positions of the entries that a left side names: one leading dimension a loop, then the rest."""
        size = int(np.prod(symbol.shape, dtype=int))
        whole = Val(expr.const(np.arange(size).reshape(symbol.shape), axes=symbol.axes))
        picked = self.indexed(whole, indices, target.span, Context("static"), symbol.name)
        missing = [b for b in batch if b not in picked.batch]
        if missing:
            name = missing[0].split("#")[0]
            raise self.scope.error(
                "E204",
                f"the left side does not depend on `{name}`",
                target.span,
                "would be given several times",
                help=f"write `{name}` as an index on the left",
            )
        if not picked.node.is_const:
            raise self.scope.error(
                "E208", "an index on the left is a label or a loop's index", target.span, "not known before the data"
            )
        return np.asarray(values.spread(picked, batch).value)

    def _right(
        self,
        relation: str,
        e: syn.Expr,
        symbols: Sequence[Symbol],
        batch: tuple[str, ...],
        shape: tuple[int, ...],
        target: syn.Target,
        context: Context,
    ) -> tuple[Dist | None, Node | None]:
        what = target.span.text if len(symbols) == 1 else f"({', '.join(x.name for x in symbols)})"
        if relation == "~":
            law = laws.law(self, e, context)
            self._check_kind(symbols[0], law, e)
            self._check_categories(symbols[0], law)
            return laws.fit(self, law, batch, shape, what), None
        if laws.special(e) is not None or (
            isinstance(e, syn.Call)
            and isinstance(e.function, syn.Name)
            and e.function.id in laws.DISTRIBUTIONS
            and e.function.id not in self.scope.symbols
        ):
            raise self.scope.error(
                "E213",
                "a law stands after `~`, an exact value after `=`",
                e.span,
                "this is a law",
                help=f"write `{'init ' if context.mode == 'init' else ''}{what} ~ {e.span.text}`",
                fix=as_law(target, e),
            )
        discrete = self.discrete_values(symbols[0])
        with self.scope.expecting(discrete.axis if discrete is not None else None):
            val = self._number(e, context)
        node = values.spread(val, batch, len(shape) - len(batch))
        try:
            return None, expr.broadcast(node, shape)
        except expr.ExprError:
            raise self.scope.error(
                "E207", f"`{what}` has shape {shape[len(batch) :]}", e.span, f"this has shape {val.shape}",
                help=fitting(shape[len(batch) :]),
            ) from None  # fmt: skip

    def _check_kind(self, symbol: Symbol, law: laws.Law, e: syn.Expr) -> None:
        """Discrete laws for discrete states, continuous for real ones; observations may have either."""
        known = self.discrete_values(symbol)
        discrete = known is not None
        if symbol.sort == "state" and discrete != law.signature.discrete:
            kind, other = ("discrete", "continuous") if discrete else ("real", "discrete")
            hint = () if discrete else f"declare its values: `state {symbol.name} in 0..K`"
            raise self.scope.error(
                "E213", f"state `{symbol.name}` is {kind}", e.span, f"`{law.signature.name}` is {other}", help=hint
            )
        if symbol.sort == "obs" and discrete and not law.signature.discrete:
            raise self.scope.error(
                "E213", f"observation `{symbol.name}` is discrete", e.span, f"`{law.signature.name}` is continuous"
            )
        if known is not None and known.axis is not None and law.signature.support == "nonnegative_integer":
            raise self.scope.error("E213", f"the values of `{symbol.name}` are labels of `{known.axis.name}`", e.span,
                                   f"`{law.signature.name}` gives counts without end")  # fmt: skip

    def _check_categories(self, symbol: Symbol, law: laws.Law) -> None:
        """A Categorical over labels has a probability for each."""
        discrete = self.discrete_values(symbol)
        axis = discrete.axis if discrete is not None else None
        if law.signature.name != "Categorical" or axis is None:
            return
        for name, given in law.arguments.items():
            if given.shape[-1] != axis.size:
                raise self.scope.error(
                    "E207",
                    f"`{symbol.name}` has {axis.size} values, the labels of `{axis.name}`",
                    law.spans[name],
                    f"this has shape {given.shape}",
                )

    # ---------------------------------------------------------------------------------------------- initial laws

    def initial(self, s: syn.Init, orders: dict[str, int]) -> list[InitialEquation]:
        """The initial laws of one statement."""
        made: list[InitialEquation] = []
        symbols = [self._initial_symbol(t) for t in s.targets]
        special = laws.special(s.law) if s.relation == "~" else None
        if special is not None:
            assert isinstance(s.law, syn.Call)
            if s.law.arguments:
                raise self.scope.error("E212", f"`{s.law.function.span.text}` takes no arguments", s.law.span, "none")
            for x in symbols:
                if special == "diffuse" and self.discrete_values(x) is not None:
                    raise self.scope.error(
                        "E219", "a discrete state has no diffuse law", s.law.span, f"`{x.name}` is discrete"
                    )

        def one(batch: tuple[str, ...]) -> None:
            if batch and (s.joint or special):
                raise NeedsUnroll(batch[-1])
            per_target = [self._rows(x, t, orders, batch) for x, t in zip(symbols, s.targets)]
            if special is not None:
                targets = tuple(it for group in per_target for it, _ in group)
                made.append(InitialEquation(targets, s.span, special=special))  # type: ignore[arg-type]
            elif s.joint:
                # Jointly: row 0 of each, stacked, unless rows are written.
                firsts = [group[0] for group in per_target]
                shape = (sum(e.size for _, e in firsts),)
                context = Context("init", row=firsts[0][0].row)
                law, value = self._right(s.relation, s.law, symbols, (), shape, s.targets[0], context)
                made.append(InitialEquation(tuple(f[0] for f in firsts), s.span, law, value))
            else:
                for x, t, group in zip(symbols, s.targets, per_target):
                    for it, entries in group:
                        context = Context("init", row=it.row)
                        law, value = self._right(s.relation, s.law, [x], batch, entries.shape, t, context)
                        made.append(InitialEquation((it,), s.span, law, value))

        self._over(s.loops, one, made)
        return made

    def _initial_symbol(self, target: syn.Target) -> Symbol:
        name = target.name.id
        symbol = self.scope.symbols.get(name)
        if symbol is None:
            raise self.scope.unknown(name, target.name.span)
        if symbol.sort not in ("state", "obs"):
            raise self.scope.error(
                "E219",
                f"`init` gives the first value of a state; `{name}` is {NOUN[symbol.sort]}",
                target.span,
                "has no initial value",
            )
        return symbol

    def _rows(
        self, symbol: Symbol, target: syn.Target, orders: dict[str, int], batch: tuple[str, ...]
    ) -> list[tuple[InitialTarget, np.ndarray]]:
        """The rows an `init` target covers, with the entries (array of positions) it gives."""
        rows: Sequence[int]
        rest = target.indices[1:]
        if not target.indices:
            rows = [-k for k in range(max(orders.get(symbol.name, 1), 1))]
        else:
            first = target.indices[0]
            labels = {str(v) for a in symbol.axes if a is not None and a.is_named for v in a.labels}
            if isinstance(first, syn.Name) and (first.id in labels or first.id == "t"):
                raise self.scope.error(
                    "E219",
                    "the first index of an `init` is its row",
                    first.span,
                    "this is not 0, -1, -2, ...",
                    help=f"write `init {symbol.name}[0, {first.id}]`"
                    if first.id != "t"
                    else f"write `init {symbol.name}`",
                )
            row = self.static_int(first, "the row of an `init`")
            if row > 0:
                raise self.scope.error(
                    "E219",
                    "an `init` is for rows 0, -1, -2, ...",
                    first.span,
                    f"row {row} comes later",
                    help="an entry is written after the row: `init x[0, 1]`",
                )
            rows = [row]
        entries = self._entries(symbol, rest, target, batch)
        return [(InitialTarget(symbol.name, r, tuple(int(i) for i in entries.ravel())), entries) for r in rows]

    # ---------------------------------------------------------------------------------------------------- others

    def stochastic_differential(self, s: syn.Sde) -> list[StochasticDifferential]:
        """d(x) = f * dt + q * dW, affine in dt and dW."""
        made: list[StochasticDifferential] = []
        symbol = self.scope.symbols.get(s.target.name.id)
        if symbol is None:
            raise self.scope.unknown(s.target.name.id, s.target.name.span)
        if symbol.sort != "state" or self.discrete_values(symbol) is not None:
            raise self.scope.error(
                "E204",
                f"a differential equation gives a real state; `{symbol.name}` is {NOUN[symbol.sort]}",
                s.target.span,
                "cannot be given here",
            )
        symbol.used = True
        step = self.scope.symbols.get("dt")
        if step is None and "dt" not in self.scope.broken:
            raise self.scope.error(
                "E201",
                "a differential equation needs `dt`, the time from row to row",
                s.span,
                "`dt` is not declared",
                help="add `const dt = 0.1`, or `input dt` where it comes with the data",
            )
        if step is not None:
            step.used = True
        if s.target.indices and is_row(s.target.indices[0]):
            raise self.scope.error(
                "E209",
                "a differential equation has no time index",
                s.target.indices[0].span,
                "stands for no row",
                help=f"write `d({symbol.name}) = ...`",
            )

        def one(batch: tuple[str, ...]) -> None:
            if batch:
                raise NeedsUnroll(batch[-1])
            entries = self._entries(symbol, s.target.indices, s.target, ())
            self.differential = Symbol(
                symbol.name, "state", symbol.span, s, shape=entries.shape, axes=(None,) * entries.ndim
            )
            dt = Val(expr.ref("increment", "dt", 0, (), ()))
            with self.scope.bind({"dt": dt}):
                val = self._number(s.value, Context("sde"))
            try:
                value = expr.broadcast(val.node, entries.shape)
            except expr.ExprError:
                raise self.scope.error(
                    "E207",
                    f"`d({s.target.span.text})` has shape {entries.shape}",
                    s.value.span,
                    f"this has shape {val.shape}",
                ) from None
            made.append(
                StochasticDifferential(Target(symbol.name, tuple(int(i) for i in entries.ravel())), s.span, value)
            )

        self._over(s.loops, one, made)
        return made

    def lift(self, s: syn.Lift) -> Lift:
        symbol = self.scope.symbols[s.target.name.id]
        if not symbol.series or len(s.target.indices) != 1:
            raise self.scope.error("E210", "a lift gives a series", s.target.span, "write `lift z[t] = [...]`")
        node = self._functions(s.value)
        if node.ndim != 1:
            raise self.scope.error(
                "E207",
                "a lift is a vector of functions",
                s.value.span,
                f"this has shape {node.shape}",
                help="write `lift z[t] = [f(x[t]), ...]`",
            )
        symbol.shape, symbol.axes = node.shape, node.axes
        return Lift(symbol.name, node, s.mode, s.span)

    def _functions(self, value: syn.Expr) -> expr.Node:
        """The functions of a lift: in a list, vectors such as dictionaries follow one another."""
        if not isinstance(value, syn.Array):
            return self._number(value, Context("emission")).node
        items = [self._number(i, Context("emission")).node for i in value.items]
        if max(i.ndim for i in items) != 1:
            return self._number(value, Context("emission")).node
        return expr.concat([i if i.ndim else expr.reshape(i, (1,)) for i in items])

    def assertions(self, s: syn.Assert) -> list[Assertion]:
        """`assert stable(x), observable(x)`."""
        made = []
        for claim in s.claims:
            if not (isinstance(claim, syn.Call) and isinstance(claim.function, syn.Name)):
                raise self.scope.error(
                    "E211", "an assertion names a property", claim.span, "this is none", help="write `assert stable(x)`"
                )
            name = claim.function.id
            if name not in PROPERTIES:
                close = suggest(name, PROPERTIES)
                raise self.scope.error(
                    "E211",
                    f"unknown property `{name}`",
                    claim.function.span,
                    "nothing to prove",
                    help=f"did you mean `{close}`?" if close else f"one of {', '.join(PROPERTIES)}",
                    fix=respelt(claim.function.span, name, PROPERTIES),
                )
            if not claim.arguments:
                raise self.scope.error(
                    "E211", f"`{name}` of what?", claim.span, "nothing is named", help=f"write `{name}(x)`"
                )
            made.append(Assertion(name, tuple(self._subject(a.value) for a in claim.arguments), claim.span))
        return made

    def _subject(self, e: syn.Expr) -> str:
        root = e.value if isinstance(e, syn.Subscript) else e
        if not isinstance(root, syn.Name):
            raise self.scope.error("E211", "a property is asserted of a name", e.span, "this is an expression")
        if root.id not in self.scope.symbols:
            raise self.scope.unknown(root.id, root.span)
        self.scope.symbols[root.id].used = True
        return e.span.text
