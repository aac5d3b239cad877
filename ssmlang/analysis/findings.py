"""What a check says of a property: its verdict, the reason, and where refuted two settings nobody can tell apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

SHOWN = 6
"""Entries of a setting that are shown in a line."""
Outcome = Literal["proved", "refuted", "unknown"]


@dataclass(frozen=True)
class Witness:
    """Two settings of parameters or of a state, in the user's names, whose observations are the same.

    `first`, `second`: values by entry name (`phi[2]`, `level`, `u[t-1]`). `what`: what agrees, in one line. `kind`:
    "state" for two states of one row under the same parameters (those in `at`), "parameters" for two settings of the
    parameters themselves.
    """

    first: Mapping[str, float]
    second: Mapping[str, float]
    what: str
    kind: Literal["state", "parameters"] = "state"
    at: Mapping[str, float] | None = None
    """Parameter values, by entry, under which both states are looked at."""

    @property
    def told(self) -> str:
        """Both settings in a line, long ones by their first entries."""
        first, second = (
            ", ".join([f"{k} = {v:.6g}" for k, v in list(s.items())[:SHOWN]] + ["..."] * (len(s) > SHOWN))
            for s in (self.first, self.second)
        )
        return f"({first}) and ({second}): {self.what}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "what": self.what,
            "told": self.told,
            "at": dict(self.at) if self.at is not None else None,
            "first": dict(self.first),
            "second": dict(self.second),
        }


@dataclass(frozen=True)
class Finding:
    """One property of a model with its verdict and the reason in one line.

    `unless`: proved but on these named sets, a line each. `witness`: of what is refuted. `fix`: what to write instead.
    `code`: the registered code (E6..., W6..., or W5...) of the diagnostic that is made of it; without one it stands in
    the report alone. `asserted`: the model says `assert property`, so that refuted is an error and unknown a warning.
    `headline`, `label`, `span_of`: the diagnostic's first sentence, the words beside the carets, and the name of the
    series or parameter that is underlined; without them the reason, nothing, and the assertion or nothing. `allowed`:
    the line of the comment that silences the diagnostic.
    """

    property: str
    verdict: Outcome
    reason: str
    line: int | None = None
    unless: tuple[str, ...] = ()
    witness: Witness | None = None
    fix: str | None = None
    code: str | None = None
    details: tuple[str, ...] = ()
    asserted: bool = False
    headline: str | None = None
    label: str = ""
    span_of: str | None = None
    allowed: int | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "property": self.property,
            "verdict": self.verdict,
            "reason": self.reason,
            "line": self.line,
            "unless": list(self.unless),
            "details": list(self.details),
            "witness": self.witness.to_dict() if self.witness is not None else None,
            "fix": self.fix,
            "code": self.code,
            "asserted": self.asserted,
            "allowed": self.allowed,
        }


def asserted(model: Any, *properties: str) -> list[tuple[str, tuple[str, ...], int]]:
    """The assertions of these properties: the text (`stable(x)`), the arguments, and the line."""
    return [
        (f"{a.property}({', '.join(a.arguments)})", a.arguments, a.span.source.position(a.span.start)[0])
        for a in model.assertions
        if a.property in properties
    ]
