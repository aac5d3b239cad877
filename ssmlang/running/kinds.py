"""The execution that fits an engine: one for each kind of program."""

from __future__ import annotations

from typing import Any

from ssmlang.engines.base import Engine
from ssmlang.model.linear import LinearForm
from ssmlang.model.model import Model
from ssmlang.running.execution import Execution


def execution_of(model: Model, form: Any, engine: Engine) -> Execution:
    """What runs an engine on a model; `form` is the model's linear form, or the obstacles to it."""
    if engine.requires.linear:
        if not isinstance(form, LinearForm):
            from ssmlang.analysis.lifting import in_lift
            from ssmlang.running.lifted import LiftedExecution

            lift = in_lift(model, form)
            assert lift is not None
            return LiftedExecution(lift, engine)
        return Execution(model, form, engine)
    if engine.requires.discrete:
        from ssmlang.running.chains import ChainExecution

        return ChainExecution(model, engine)
    if engine.requires.switching:
        from ssmlang.running.switching import SwitchingExecution

        return SwitchingExecution(model, engine)
    if engine.requires.part_linear:
        from ssmlang.running.conditional import ConditionalExecution

        return ConditionalExecution(model, engine)
    from ssmlang.running.general import GeneralExecution

    return GeneralExecution(model, engine)
