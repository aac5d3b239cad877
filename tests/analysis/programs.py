"""Programs with known answers, and ways to check them."""

from __future__ import annotations

from ssmlang.analysis.context import Context
from ssmlang.frontend import check_text
from ssmlang.model.linear import linear_form


def context_of(text: str, seconds: float = 20.0, **options: object) -> Context:
    """What the checks of a program start from. The budget is wide: a busy machine must not change a verdict."""
    checked = check_text(text, name="model.ssm")
    assert checked.model is not None, [d.message for d in checked.findings]
    context = Context(checked.model, linear_form(checked.model), **options)  # type: ignore[arg-type]
    context.budget.seconds = seconds
    context.budget.restart()
    return context
