"""Independent blocks of a model on data: what is known of each before compiling, and their moments put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jax import Array
from jaxtyping import Bool

from ssmlang.engines._diffuse_head import DiffuseHead, diffuse_head
from ssmlang.engines.base import Engine, Gaps, Known
from ssmlang.engines.program import Initial, LinearGaussian
from ssmlang.engines.separately import Moments, Separately
from ssmlang.lowering.blocks import BlockLowering, GroupLowering
from ssmlang.lowering.gaussian import GaussianLowering
from ssmlang.results.moments import holds_covariance

Seen = Bool[np.ndarray, "rows m"]
_GLANCE = 64
"""Rows of the members' data compared at first, to find how long their diffuse phases can be."""


def blocks_of(lowering: GaussianLowering) -> BlockLowering | None:
    """The blocks of a lowered form; None where it is of one piece."""
    if lowering.past or lowering.n + lowering.m < 2:
        return None
    found = BlockLowering(lowering)
    return found if found.blocks.count > 1 else None


def asked(
    engine: Engine, method: str, blocks: BlockLowering, known: Known, adjoint: bool, steps: int
) -> Callable[[Mapping[str, Any], Mapping[str, Mapping[str, Any]]], Any]:
    """What a method of the engine gives for one series of so many rows: a function of (params, series)."""
    # What is never seen stays diffuse to the end.
    endless = known._replace(diffuse=DiffuseHead(steps, True))
    each = tuple(engine.for_data(known if g.observed else endless, adjoint=adjoint) for g in blocks.groups)
    separately = Separately(each)
    options = {"whole": holds_whole(blocks, steps)} if method in ("filter", "smooth") else {}

    def run(params: Mapping[str, Any], series: Mapping[str, Mapping[str, Array]]) -> Any:
        groups, y = blocks.programs(params, series["observations"], series["inputs"], steps)
        return getattr(separately, method)(groups, y, **options)

    return run


def holds_whole(blocks: BlockLowering, steps: int) -> bool:
    """Whether covariances of all states and of all observations are few enough to be given whole."""
    return holds_covariance(steps, max(blocks.whole.n, blocks.whole.m))


# ------------------------------------------------------------------------------------- what is known of the data


def known_of(blocks: BlockLowering, scored: Sequence[Seen]) -> Known:
    """What is known of any member's data: of the worst kind of gaps and the longest diffuse phase among all of them."""
    return Known(_gaps(blocks, scored), _head(blocks, scored))


def _gaps(blocks: BlockLowering, scored: Sequence[Seen]) -> Gaps:
    worst: Gaps = "none"
    for group in blocks.groups:
        if not group.observed:
            continue
        for seen in scored:
            own = seen[:, group.group.observations]
            whole = np.logical_not(np.any(own, axis=2))
            if (~own & ~whole[:, :, None]).any():
                return "entries"
            last = len(own) - np.argmax(~whole[::-1], axis=0)
            last[whole.all(axis=0)] = 0
            if (whole & (np.arange(len(own))[:, None] < last)).any():
                worst = "rows"
    return worst


def _head(blocks: BlockLowering, scored: Sequence[Seen]) -> DiffuseHead | None:
    """None where no member that is observed starts diffuse, or where it depends on parameters how long that lasts."""
    heads: list[DiffuseHead] = []
    for group in blocks.groups:
        if not group.observed or not group.start.matrices["diffuse"].shape[1]:
            continue
        program = _flat_program(group)
        if program is None:
            return None
        for seen in scored:
            heads += _group_heads(program, np.swapaxes(seen[:, group.group.observations], 0, 1))
    if not heads or any(h.rows >= len(s) > _GLANCE for h in heads for s in scored):
        return None
    return DiffuseHead(max(h.rows for h in heads), all(h.certain for h in heads))


def _group_heads(program: LinearGaussian, seen: Bool[np.ndarray, "B T m"]) -> list[DiffuseHead]:
    """One for each kind of beginning among the members' data."""
    _, first = np.unique(seen[:, :_GLANCE].reshape(len(seen), -1), axis=0, return_index=True)
    found = []
    for member in first:
        head = diffuse_head(program, seen[member, :_GLANCE])
        alike = (seen[:, :_GLANCE] == seen[member, :_GLANCE]).all(axis=(1, 2))
        if head.certain and head.rows < _GLANCE:
            found.append(head)
        else:
            found += [diffuse_head(program, own) for own in np.unique(seen[alike], axis=0)]
    return found


def _flat_program(group: GroupLowering) -> LinearGaussian | None:
    """What the diffuse directions of any member meet: F, H and the columns themselves, no scale of any noise."""
    F, H, columns = (group.constants(name) for name in ("F", "H", "diffuse"))
    if F is None or H is None or columns is None:
        return None
    s, N = group.structure, group.structure.memory_size
    zeros: Any = np.zeros
    initial = Initial(zeros(N), zeros((N, 0)), zeros((N, N)), columns)  # type: ignore[arg-type]
    G, J = zeros((len(s.transition_noise), s.n, s.r)), zeros((len(s.emission_noise), s.m, s.r))
    return LinearGaussian(F, zeros(s.n), G, H, zeros(s.m), J, initial, s)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------ put together


def assembled(blocks: BlockLowering, found: Sequence[Moments], steps: int) -> dict[str, np.ndarray]:
    """The moments of all blocks in the order of the whole, cut to `steps` rows: `mean` (T, n), `cov` (T, n, n), or `sd`
    (T, n) where the members' variances are all that was asked for, and so on; `log_likelihood` summed.

    Where several members hold parts of an entry, it is their sum.
    """
    sizes = {"observed": blocks.whole.m, "": blocks.whole.n}
    out: dict[str, np.ndarray] = {}
    for group, moments in zip(blocks.groups, found):
        for name, value in moments.arrays.items():
            values = np.asarray(value)[:, :steps]
            if name == "log_likelihood":
                out[name] = out.get(name, 0.0) + values.sum(axis=0)
                continue
            side = "observed" if name.startswith("observed") else ""
            at, size = group.group.observations if side else group.group.states, sizes[side]
            if name.endswith("cov"):
                whole = out.setdefault(name, np.zeros((steps, size, size)))
                _add(whole, (at[:, :, None], at[:, None, :]), values)
            else:
                _add(out.setdefault(name, np.zeros((steps, size))), (at,), values)
    for side in ("", "predicted_", "observed_"):
        if f"{side}var" in out:
            # Rounding can leave the variance of what is known exactly a little below zero.
            out[f"{side}sd"] = np.sqrt(np.maximum(out.pop(f"{side}var"), 0.0))
    for name, like in (("observed_mean", "mean"), ("observed_cov", "cov"), ("observed_sd", "sd")):
        if like in out and name not in out:  # no block has an observation
            out[name] = np.zeros((steps, 0, 0) if like == "cov" else (steps, 0))
    return out


def _add(whole: np.ndarray, at: tuple[np.ndarray, ...], values: np.ndarray) -> None:
    """whole[:, at] += values, with the members of `values` first and the rows next; places may repeat."""
    where = np.broadcast_arrays(*at)
    places = np.ravel_multi_index(tuple(a.reshape(-1) for a in where), whole.shape[1:])
    columns = np.moveaxis(values, 1, 0).reshape(values.shape[1], -1)
    flat = whole.reshape(len(whole), -1)
    if len(np.unique(places)) == len(places):
        flat[:, places] += columns
    else:
        np.add.at(flat.T, places, columns.T)
