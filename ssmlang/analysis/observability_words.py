"""What is said of unseen directions and of exceptional sets, in the names of the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sympy as sp

from ssmlang.analysis.observability_block import Exception_, Vector
from ssmlang.analysis.system import System, at_row

MOST_NAMED = 4
LONGEST = 110


def text(e: sp.Expr) -> str:
    """An expression as one would write it in a file."""
    return str(e).replace("**", "^")


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`; the middle of a long list is left out."""
    if len(names) > MOST_NAMED:
        names = [*names[:2], "...", names[-1]]
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def direction(vector: Mapping[int, sp.Expr], names: Sequence[str]) -> str:
    """`(level, drift) = (1, -1)`; one entry alone is its name."""
    if len(vector) == 1:
        return names[next(iter(vector))]
    shown = f"({', '.join(names[i] for i in vector)}) = ({', '.join(text(v) for v in vector.values())})"
    if len(shown) > LONGEST:
        kept = list(vector)[:MOST_NAMED]
        shown = (f"({', '.join(names[i] for i in kept)}, ...) = ({', '.join(text(vector[i]) for i in kept)}, ...) "
                 f"of {len(vector)} entries")  # fmt: skip
    return shown


def equation(e: sp.Expr) -> str:
    """A polynomial that is zero, as an equation: `phi[1] = 0`, `a = b`, `phi[1] + phi[2] = 1`."""
    e = sp.expand(e)
    constant, rest = e.as_independent(*sorted(e.free_symbols, key=str), as_Add=True)
    terms = sp.Add.make_args(rest)
    if len(terms) == 1:
        monomial, coefficient = terms[0], constant
        number = monomial.as_coeff_Mul()[0]
        left, right = monomial / number, -coefficient / number
        if right == 0 and left.is_Pow and left.exp.is_positive:
            left = left.base
        return f"{text(left)} = {text(right)}"
    if len(terms) == 2 and constant == 0:
        first, second = sorted(terms, key=lambda v: (v.could_extract_minus_sign(), str(v)))
        return f"{text(first)} = {text(-second)}"
    if sum(v.could_extract_minus_sign() for v in terms) * 2 > len(terms):
        rest, constant = -rest, -constant
    return f"{text(rest)} = {text(-constant)}"


def equations(found: Sequence[sp.Expr]) -> str:
    """Several that hold together; parameters that are all zero are gathered."""
    zero = sorted((text(e) for e in found if e.is_Symbol), key=str)
    others = sorted((equation(e) for e in found if not e.is_Symbol), key=lambda s: (len(s), s))
    said = []
    if zero:
        shown = zero if len(zero) <= MOST_NAMED else [*zero[:2], "...", zero[-1]]
        said.append(" = ".join([*shown, "0"]))
    longest = LONGEST if len(others) <= MOST_NAMED else LONGEST // MOST_NAMED
    short = [s for s in others if len(s) <= longest][: MOST_NAMED - 1]
    said += short
    more = len(others) - len(short)
    if more:
        left = [e for e in found if not e.is_Symbol and equation(e) not in short]
        said.append(f"{more} more equation{'s' if more > 1 else ''} among {_among(left)}"
                    if said else _long(found, more))  # fmt: skip
    return " and ".join(said)


def _among(found: Sequence[sp.Expr]) -> str:
    names = dict.fromkeys(str(s).split("[")[0] for e in found for s in sorted(e.free_symbols, key=str))
    return listed(list(names))


def _long(found: Sequence[sp.Expr], count: int) -> str:
    if count == 1:
        degree = max(sp.Poly(e, *e.free_symbols).total_degree() for e in found)
        return f"one equation of degree {degree} among {_among(found)} holds"
    return f"{count} equations among {_among(found)} hold"


def exception(one: Exception_, system: System) -> str:
    """`phi[2] = 0, where only the delay u[t-1] is lost`."""
    names = system.companion.names
    where = equations(one.equations)
    if one.lost is None:
        return where
    if one.harmless:
        delays = [names[i] for i in one.touched]
        if all(len(v) == 1 for v in one.lost) and one.lost:
            return f"{where}, where only {_noun('delay', len(delays))} {listed(delays)} {_is(len(delays))} lost"
        return f"{where}, where {_noun('delay', len(delays))} {listed(delays)} are seen only together"
    plain = [base(i, system) for i in one.touched]
    if len(one.lost) == 1:
        (vector,) = one.lost
        if len(vector) == 1:
            return f"{where}, where {plain[0]} is never seen"
        return f"{where}, where {direction(vector, _bases(system))} is never seen"
    if one.lost and (len(one.lost) == len(plain) or all(len(v) == 1 for v in one.lost)):
        return f"{where}, where {listed(plain)} {_is(len(plain))} never seen"
    return f"{where}, where {listed(plain)} {_is(len(plain))} not known apart"


def _noun(word: str, count: int) -> str:
    return f"the {word}" + ("s" if count > 1 else "")


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def base(i: int, system: System) -> str:
    """A state as it is declared (`level`, `x[0]`); a delay at its row."""
    return system.states[i] if i < system.n else system.companion.names[i]


def _bases(system: System) -> list[str]:
    return [base(i, system) for i in range(system.companion.size)]


# ------------------------------------------------------------------------------------------------- what is lost


def headline(lost: Sequence[Vector] | None, touched: Sequence[int], system: System) -> str:
    series = dict.fromkeys(component(system.states[i]) for i in touched)
    alone = lost is not None and all(len(v) == 1 for v in lost)
    if alone:
        return "a state is never seen" if len(touched) == 1 else f"{len(touched)} states are never seen"
    if len(touched) == 2 or len(series) == 2:
        return "two components cannot be told apart"
    return f"{len(series) if len(series) > 1 else len(touched)} components cannot be told apart"


def component(name: str) -> str:
    """What a state belongs to: the part that it is an inner name of, else itself."""
    base_ = name.split("[")[0]
    return base_.split(".")[0] if "." in base_ else name


def label(lost: Sequence[Vector] | None, touched: Sequence[int], system: System) -> str:
    """What of them is seen: `level[t] + drift[t] enter the data only through their sum`."""
    names = [at_row(system.states[i], 0) for i in touched]
    if lost is not None and len(lost) == 1:
        (vector,) = lost
        if len(vector) == 1:
            return f"{names[0]} never reaches an observation"
        if len(vector) == 2 and all(abs(v) == 1 for v in vector.values()):
            i, j = vector
            opposed = vector[i] == -vector[j]
            return (f"{at_row(system.states[i], 0)} {'+' if opposed else '-'} {at_row(system.states[j], 0)} enter the "
                    f"data only through their {'sum' if opposed else 'difference'}")  # fmt: skip
        if len(vector) == 2:
            i, j = vector
            seen = combination({i: vector[j], j: -vector[i]}, system)
            return f"{at_row(system.states[i], 0)} and {at_row(system.states[j], 0)} enter the data only as {seen}"
    if lost is not None and all(len(v) == 1 for v in lost):
        return f"{listed(names)} never reach an observation"
    return f"{listed(names)} are not known apart"


def combination(weights: Mapping[int, sp.Expr], system: System) -> str:
    """`b * level[t] + a * drift[t]`, common factors and denominators taken out."""
    values = list(weights.values())
    down = sp.lcm_list([sp.fraction(sp.together(v))[1] for v in values])
    scaled = [sp.cancel(v * down) for v in values]
    common = sp.gcd_list(scaled)
    scaled = [sp.cancel(v / common) for v in scaled]
    if scaled[0].could_extract_minus_sign():
        scaled = [-v for v in scaled]
    parts = []
    for i, v in zip(weights, scaled):
        name = at_row(system.states[i], 0)
        size = -v if v.could_extract_minus_sign() else v
        sign = "-" if v.could_extract_minus_sign() else "+"
        inner = f"({text(size)})" if size.is_Add else text(size)
        parts.append((sign, name if size == 1 else f"{inner} * {name}"))
    first = ("-" if parts[0][0] == "-" else "") + parts[0][1]
    return " ".join([first, *(f"{sign} {term}" for sign, term in parts[1:])])


def kind(i: int, system: System) -> str | None:
    """What a state that reads nothing but itself is."""
    own = {lag: v for lag, m in system.transition.items() for (r, c), v in m.items() if r == i and c == i}
    reads_others = any(r == i and c != i for m in system.transition.values() for r, c in m)
    if reads_others:
        return None
    if not own:
        return "white noise"
    if set(own) == {1}:
        return "a random walk" if own[1] == 1 else f"an autoregression with the coefficient {text(own[1])}"
    if all(v == -1 for v in own.values()) and set(own) == set(range(1, len(own) + 1)):
        return f"a season of {len(own) + 1} rows"
    return f"an autoregression of order {max(own)}"


def same_kind(touched: Sequence[int], system: System) -> str | None:
    """`both are random walks`, where they are."""
    kinds = {kind(i, system) for i in touched}
    if len(kinds) != 1 or None in kinds or len(touched) < 2:
        return None
    (one,) = kinds
    assert one is not None
    who = "both" if len(touched) == 2 else f"all {len(touched)}"
    plural = one.removeprefix("a ").removeprefix("an ")
    noun, _, rest = plural.partition(" with")
    word = noun if noun == "white noise" else noun.replace("walk", "walks").replace("autoregression", "autoregressions")
    word = word.replace("season of", "seasons of")
    return f"{who} are {word}{' with' + rest if rest else ''}"
