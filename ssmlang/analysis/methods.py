"""The methods of `fit`, what each asks of an engine, and the order in which `auto` tries engines for it."""

from __future__ import annotations

from collections.abc import Sequence

from ssmlang.engines.requirements import Requirements

METHODS = ("nuts", "map", "mle", "laplace", "svi", "pmmh", "pgibbs", "smc2")
"""Every method of `fit`."""
OF_GRADIENTS = ("nuts", "map", "mle", "laplace", "svi")
OF_ONE_POINT = ("map", "mle", "laplace")
"""Methods that look for a maximum, where a likelihood estimated with the same draws everywhere will do."""
JOINT = ("nuts", "svi")
"""Methods that take states and parameters together, by the engine `latent`."""
OF_WEIGHTS = ("pmmh", "smc2")
"""Methods that need no more than the value of a likelihood, exact or estimated without bias."""
_SAMPLING = ("rao_blackwell", "importance", "particle")


def objection(name: str, requires: Requirements, method: str) -> str | None:
    """Why an engine cannot serve a method, in words that follow "engine 'NAME'"; None where it can."""
    if requires.joint:
        return None if method in JOINT else f'takes states and parameters together, which method="{method}" does not'
    if method == "pgibbs":
        return None if name == "particle" else 'has no particles, of which method="pgibbs" draws the states'
    if requires.random and method == "svi":
        return None  # with a warning in the result
    if requires.random and requires.gradients and method in OF_ONE_POINT:
        return None  # with one set of draws for all parameters the likelihood is smooth
    if requires.random and requires.gradients and method == "nuts":
        return ('estimates the likelihood by draws, and method="nuts" would sample what one set of them makes of the '
                'posterior; method="pmmh" samples the posterior itself')  # fmt: skip
    if requires.random and method in OF_GRADIENTS:
        return f'estimates the likelihood by draws, without gradients that method="{method}" could follow'
    if method in OF_GRADIENTS and not requires.gradients:
        return f'has no gradients, which method="{method}" needs'
    return None


def in_order(names: Sequence[str], method: str) -> tuple[str, ...]:
    """Engines as `auto` tries them for a method, from the order in which it tries them for a likelihood."""
    if method in OF_WEIGHTS:
        # An estimate without bias before an approximation that has one; the mode about which `importance` draws is not
        # always found where draws come first.
        unbiased = ("rao_blackwell", "particle", "importance") if names[:1] == ("particle",) else _SAMPLING
        return (*[n for n in names if n not in (*_APPROXIMATE, *unbiased)], *unbiased)
    if method not in JOINT:
        return tuple(names)
    # Gradients through draws come last: they are biased, or noisy.
    kept, drawn = ([n for n in names if (n in _SAMPLING) == last] for last in (False, True))
    if "importance" in names:  # to mend what Laplace's formula gets wrong: states and parameters together are right
        return ("latent", *kept, *drawn)
    at = kept.index("laplace") + 1 if method == "nuts" and "laplace" in kept else len(kept)
    return (*kept[:at], "latent", *kept[at:], *drawn)


_APPROXIMATE = ("ekf", "iekf", "ukf", "cubature", "gauss_hermite", "ipls", "laplace", "imm", "dual_ekf", "particle")
