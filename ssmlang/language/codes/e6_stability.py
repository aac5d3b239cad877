"""E61x: proofs about the dynamics of states, and about the filter that follows them."""

from __future__ import annotations

from ssmlang.language.codes.entry import Code, Example


def _first_order(coefficient: str, param: str = "", claim: str = "") -> Example:
    return Example(
        f"{param}param sd ~ HalfNormal(1)\nstate x\nobs y\ninit x ~ Normal(0, 1)\n"
        f"x[t] ~ Normal({coefficient} * x[t-1], sd)\ny[t] ~ Normal(x[t], 1)\n{claim}"
    )


_UNDRIVEN = """param sd ~ HalfNormal(1)
state x
obs y
init x = 1
x[t] = 1.1 * x[t-1]
y[t] ~ Normal(x[t], sd)
"""

_START = """param sd ~ HalfNormal(1)
state x
obs y
init x ~ Diffuse()
x[t] ~ Normal(x[t-1], sd)
y[t] ~ Normal(x[t], 1)
"""

CODES: tuple[Code, ...] = (
    Code(
        "E611",
        "not-stable",
        "a state that is asserted to be stable is not, or not for all parameters allowed",
        "`assert stable(x)` asks that every eigenvalue of what moves x, and of the states that it reads, lies "
        "inside the unit circle for every value of the parameters that their supports allow; `stationary(x)` asks "
        "also that nothing moves its mean or its noise from row to row. The message has the region where it holds, "
        "parameters for which it does not, and the prior probability of the region. Give the parameters supports "
        "that keep them inside: an interval, or `in stationary` for the coefficients of a state's own lags.",
        _first_order("a", "param a ~ Normal(0, 0.5)\n", "assert stable(x)\n"),
        _first_order("a", "param a in (-1, 1) ~ Normal(0, 0.5)\n", "assert stable(x)\n"),
    ),
    Code(
        "E612",
        "no-unit-root",
        "a state that is asserted to have a unit root has none, or explodes",
        "`assert unit_root(x)` says that a root of one is meant: a random walk, a trend, a season whose pattern "
        "wanders. It holds where x, or a state that it reads, has an eigenvalue that is a root of one for every "
        "value of the parameters, and none outside of the unit circle.",
        _first_order("a", "param a in (0, 1) ~ Beta(8, 2)\n", "assert unit_root(x)\n"),
        _first_order("1", claim="assert unit_root(x)\n"),
    ),
    Code(
        "W613",
        "explosive-state",
        "a state explodes, for all parameters or under most of the prior",
        "An eigenvalue outside of the unit circle makes the state grow exponentially, without end. The message has "
        "the rate and the time in which it doubles. Where that is not meant, give its coefficients another prior or "
        "support.",
        _first_order("1.05"),
        _first_order("0.95"),
    ),
    Code(
        "W614",
        "filter-does-not-settle",
        "the filter does not forget its start: a mode that grows starts without error, and no noise drives it",
        "The Kalman filter of a program whose matrices do not change forgets how it was started, and its gain "
        "settles, if every mode that does not die out by itself is seen by the observations (detectable) and driven "
        "by noise (stabilisable). A mode that is not seen keeps the whole uncertainty of its start, or gathers more "
        "in every row. One on the unit circle that is never pushed is learned ever more exactly, so that the gain "
        "goes to zero like 1/t and never settles. One that grows, is never pushed and starts at a number is taken "
        "to be known for ever: the filter never corrects it, and an error in its start would grow. See Anderson and "
        "Moore, Optimal Filtering (1979), section 4.4; de Souza, Gevers and Goodwin, Riccati equations in optimal "
        "filtering of nonstabilizable systems (1986).",
        Example(_UNDRIVEN),
        _first_order("0.9"),
    ),
    Code(
        "W615",
        "no-stationary-start",
        "a state starts in its stationary law, and has none for any value of the parameters",
        "`init x ~ Stationary()` draws the first row from the law that the transition keeps. A state with a unit root, "
        "an undamped oscillation or an explosive mode has no such law: its variance grows without end. Where the "
        "parameters allow none the likelihood is zero, and here they never do, so that nothing can be fitted. Start a "
        "random walk, a trend or a season by `Diffuse()`, or by a law of your own.",
        Example(_START.replace("Diffuse", "Stationary")),
        Example(_START),
    ),
)
