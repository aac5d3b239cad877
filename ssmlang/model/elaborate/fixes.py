"""What mends an equation: edits where the user can only have meant one thing, else words."""

from __future__ import annotations

from ssmlang.language import syntax as syn
from ssmlang.language.diagnostics import Edit, Fix
from ssmlang.language.source import Span


def as_law(target: syn.Target, law: syn.Expr) -> Fix | None:
    """`x[t] = Normal(...)` for `x[t] ~ Normal(...)`: a law is no value."""
    source = target.span.source
    between = source.text[target.span.end : law.span.start] if law.span.source is source else ""
    if between.count("=") != 1 or between.strip(" \t)=") or law.span.text.count("(") != law.span.text.count(")"):
        return None
    at = target.span.end + between.index("=")
    return Fix("write `~`", (Edit(Span(source, at, at + 1), "~"),), safe=True)


def at_row_t(target: syn.Target) -> Fix | None:
    """`x ~ ...` for `x[t] ~ ...`: a left side can only be of row t."""
    if target.name.span.text != target.name.id:
        return None
    end = target.name.span.end
    return Fix(f"write `{target.name.id}[t]`", (Edit(Span(target.span.source, end, end), "[t]"),), safe=True)


def fitting(shape: tuple[int, ...]) -> str:
    """What would fit a series of this shape."""
    if not shape:
        return "give a number: one entry of it, or its `sum(...)`"
    return f"give a value of shape {shape} or a number, or an equation for each entry with `for`"
