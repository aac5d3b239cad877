"""Elaborate a text without imports."""

from __future__ import annotations

from typing import Any

from ssmlang.language.diagnostics import Findings
from ssmlang.language.parser import parse
from ssmlang.language.source import Source
from ssmlang.model.elaborate import elaborate
from ssmlang.model.model import Model

WALK = "state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(x[t-1], 1)\n"


def findings_of(text: str, **options: Any) -> tuple[Model | None, Findings]:
    findings = Findings()
    model = elaborate(parse(Source("model.ssm", text), findings), name="model", findings=findings, **options)
    return model, findings


def model_of(text: str, **options: Any) -> Model:
    model, findings = findings_of(text, **options)
    assert model is not None, [d.message for d in findings]
    return model


def errors_of(text: str, **options: Any) -> list[tuple[str, str]]:
    """(code, underlined text) of every error and warning."""
    _, findings = findings_of(text, **options)
    return [(d.code, d.span.text if d.span else "") for d in findings]
