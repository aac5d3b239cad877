"""What the engines of discrete states need of a model and do not find in it. No JAX here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ssmlang.model.chains import chain_form
from ssmlang.model.model import Model
from ssmlang.model.obstacles import Obstacle
from ssmlang.model.switching import switching_form


def lacking(model: Model, able: Sequence[str] = ()) -> list[Obstacle]:
    """What stands between a model and `discrete`; `able`: engines that take the model."""
    return _against(chain_form(model), able)


def not_switching(model: Model, able: Sequence[str] = ()) -> list[Obstacle]:
    """What stands between a model and `imm`."""
    return _against(switching_form(model), able)


def _against(form: object, able: Sequence[str]) -> list[Obstacle]:
    if not isinstance(form, tuple):
        return []
    return [replace(o, by=tuple(able)) if able else o for o in form]
