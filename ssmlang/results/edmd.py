"""What extended dynamic mode decomposition finds: an operator, its spectrum, its errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float


@dataclass(frozen=True)
class Fit:
    """K (D, D), the offset (D,), and on rows held out the rms error of each coordinate beside its own spread (D,)."""

    matrix: Float[np.ndarray, "D D"]
    offset: Float[np.ndarray, " D"]
    error: Float[np.ndarray, " D"]


@dataclass(frozen=True)
class Edmd:
    """The least-squares operator of a lift: z[t] = K z[t-1] + offset. Prints as text.

    `operator` (coordinate, coordinate_), `offset` (coordinate), `projection_error` (coordinate): the rms error one row
    on, on rows that were held out, beside the coordinate's own spread. `eigenvalues`: those of K, the largest first.
    `noise_bias` (coordinate, coordinate_): by how much measurement noise in the data is estimated to have moved K.
    `prediction`: rms errors of one-step-ahead means of the observations, of the lifted filter, of the extended Kalman
    filter, and of one who knows the true state of the row before (`engine`, `obs`), with the log-likelihood a row.
    """

    model: str
    lift: str
    source: str
    pairs: int
    ridge: float
    operator: xr.DataArray
    offset: xr.DataArray
    projection_error: xr.DataArray
    eigenvalues: np.ndarray
    noise_bias: xr.DataArray | None = None
    prediction: xr.Dataset | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain lists and numbers."""
        names = [str(n) for n in self.operator.coordinate.values]
        found = {
            "model": self.model, "lift": self.lift, "source": self.source, "pairs": self.pairs, "ridge": self.ridge,
            "coordinates": names, "operator": self.operator.values.tolist(), "offset": self.offset.values.tolist(),
            "projection_error": self.projection_error.values.tolist(),
            "eigenvalues": [[float(e.real), float(e.imag)] for e in self.eigenvalues], "notes": list(self.notes),
        }  # fmt: skip
        if self.noise_bias is not None:
            found["noise_bias"] = self.noise_bias.values.tolist()
        if self.prediction is not None:
            found["prediction"] = {
                str(e): {"rms": self.prediction.rms.sel(engine=e).values.tolist(),
                         "log_likelihood": float(self.prediction.log_likelihood.sel(engine=e))}
                for e in self.prediction.engine.values
            }  # fmt: skip
        return found

    def __str__(self) -> str:
        from ssmlang.analysis.stability_modes import modes

        names = [str(n) for n in self.operator.coordinate.values]
        width = max(len(n) for n in names)
        share = lambda e: "0" if e < 5e-6 else f"{100 * e:.2g}"
        lines = [f"lift {self.lift} of {self.model}: K by least squares over {self.pairs:,} pairs of rows, "
                 f"{self.source}"]  # fmt: skip
        lines += [f"  {n:<{width}}  error {share(float(e))}% of its spread, one row on"
                  for n, e in zip(names, self.projection_error.values)]  # fmt: skip
        lines.append("  modes of K")
        lines += [f"    size {m.modulus:.4g}  {m.describe()}" for m in modes(self.operator.values)[:8]]
        if self.noise_bias is not None:
            worst = float(np.abs(self.noise_bias).max())
            lines.append(f"  noise in the data has moved entries of K by up to {worst:.2g} (estimated)")
        if self.prediction is not None:
            lines.append("  rms error of the observations' means one row ahead")
            for engine in self.prediction.engine.values:
                errors = ", ".join(f"{n} {float(v):.3g}" for n, v in zip(
                    self.prediction.obs.values, self.prediction.rms.sel(engine=engine).values))  # fmt: skip
                score = float(self.prediction.log_likelihood.sel(engine=engine))
                said = "" if np.isnan(score) else f"; log-likelihood {score:.4g} a row"
                lines.append(f"    {engine:<22} {errors}{said}")
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])

    __repr__ = __str__


def least_squares(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], held: Sequence[tuple[np.ndarray, np.ndarray]], ridge: float
) -> Fit:
    """K and the offset from (rows, D) pairs of coordinates and the same one row on; errors on those held out."""
    here, there = (np.concatenate(side) for side in zip(*pairs))
    D = here.shape[1]
    intercept = not any(np.ptp(here[:, j]) == 0 and here[0, j] != 0 for j in range(D))
    wide = lambda x: np.concatenate([x, np.ones((len(x), 1))], axis=1) if intercept else x
    X = wide(here)
    scale = np.maximum(np.sqrt(np.mean(X**2, axis=0)), 1e-300)
    penalty = np.sqrt(ridge * len(X)) * np.diag([1.0] * D + [0.0] * intercept)
    stacked, target = np.vstack([X / scale, penalty]), np.vstack([there, np.zeros((D + intercept, D))])
    solution = np.linalg.lstsq(stacked, target, rcond=None)[0] / scale[:, None]
    before, after = (np.concatenate(side) for side in zip(*held))
    error = np.sqrt(np.mean((after - wide(before) @ solution) ** 2, axis=0))
    spread = np.std(after, axis=0)
    size = np.sqrt(np.mean(after**2, axis=0))
    beside = np.where(spread > 1e-12 * size, spread, np.maximum(size, 1e-300))
    return Fit(solution[:D].T, solution[D] if intercept else np.zeros(D), error / beside)


def labelled(names: Sequence[str], fit: Fit, **rest: Any) -> Edmd:
    """The report of a fit."""
    coordinate = np.asarray(names, object)
    square = lambda m: xr.DataArray(m, dims=("coordinate", "coordinate_"),
                                    coords={"coordinate": coordinate, "coordinate_": coordinate})  # fmt: skip
    line = lambda v: xr.DataArray(v, dims="coordinate", coords={"coordinate": coordinate})
    eigenvalues = np.linalg.eigvals(fit.matrix)
    bias = rest.pop("noise_bias", None)
    return Edmd(operator=square(fit.matrix), offset=line(fit.offset), projection_error=line(fit.error),
                eigenvalues=eigenvalues[np.argsort(-np.abs(eigenvalues))],
                noise_bias=None if bias is None else square(bias), **rest)  # fmt: skip


def prediction(obs: Sequence[str], errors: Mapping[str, np.ndarray], scores: Mapping[str, float]) -> xr.Dataset:
    """Errors (engine, obs) and log-likelihoods a row (engine)."""
    engines = np.asarray(list(errors), object)
    return xr.Dataset(
        {"rms": (("engine", "obs"), np.array([errors[e] for e in errors])),
         "log_likelihood": ("engine", np.array([scores.get(e, np.nan) for e in errors]))},
        coords={"engine": engines, "obs": np.asarray(obs, object)},
    )  # fmt: skip
