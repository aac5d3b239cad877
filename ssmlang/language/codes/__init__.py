"""The registry of diagnostic codes: what each means, with a wrong and a mended example."""

from __future__ import annotations

from ssmlang.language.codes import (
    e1,
    e2,
    e2_components,
    e3,
    e3_inference,
    e4,
    e4_parameters,
    e5,
    e6,
    e6_identifiability,
    e6_observability,
    e6_prior,
    e6_stability,
    e7,
    e7_inference,
)
from ssmlang.language.codes.entry import Code, Example

_MODULES = (
    e1,
    e2,
    e2_components,
    e3,
    e3_inference,
    e4,
    e4_parameters,
    e5,
    e6,
    e6_identifiability,
    e6_prior,
    e6_observability,
    e6_stability,
    e7,
    e7_inference,
)

REGISTRY: dict[str, Code] = {entry.code: entry for module in _MODULES for entry in module.CODES}

WARNINGS: frozenset[str] = frozenset({c for c in REGISTRY if c[0] in "WN"} - {"W113"} | {"W601", "W602", "W620"})
"""The warnings and notes that `# allow` may name: those with an entry of their own, and those that share an error's."""


def lookup(code: str) -> Code | None:
    """The entry of a code; a warning or note (W602, N205) without one of its own has that of the error (E602)."""
    code = code.strip().upper()
    return REGISTRY.get(code) or (REGISTRY.get("E" + code[1:]) if code[:1] in ("W", "N") else None)


__all__ = ["REGISTRY", "WARNINGS", "Code", "Example", "lookup"]
