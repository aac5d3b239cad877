"""Functions of the state as a person writes them: `x[t, 0]^2`, `(b - a^2) * x[t-1, 0]^2`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

import sympy as sp
from sympy.printing.str import StrPrinter

from ssmlang.analysis.closure_algebra import Element
from ssmlang.analysis.closure_functions import split, to_sympy
from ssmlang.analysis.closure_map import Koopman
from ssmlang.analysis.closure_space import Vector, degree
from ssmlang.analysis.closure_terms import Term
from ssmlang.analysis.context import Context
from ssmlang.analysis.skeleton import Key

MAX_FACTORED = 60
"""Coefficients of more terms are shown as they stand."""
_NAMES = {"Abs": "abs", "Max": "max", "Min": "min", "maximum": "max", "minimum": "min"}


class _Printer(StrPrinter):
    """sympy's text with the language's signs and functions, as few factors in a denominator as it takes."""

    def _print_Pow(self, expr: sp.Expr, rational: bool = False) -> str:
        return super()._print_Pow(expr, rational).replace("**", "^")

    def _print_Function(self, expr: sp.Expr) -> str:
        name = expr.func.__name__
        return f"{_NAMES.get(name, name)}({', '.join(self._print(a) for a in expr.args)})"

    _print_Abs = _print_Max = _print_Min = _print_Function

    def _print_Rational(self, expr: sp.Rational) -> str:
        return super()._print_Rational(expr) if expr.q <= 10_000 else f"{float(expr):.6g}"

    def _print_Float(self, expr: sp.Float) -> str:
        return f"{float(expr):.6g}"


_PRINTER = _Printer({"order": "grlex"})


def text(e: sp.Expr) -> str:
    """An expression in the language's notation, a positive term first."""
    terms = sp.Add.make_args(e)
    if len(terms) > 1 and any(t.as_coeff_Mul()[0] > 0 for t in terms):
        shown = [str(_PRINTER.doprint(t)) for t in _PRINTER._as_ordered_terms(e)]
        first = next(s for s in shown if not s.startswith("-"))
        rest = [s for s in shown if s is not first]
        whole = first + "".join(f" - {s[1:]}" if s.startswith("-") else f" + {s}" for s in rest)
    else:
        whole = str(_PRINTER.doprint(e))
    return whole.replace("*", " * ")


def is_sum(written: str) -> bool:
    """Whether a written expression is a sum outside of all brackets."""
    depth = 0
    for i, c in enumerate(written):
        depth += (c in "([") - (c in ")]")
        if depth == 0 and c in "+-" and i > 0 and written[i - 1] == " ":
            return True
    return False


class Words:
    """Writes elements of one model. Parameters are the context's own symbols, with their supports."""

    def __init__(self, context: Context, koopman: Koopman) -> None:
        self.context, self.koopman = context, koopman

    def known(self, key: Any) -> sp.Expr:
        """The symbol of something that is no state."""
        if isinstance(key, Key) and key.sort == "param":
            return self.context.symbols[key.name].reshape(-1)[key.entry]
        return sp.Symbol(self.koopman.skeleton.written(key) if isinstance(key, Key) else str(key), real=True)

    def name(self, lag: int) -> Any:
        """Names of what is read, with a state's entry at row t - lag."""

        def of(key: Any) -> sp.Expr:
            if isinstance(key, Key) and key.sort in ("state", "augment"):
                return sp.Symbol(self.koopman.skeleton.written(key, key.lag + lag), real=True)
            if isinstance(key, tuple) and key and key[0] == "noise":
                inner: Key = key[1]
                written = self.koopman.skeleton.written(inner, inner.lag)
                return sp.Symbol(written if inner.sort == "noise" else f"the noise of {written}", real=True)
            return self.known(key)

        return of

    def coefficient(self, e: Element) -> sp.Expr:
        """Something known, factored where that makes it shorter."""
        found = to_sympy(e, self.known)
        if not e.terms or len(e.terms) > MAX_FACTORED:
            return found
        short = sp.cancel(sp.together(found)) if found.is_rational_function() else found
        other = sp.factor(short) if short.is_polynomial() or short.is_rational_function() else short
        return min((found, short, other), key=lambda v: (v.count_ops(), len(text(v))))

    def function(self, e: Element, lag: int = 0) -> str:
        """A function of the state without much in front of it, at row t - lag."""
        return text(to_sympy(e, self.name(lag)))

    def functions(self, elements: Sequence[Element], lag: int = 0) -> list[str]:
        """Functions of a dictionary, each as it is written at row t - lag."""
        return [self.function(e, lag) for e in elements]

    def term(self, term: Term, lag: int = 0) -> str:
        return self.function(Element(self.koopman.algebra, {term: Fraction(1)}), lag)

    def combination(self, parts: Vector, lag: int = 1) -> str:
        """`(b - a^2) * x[t-1, 0]^2 + c`, functions in order of their degree."""
        ordered = sorted(parts.items(), key=lambda p: (degree(p[0]), repr(p[0])))
        return self.sum([(self.coefficient(c), self.term(t, lag)) for t, c in ordered])

    def sum(self, parts: Iterable[tuple[sp.Expr, str]]) -> str:
        """Coefficients times functions that are written already."""
        found = ""
        for c, function in parts:
            if c == 0:
                continue
            minus = bool(c.as_coeff_Mul()[0] < 0) and not c.is_Add
            size = -c if minus else c
            shown = text(size)
            if function == "1":
                piece = f"({shown})" if size.is_Add else shown
            elif size == 1:
                piece = function
            else:
                wrapped = f"({function})" if is_sum(function) else function
                piece = f"({shown}) * {wrapped}" if size.is_Add else f"{shown} * {wrapped}"
            if not found:
                found = f"-{piece}" if minus else piece
            else:
                found += f" - {piece}" if minus else f" + {piece}"
        return found or "0"

    def whole(self, e: Element, lag: int = 1) -> str:
        """Any element as a combination of functions."""
        return self.combination(split(e), lag)

    def statement(self, name: str, functions: Sequence[str]) -> str:
        """A lift statement that can be pasted."""
        return f"lift {name}[t] = [{', '.join(functions)}] exact"
