"""The state-space form of a small linear program in LaTeX."""

from __future__ import annotations

from typing import Any

import sympy as sp

from ssmlang.analysis.system import System

MOST = 8
"""States of the stacked form, and observations, up to which matrices are written out."""


def matrices(system: System) -> dict[str, Any]:
    """`state`, `observation`: the entries; `F`, `H`: LaTeX of z[t] = F z[t-1] + ..., y[t] = H z[t] + ....

    Empty where the system is large."""
    if sum(system.memory) + sum(system.noise_memory) > MOST or not system.n or system.m > MOST:
        return {}
    companion = system.companion
    found: dict[str, Any] = {
        "state": list(companion.names),
        "observation": list(system.observations),
        "F": _latex(companion.F),
        "H": _latex(companion.H),
    }
    if system.noises and len(system.noises) <= MOST and set(system.driving) <= {0}:
        found["G"] = _latex(system.G(0))
        found["noise"] = list(system.noises)
    return found


def _latex(matrix: sp.Matrix) -> str:
    return str(sp.latex(matrix.xreplace({s: _named(s) for s in matrix.free_symbols}), mat_delim="["))


def _named(symbol: sp.Symbol) -> sp.Symbol:
    """`sd_level` is one name and not sd with an index; `phi[2]` is phi with one."""
    base, _, inside = symbol.name.partition("[")
    text = rf"\mathrm{{{base.replace('_', chr(92) + '_')}}}" if len(base) > 1 and not _greek(base) else base
    text = "\\" + base if _greek(base) else text
    return sp.Symbol(text + (f"_{{{inside.rstrip(']').replace('_', chr(92) + '_')}}}" if inside else ""))


def _greek(name: str) -> bool:
    from sympy.printing.latex import greek_letters_set

    return name.lower() in greek_letters_set and name == name.lower()
