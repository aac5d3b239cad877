"""Inference engines over the program types; usable from Python without the language."""

from ssmlang.engines._diffuse_head import DiffuseHead, diffuse_head
from ssmlang.engines.base import Engine, engine_class, engine_names
from ssmlang.engines.kalman import Kalman
from ssmlang.engines.program import Initial, LinearGaussian, Structure

__all__ = [
    "DiffuseHead",
    "Engine",
    "Initial",
    "Kalman",
    "LinearGaussian",
    "Structure",
    "diffuse_head",
    "engine_class",
    "engine_names",
]
