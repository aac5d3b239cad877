"""What callers give beside data: parameters, counts, seeds and choices, checked before anything runs."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from numbers import Integral
from typing import Any

from ssmlang.analysis.methods import METHODS
from ssmlang.language.diagnostics import Diagnostic, SsmError

_DICT = 'params={"name": value, ...}'


def params_dict(params: Any) -> dict[str, Any]:
    """Parameters as a dict by name: from a mapping, or from the text under `params` in the attributes of a result.

    Raises E449 for anything else.
    """
    if isinstance(params, str):
        try:
            params = json.loads(params)
        except ValueError:
            raise SsmError(Diagnostic("E449", "`params` is a text that is not a JSON object",
                                      help=(f"give {_DICT}",))) from None  # fmt: skip
    if isinstance(params, Mapping):
        return dict(params)
    of_fit = isinstance(getattr(params, "params", None), Mapping)
    mend = "give its parameters: fit.params" if of_fit else f"give {_DICT}"
    raise SsmError(Diagnostic("E449", f"`params` is of type `{type(params).__name__}`, which gives no names",
                              help=(mend,)))  # fmt: skip


def rows(steps: Any, what: str) -> int:
    """A number of rows, at least one. Raises E450."""
    return _whole("steps", steps, f"{what} has at least one row, and a whole number of them")


def draws_wanted(draws: Any) -> int:
    """A number of draws, at least one. Raises E450."""
    return _whole("draws", draws, "at least one draw is made, and a whole number of them")


def paths_wanted(paths: Any) -> int:
    """A number of paths, none for None or 0. Raises E450."""
    return 0 if paths is None or paths == 0 else _whole("paths", paths, "a whole number of paths is drawn")


def _whole(name: str, value: Any, rule: str) -> int:
    if not isinstance(value, Integral) or isinstance(value, bool) or int(value) < 1:
        raise SsmError(Diagnostic("E450", f"{name}={value!r}: {rule}"))
    return int(value)


def seed_of(seed: Any) -> int:
    """A seed: any whole number of 64 bits. Raises E451."""
    if isinstance(seed, Integral) and not isinstance(seed, bool) and -(2**63) <= int(seed) < 2**63:
        return int(seed)
    raise SsmError(Diagnostic("E451", f"seed={seed!r} is not a whole number of 64 bits",
                              help=("the same seed gives the same numbers: seed=0",)))  # fmt: skip


def one_of(name: str, value: Any, choices: Collection[Any]) -> None:
    """Raise E451 for a value that is none of the choices."""
    if not any(value is c or (isinstance(value, str) and value == c) for c in choices):
        listed = ", ".join(repr(c) for c in choices)
        raise SsmError(Diagnostic("E451", f"{name}={value!r} is not one of its values", help=(f"one of {listed}",)))


def method_of(method: Any) -> str:
    """The name of a method of `fit`. Raises E345."""
    if isinstance(method, str) and method in METHODS:
        return method
    raise SsmError(Diagnostic("E345", f"there is no method {method!r}", help=("one of " + ", ".join(METHODS),)))
