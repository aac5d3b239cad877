"""Runs engines of linear programs on a model in the coordinates of its lift."""

from __future__ import annotations

from ssmlang.analysis.lifted_exact import LiftedModel
from ssmlang.engines.base import Engine
from ssmlang.model.linear import LinearForm
from ssmlang.running.execution import Execution


class LiftedExecution(Execution):
    """The functions of a model in a lift and one engine: states and definitions are those of the lifted model."""

    def __init__(self, lift: LiftedModel, engine: Engine) -> None:
        assert isinstance(lift.form, LinearForm)
        super().__init__(lift.model, lift.form, engine)
        self.lift = lift
        self.remarks = {"lift": lift.lift.name, "lift_mode": lift.lift.mode,
                        "approximation": "; ".join(lift.reasons) or "none: the filter is exact"}  # fmt: skip
