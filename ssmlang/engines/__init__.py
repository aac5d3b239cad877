"""Inference engines over the program types; usable from Python without the language.

Every engine is a class of its own, imported when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssmlang.engines._diffuse_head import DiffuseHead as DiffuseHead
    from ssmlang.engines._diffuse_head import diffuse_head as diffuse_head
    from ssmlang.engines.base import Engine as Engine
    from ssmlang.engines.base import Known as Known
    from ssmlang.engines.base import engine_class as engine_class
    from ssmlang.engines.base import engine_names as engine_names
    from ssmlang.engines.discrete import Chains as Chains
    from ssmlang.engines.discrete import Discrete as Discrete
    from ssmlang.engines.imm import IMM as IMM
    from ssmlang.engines.importance import Importance as Importance
    from ssmlang.engines.kalman import Kalman as Kalman
    from ssmlang.engines.laplace import Laplace as Laplace
    from ssmlang.engines.latent import Latent as Latent
    from ssmlang.engines.markov_chain import MarkovChain as MarkovChain
    from ssmlang.engines.markov_chain import Memory as Memory
    from ssmlang.engines.particle import Particle as Particle
    from ssmlang.engines.program import Initial as Initial
    from ssmlang.engines.program import LinearGaussian as LinearGaussian
    from ssmlang.engines.program import Structure as Structure
    from ssmlang.engines.rao_blackwell import RaoBlackwell as RaoBlackwell
    from ssmlang.engines.recursion import Recursion as Recursion
    from ssmlang.engines.switching import Switching as Switching

_HOMES = {
    "Banded": "banded",
    "Batch": "batch",
    "Chains": "discrete",
    "Cubature": "cubature",
    "DiffuseHead": "_diffuse_head",
    "Discrete": "discrete",
    "Dual": "dual",
    "DualEKF": "dual_ekf",
    "EKF": "ekf",
    "Engine": "base",
    "GaussHermite": "gauss_hermite",
    "Growing": "growing",
    "IEKF": "iekf",
    "IMM": "imm",
    "IPLS": "ipls",
    "Importance": "importance",
    "Initial": "program",
    "Kalman": "kalman",
    "Known": "base",
    "Latent": "latent",
    "Laplace": "laplace",
    "LinearGaussian": "program",
    "MarkovChain": "markov_chain",
    "Memory": "markov_chain",
    "Parallel": "parallel",
    "Particle": "particle",
    "RaoBlackwell": "rao_blackwell",
    "Recursion": "recursion",
    "SquareRoot": "square_root",
    "Structure": "program",
    "Switching": "switching",
    "UKF": "ukf",
    "WienerHopf": "wiener_hopf",
    "diffuse_head": "_diffuse_head",
    "engine_class": "base",
    "engine_names": "base",
}
"""Name -> the module of this package that holds it."""

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ssmlang.engines' has no attribute {name!r}")
    try:
        value = getattr(import_module(f"ssmlang.engines.{_HOMES[name]}"), name)
    except ModuleNotFoundError as missing:
        if missing.name != f"ssmlang.engines.{_HOMES[name]}":
            raise
        raise AttributeError(f"module 'ssmlang.engines' has no attribute {name!r}") from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
