"""Conditions on parameters as a person writes them: |phi[2]| < 1, phi[1] + phi[2] < 1."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from ssmlang.analysis.algebra import sp
from ssmlang.analysis.stability_modes import figure
from ssmlang.analysis.stability_numbers import LONG

SIMPLE_DENOMINATOR = 1_000


@lru_cache(maxsize=1)
def _printer() -> Any:
    """sympy's text with the language's power sign."""
    from sympy.printing.str import StrPrinter

    class Printer(StrPrinter):
        def _print_Pow(self, expr: sp.Expr, rational: bool = False) -> str:
            return super()._print_Pow(expr, rational).replace("**", "^")

        def _print_Float(self, expr: sp.Float) -> str:
            return f"{float(expr):.6g}"

        def _print_Piecewise(self, expr: sp.Expr) -> str:
            *cases, last = expr.args
            otherwise = self._print(last.expr) if last.cond == sp.true else "nan"
            return "".join(f"if {self._print(c.cond)} then {self._print(c.expr)} else " for c in cases) + otherwise

        def _print_Relational(self, expr: sp.Expr) -> str:
            return f"{self._print(expr.lhs)} {expr.rel_op} {self._print(expr.rhs)}"

    return Printer({"order": "none"})


def written(e: sp.Expr) -> str:
    """An expression in the user's notation: phi[1]^2 - 1/4."""
    long = {r: sp.Float(r, 6) for r in e.atoms(sp.Rational) if r.q > SIMPLE_DENOMINATOR}
    return str(_printer().doprint(_ordered(e.xreplace(long))))


def _ordered(e: sp.Expr) -> sp.Expr:
    """Terms in the order of their names, a positive one first."""
    if not e.is_Add:
        return e
    terms = sorted(e.args, key=lambda t: (bool(t.as_coeff_Mul()[0] < 0), bool(t.is_number), str(t)))
    return sp.Add(*terms, evaluate=False)


def conditions(expressions: Iterable[sp.Expr]) -> list[str]:
    """Each expression > 0, as an inequality; c - u > 0 with c + u > 0 is |u| < c, and a factor that is there twice is
    written once."""
    left = [_reduced(g) for g in expressions]
    pieces = list(dict.fromkeys(p for g in left for p in _split(g)))
    found: list[str] = []
    used: set[sp.Expr] = set()
    for g in pieces:
        if g in used:
            continue
        constant, rest = sp.expand(g).as_coeff_Add()
        partner = sp.expand(constant - rest)
        if constant.is_positive and partner in pieces and partner not in used:
            used |= {g, partner}
            inner, bound = _scaled(rest, constant)
            found.append(f"|{written(inner)}| < {written(bound)}")
        else:
            used.add(g)
            found.append(_inequality(g))
    # Short ones first: they are the ones that a person can check.
    return sorted(dict.fromkeys(found), key=lambda s: (not s.startswith("|"), s.count(" ")))


def _reduced(g: sp.Expr) -> sp.Expr:
    """Without a positive number in front."""
    content, rest = sp.expand(g).as_content_primitive()
    return rest if content > 0 and (content.is_Rational and content.q < LONG) else g


def _split(g: sp.Expr) -> list[sp.Expr]:
    """1 - d^2 as 1 - d and 1 + d, which is the same where one of two factors cannot be negative alone: c^2 - u^2 is
    positive iff |u| < |c|."""
    constant, rest = sp.expand(g).as_coeff_Add()
    if constant.is_positive and len(sp.Add.make_args(rest)) == 1:
        factor, power = (-rest).as_coeff_Mul()
        root = sp.sqrt(constant / factor) if factor.is_positive else None
        if root is not None and root.is_Rational and power.is_Pow and power.exp == 2:
            return [root - power.base, root + power.base]
        if root is not None and root.is_Rational and power.is_Mul and all(a.is_Pow and a.exp == 2 for a in power.args):
            base = sp.Mul(*(a.base for a in power.args))
            return [root - base, root + base]
    return [g]


def _scaled(rest: sp.Expr, constant: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """|-2 a| < 1 as |2 a| < 1: the first term positive."""
    first = min(sp.Add.make_args(rest), key=str)
    if first.as_coeff_Mul()[0] < 0:
        rest = -rest
    content, inner = sp.expand(rest).as_content_primitive()
    return (inner, constant / content) if content.is_Rational else (sp.expand(rest), constant)


def _inequality(g: sp.Expr) -> str:
    """g > 0 with what is subtracted on the left and a number on the right."""
    g = sp.expand(g)
    constant, rest = g.as_coeff_Add()
    if constant == 0:
        up = [t for t in sp.Add.make_args(rest) if t.as_coeff_Mul()[0] > 0]
        down = [-t for t in sp.Add.make_args(rest) if t.as_coeff_Mul()[0] < 0]
        if not down:
            return f"{written(sp.Add(*up))} > 0"
        return f"{written(sp.Add(*down))} < {written(sp.Add(*up))}"
    terms = sp.Add.make_args(rest)
    if len(terms) == 1:  # 100 a < 99 as a < 99/100
        share = abs(rest.as_coeff_Mul()[0])
        rest, constant = rest / share, constant / share
        terms = (rest,)
    minus = sum(bool(t.as_coeff_Mul()[0] < 0) for t in terms)
    if 2 * minus >= len(terms):
        return f"{written(sp.expand(-rest))} < {written(constant)}"
    return f"{written(rest)} > {written(-constant)}"


def point(values: Sequence[tuple[str, sp.Expr]]) -> str:
    """`phi[1] = 1.2, phi[2] = 0.3`."""
    return ", ".join(f"{name} = {_number(v)}" for name, v in values)


def _number(value: sp.Expr) -> str:
    real = float(value)
    return str(int(real)) if real == int(real) and abs(real) < 1e6 else f"{real:.4g}"


def some(names: Sequence[str], most: int = 6) -> str:
    """Names in a row, the many of a long list counted."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[: most - 2])}, ... ({len(names):,} in all)"


__all__ = ["conditions", "figure", "point", "some", "written"]
