"""Runs an engine that samples a part of the states alone on a model and data."""

from __future__ import annotations

from ssmlang.inference.augmented import walks_of
from ssmlang.lowering.conditional import ConditionalLowering
from ssmlang.lowering.nonlinear import NonlinearLowering
from ssmlang.model.conditional import Parts, parts_of
from ssmlang.model.model import Model
from ssmlang.running.general import GeneralExecution


class ConditionalExecution(GeneralExecution):
    """The functions of one model and one engine of programs that are linear given a part of their states."""

    def lowered(self, model: Model, latent: tuple[str, ...]) -> NonlinearLowering:
        parts = parts_of(model)
        assert isinstance(parts, Parts)
        return ConditionalLowering(model, walks_of(model), parts, latent)
