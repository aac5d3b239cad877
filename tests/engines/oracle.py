"""Moments and densities of a LinearGaussian program by dense linear algebra in NumPy, sharing nothing with an engine.

Every x_t, e_t and y_t is written as  constant + loadings @ zeta + flat @ delta,  zeta independent standard normal and
delta flat; what is wanted of the joint normal law then comes from least squares on those loadings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ssmlang.engines import LinearGaussian


@dataclass
class Linear:
    """Random quantities as rows: constant + loadings @ zeta + flat @ delta."""

    constant: np.ndarray
    loadings: np.ndarray
    flat: np.ndarray

    def __add__(self, other: Linear) -> Linear:
        return Linear(self.constant + other.constant, self.loadings + other.loadings, self.flat + other.flat)

    def __rmatmul__(self, A: np.ndarray) -> Linear:
        return Linear(A @ self.constant, A @ self.loadings, A @ self.flat)

    def __getitem__(self, rows) -> Linear:
        return Linear(self.constant[rows], self.loadings[rows], self.flat[rows])

    __array_ufunc__ = None

    @staticmethod
    def stack(parts: list[Linear]) -> Linear:
        return Linear(
            *(np.concatenate(p) for p in zip(*((q.constant, q.loadings, q.flat) for q in parts), strict=True))
        )


@dataclass
class Dense:
    """The program unrolled over `steps` rows."""

    program: LinearGaussian
    steps: int

    def __post_init__(self) -> None:
        s, T = self.program.structure, self.steps
        init = [np.asarray(v, float) for v in self.program.initial[:4]]
        mean, factor, cov, diffuse = init
        w, V = np.linalg.eigh(cov)
        root = np.concatenate([factor, V * np.sqrt(np.maximum(w, 0.0))], axis=1)
        M, r, k, d = list(s.memory_noises), s.r, root.shape[1], diffuse.shape[1]
        size = k + T * r
        start = Linear(mean, np.pad(root, ((0, 0), (0, size - k))), diffuse)

        zero = Linear(np.zeros(r), np.zeros((r, size)), np.zeros((r, d)))
        self.e: dict[int, Linear] = {}
        for t in range(-max(len(s.transition_noise), len(s.emission_noise), 1), T):
            e = Linear(zero.constant.copy(), zero.loadings.copy(), zero.flat.copy())
            if t >= 0:
                e.loadings[:, k + t * r : k + (t + 1) * r] = np.eye(r)
            if t <= 0 and -t < s.noise_rows:
                here = s.n * s.state_rows + len(M) * -t
                for a in ("constant", "loadings", "flat"):
                    getattr(e, a)[M] = getattr(start, a)[here : here + len(M)]
            self.e[t] = e
        self.x: dict[int, Linear] = {-j: start[j * s.n : (j + 1) * s.n] for j in range(s.state_rows)}
        for t in range(1, T):
            F, c, G = self.at("F", t), self.at("c", t), self.at("G", t)
            terms = [F[j] @ self.x[t - j - 1] for j in range(len(F))] + [G[j] @ self.e[t - j] for j in range(len(G))]
            self.x[t] = self.plus(c, terms, size, d)
        self.y, self.signal = {}, {}
        for t in range(T):
            H, offset, J = self.at("H", t), self.at("d", t), self.at("J", t)
            emission = [H[j] @ self.x[t - j] for j in range(len(H))]
            noise = [J[j] @ self.e[t - j] for j in range(len(J))]
            own = np.zeros((s.m, s.r), bool)
            own[:, M] = True
            kept = [np.where(own, J[j], 0.0) @ self.e[t - j] for j in range(len(J))]
            self.y[t] = self.plus(offset, emission + noise, size, d)
            self.signal[t] = self.plus(offset, emission + kept, size, d)
        self.memory = {}
        for t in range(T):
            rows = [self.x[t - j] for j in range(s.state_rows)] if t < T else []
            rows += [self.e[t - j][M] for j in range(s.noise_rows)]
            self.memory[t] = Linear.stack(rows)

    def at(self, name: str, t: int) -> np.ndarray:
        array = np.asarray(getattr(self.program, name))
        base = {"F": 3, "c": 1, "G": 3, "H": 3, "d": 1, "J": 3}[name]
        return array if array.ndim == base else array[t]

    @staticmethod
    def plus(offset: np.ndarray, terms: list[Linear], size: int, d: int) -> Linear:
        total = Linear(np.array(offset, float), np.zeros((len(offset), size)), np.zeros((len(offset), d)))
        for term in terms:
            total = total + term
        return total

    def observed(self, y: np.ndarray, rows: range) -> tuple[Linear, np.ndarray]:
        """The entries of y seen in `rows`, as random quantities and as numbers."""
        stacked = Linear.stack([self.y[t] for t in rows]) if len(rows) else None
        values = np.concatenate([y[t] for t in rows]) if len(rows) else np.zeros(0)
        seen = ~np.isnan(values)
        if stacked is None:
            first = self.y[0][np.zeros(0, int)]
            return first, values
        return stacked[seen], values[seen]

    def log_likelihood(self, y: np.ndarray, steps: int | None = None) -> float:
        """Log-density of the rows before `steps`, the diffuse part as Durbin & Koopman's limit, 2 pi counted for what
        is not spent on it: the density of A'y with A'X = 0, less half the log-determinant of X'X."""
        law, values = self.observed(y, range(self.steps if steps is None else steps))
        U, s, _ = np.linalg.svd(law.flat, full_matrices=True)
        q = int((s > 1e-9 * max(s.max(initial=0.0), 1.0)).sum())
        A = U[:, q:].T
        C, v = A @ law.loadings, A @ (values - law.constant)
        # Density from the QR of the loadings: |R_ii| are the conditional standard deviations.
        R = np.linalg.qr(C.T, mode="r")
        z = np.linalg.solve(R.T, v)
        logdet = np.log(np.abs(np.diag(R))).sum()
        return float(-0.5 * z @ z - logdet - 0.5 * len(v) * np.log(2 * np.pi) - np.log(s[:q]).sum())

    def posterior(self, target: Linear, y: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean and covariance of `target` given the rows before `steps`: the best unbiased linear prediction.

        Variance inf (and covariance 0) for what no observation identifies; its mean is not checked: NaN.
        """
        law, values = self.observed(y, range(steps))
        null = _null_space(law.flat)
        unknown = np.linalg.norm(target.flat @ null, axis=1) > 1e-8
        flat = np.where(unknown[:, None], 0.0, target.flat)
        q = law.flat.shape[1]
        k = len(values)
        saddle = np.block([[law.loadings @ law.loadings.T, law.flat], [law.flat.T, np.zeros((q, q))]])
        right = np.concatenate([law.loadings @ target.loadings.T, flat.T])
        W = np.linalg.lstsq(saddle, right, rcond=1e-12)[0][:k].T
        mean = target.constant + W @ (values - law.constant)
        error = target.loadings - W @ law.loadings
        cov = error @ error.T
        mean[unknown] = np.nan
        cov[unknown, :] = 0.0
        cov[:, unknown] = 0.0
        cov[unknown, unknown] = np.inf
        return mean, cov


def _null_space(X: np.ndarray) -> np.ndarray:
    """Directions of delta that X does not see."""
    if X.shape[1] == 0 or X.shape[0] == 0:
        return np.eye(X.shape[1])
    _, s, Vt = np.linalg.svd(X, full_matrices=True)
    rank = int((s > 1e-9 * max(s.max(initial=0.0), 1.0)).sum())
    return Vt[rank:].T
