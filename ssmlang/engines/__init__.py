"""Inference engines over the program types; usable from Python without the language."""

from ssmlang.engines.base import Engine, engine_class, engine_names
from ssmlang.engines.kalman import Kalman
from ssmlang.engines.program import Initial, LinearGaussian, Structure

__all__ = ["Engine", "Initial", "Kalman", "LinearGaussian", "Structure", "engine_class", "engine_names"]
