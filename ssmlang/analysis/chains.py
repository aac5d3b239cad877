"""What the engine of discrete states needs of a model and does not find in it. No JAX here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ssmlang.model.chains import chain_form
from ssmlang.model.model import Model
from ssmlang.model.obstacles import Obstacle


def lacking(model: Model, able: Sequence[str] = ()) -> list[Obstacle]:
    """What stands between a model and `discrete`; `able`: engines that take the model."""
    form = chain_form(model)
    if not isinstance(form, tuple):
        return []
    return [replace(o, by=tuple(able)) if able else o for o in form]
