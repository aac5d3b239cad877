"""Laws: calls of distributions, fitted to the shape of what they are the law of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ssmlang.language import syntax as syn
from ssmlang.language.source import Span
from ssmlang.language.suggest import respelt, suggest
from ssmlang.model import expr
from ssmlang.model.distributions import DISTRIBUTIONS, Signature
from ssmlang.model.elaborate import foreign, values
from ssmlang.model.elaborate.values import Val
from ssmlang.model.expr import ExprError, Node
from ssmlang.model.model import Dist

if TYPE_CHECKING:
    from ssmlang.model.elaborate.expressions import Context, Expressions

FLAT = ("flat", "improperuniform", "improper", "uninformative", "noninformative")
SPECIAL = ("Diffuse", "Stationary")


@dataclass(frozen=True)
class Law:
    """A distribution with its arguments, before it is fitted to a shape."""

    signature: Signature
    arguments: dict[str, Val]
    call: syn.Call
    spans: dict[str, Span]


def with_a_prior(s: syn.Param, name: str) -> str:
    """What to write in place of a parameter without a prior: its axes and its interval stay."""
    decl = next((d for d in s.decls if d.name.id == name), None)
    text = decl.span.text if decl is not None else name
    within = f" in {s.support.span.text}" if s.support is not None else ""
    if within.replace(" ", "") == "in(0,inf)":
        return f"write `param {text} ~ HalfNormal(1)`"
    return f"write `param {text}{within} ~ Normal(0, 1)`"


def special(e: syn.Expr) -> str | None:
    """'diffuse' or 'stationary' for the laws that only `init` takes."""
    if isinstance(e, syn.Call) and isinstance(e.function, syn.Name) and e.function.id in SPECIAL:
        return e.function.id.lower()
    return None


def law(elaborator: Expressions, e: syn.Expr, context: Context) -> Law:
    """Read a distribution call: the arguments by name, checked."""
    scope = elaborator.scope
    if not (isinstance(e, syn.Call) and isinstance(e.function, syn.Name)):
        if isinstance(e, syn.Name) and e.id in (*SPECIAL, *DISTRIBUTIONS) and e.id not in scope.symbols:
            usage = f"`{e.id}()`" if e.id in SPECIAL else _usage(DISTRIBUTIONS[e.id]).removeprefix("write ")
            raise scope.error("E213", f"`{e.id}` is a law, and wants its brackets", e.span, "the name alone",
                              help=f"write {usage}")  # fmt: skip
        exact = "a fixed number is `const a = 3`" if context.mode == "prior" else "or `=` for an exact equation"
        raise scope.error(
            "E213",
            "a law is needed after `~`",
            e.span,
            "this is a number",
            help=f"write a distribution, such as Normal(0, 1); {exact}",
        )
    name = e.function.id
    if name in SPECIAL:
        raise scope.error("E213", f"`{name}()` is a law for `init` only", e.span, "not understood here")
    signature = DISTRIBUTIONS.get(name)
    if signature is None:
        known = foreign.law_named(name)
        close = suggest(name, [*DISTRIBUTIONS, *(SPECIAL if context.mode == "init" else ())])
        if known is not None:
            hint = f"it is {_usage(DISTRIBUTIONS[known[0]]).removeprefix('write ')} here{known[1]}"
        elif context.mode == "prior" and name.lower() in FLAT:
            hint = "a parameter without a prior is flat, for maximum likelihood: leave the `~` out"
        else:
            hint = f"did you mean `{close}`?" if close else ""
        raise scope.error(
            "E212",
            f"unknown distribution `{name}`",
            e.function.span,
            "no distribution of this name",
            help=hint or (),
            fix=respelt(e.function.span, name, DISTRIBUTIONS),
        )
    found, spans = _arguments(elaborator, e, signature, context)
    return Law(signature, found, e, spans)


def _arguments(
    elaborator: Expressions, e: syn.Call, s: Signature, context: Context
) -> tuple[dict[str, Val], dict[str, Span]]:
    scope = elaborator.scope
    found: dict[str, Val] = {}
    spans: dict[str, Span] = {}
    for i, argument in enumerate(e.arguments):
        if argument.name is None:
            if i >= len(s.arguments):
                raise scope.error(
                    "E212",
                    f"`{s.name}` takes at most {len(s.arguments)} argument(s)",
                    argument.span,
                    "one too many",
                    help=_usage(s),
                )
            name = s.arguments[i]
        else:
            name = argument.name.id
            if name not in s.arguments:
                known = foreign.argument_named(name, s.arguments)
                close = suggest(name, s.arguments)
                hint = f"it is `{known}` here: {_usage(s)}" if known else ""
                raise scope.error(
                    "E212",
                    f"`{s.name}` has no argument `{name}`",
                    argument.name.span,
                    "unknown argument",
                    help=hint or (f"did you mean `{close}`?" if close else _usage(s)),
                    fix=None if known else respelt(argument.name.span, name, s.arguments),
                )
        if name in found:
            raise scope.error("E212", f"`{name}` is given twice", argument.span, "given again here")
        found[name], spans[name] = elaborator._number(argument.value, context), argument.value.span
        if (axis := found[name].domain) is not None:
            raise scope.error(
                "E208",
                f"a label of axis `{axis.name}` is not a number",
                argument.value.span,
                "cannot be calculated with",
                help=f"give each label a number, such as `let size[{axis.name}] = [...]`, and write "
                f"`size[{argument.value.span.text}]`",
            )
        _check_argument(elaborator, s, name, found[name], argument.value)
    for group in s.alternatives:
        given = [a for a in group if a in found]
        if len(given) != 1:
            which = " or ".join(f"`{a}=`" for a in group)
            raise scope.error(
                "E212",
                f"`{s.name}` needs one of {which}",
                e.span,
                "both are given" if given else "neither is given",
                help=_usage(s),
            )
    missing = [a for a in s.arguments if a not in found and a not in s.optional]
    if missing:
        raise scope.error("E212", f"`{s.name}` needs `{missing[0]}`", e.span, "an argument is missing", help=_usage(s))
    for a, default in s.defaults.items():
        found.setdefault(a, Val(expr.const(float(default))))
    return {a: found[a] for a in s.arguments if a in found}, spans


def _usage(s: Signature) -> str:
    return f"write {s.name}({', '.join(s.arguments)})"


def _check_argument(elaborator: Expressions, s: Signature, name: str, val: Val, written: syn.Expr) -> None:
    """What a constant argument must satisfy."""
    scope, wanted = elaborator.scope, s.argument_ndim.get(name, 0)
    if wanted == 2 and val.ndim == 2 and val.shape[0] != val.shape[1]:
        raise scope.error("E207", f"`{name}` of `{s.name}` is a square matrix", written.span, f"this is {val.shape}",
                          help="give it as many rows as columns")  # fmt: skip
    if val.ndim < wanted and not (name == "loc" and val.ndim == 0):
        noun = {1: "a vector", 2: "a matrix"}[wanted]
        raise scope.error(
            "E207",
            f"`{name}` of `{s.name}` is {noun}",
            written.span,
            "this is a number" if val.ndim == 0 else f"this has shape {val.shape}",
            help={1: "write `[a, b]`, or a name declared with a size", 2: "write `[[a, b], [c, d]]`, `diag([a, b])`, "
                  "or a name declared with two sizes"}[wanted],
        )  # fmt: skip
    if not val.node.is_const or not val.node.size:
        return
    number, kind = np.asarray(val.node.value, float), s.argument_support.get(name)
    if np.isnan(number).any():
        raise scope.error("E218", f"`{name}` of `{s.name}` is not a number", written.span, "evaluates to nan")
    if kind == "positive" and (number < 0).any():
        raise scope.error("E218", f"`{name}` of `{s.name}` must be positive", written.span, f"{number.min():g}")
    if kind == "unit" and ((number < 0) | (number > 1)).any():
        raise scope.error("E218", f"`{name}` of `{s.name}` lies between 0 and 1", written.span, f"{number.flat[0]:g}")
    if kind == "simplex" and (np.any(number < 0) or not np.allclose(number.sum(-1), 1)):
        raise scope.error(
            "E218",
            f"`{name}` of `{s.name}` must be probabilities that sum to 1",
            written.span,
            f"their sum is {number.sum(-1).flat[0]:g}",
        )


def fit(elaborator: Expressions, law_: Law, batch: tuple[str, ...], shape: tuple[int, ...], what: str) -> Dist:
    """The Dist of `law_` for a target of this shape (leading dimensions: the loops of `batch`, then its own)."""
    s = law_.signature
    own = shape[len(batch) :]
    if len(own) < s.event_ndim:
        raise elaborator.scope.error(
            "E207",
            f"`{s.name}` is the law of {_noun(s.event_ndim)}; `{what}` has shape {own}",
            law_.call.span,
            "does not fit",
            help=f"declare `{what.split('[')[0]}` with {'a size' if s.event_ndim == 1 else 'two sizes'}, as in "
                 f"`{what.split('[')[0]}[{', '.join('2' * s.event_ndim)}]`",
        )  # fmt: skip
    if s.name == "LKJCholesky":
        _check_correlation(elaborator, law_, own, what)
    stray = [b for v in law_.arguments.values() for b in v.batch if b not in batch]
    assert not stray, stray
    free = max(len(own) - s.event_ndim, *(v.ndim - s.argument_ndim.get(a, 0) for a, v in law_.arguments.items()))
    args: dict[str, Node] = {}
    for a, v in law_.arguments.items():
        wanted = s.argument_ndim.get(a, 0)
        if v.ndim < wanted:  # a single number as the location of a vector
            v = Val(expr.reshape(v.node, (*v.node.shape, *(1,) * (wanted - v.ndim))), v.batch)
        node = values.spread(v, batch, free + wanted)
        try:
            lead = node.ndim - wanted
            _fits(node.shape[:lead], shape[: len(shape) - s.event_ndim])
            if s.event_ndim == 1 and wanted:
                for n in node.shape[lead:]:
                    _fits((n,), own[-1:])
        except ExprError:
            has = node.shape[len(batch) :]
            raise elaborator.scope.error(
                "E207",
                f"`{a}` of shape {has} does not fit `{what}` of shape {own}",
                law_.spans.get(a, law_.call.span),
                "does not fit",
                help=f"give `{a}` one value for each entry of `{what}`, or a number for all of them",
            ) from None
        args[a] = node
    return Dist(s.name, args, shape, s.event_ndim, law_.call.span)


def _check_correlation(elaborator: Expressions, law_: Law, own: tuple[int, ...], what: str) -> None:
    """The factor of a correlation matrix is square, and of at least two series."""
    if own[-1] != own[-2]:
        raise elaborator.scope.error(
            "E207",
            f"`LKJCholesky` is the law of a square matrix; `{what}` has shape {own}",
            law_.call.span,
            "does not fit",
        )
    if own[-1] < 2:
        raise elaborator.scope.error(
            "E207",
            f"a correlation matrix has at least two rows; `{what}` has one",
            law_.call.span,
            "nothing to draw",
            help=f"leave `{what}` out: the factor is the number 1",
        )


def _fits(given: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    expr.broadcast(expr.zeros(given), wanted)


def _noun(event_ndim: int) -> str:
    return {1: "a vector", 2: "a matrix"}[event_ndim]
