"""The engines of the language by name: what each is for, and what those of this version need. No JAX here."""

from __future__ import annotations

from ssmlang.engines.requirements import Requirements

PURPOSE = {
    "kalman": "exact for linear-Gaussian programs of finite order: covariance form, element-wise updates",
    "square_root": "exact, factored covariances: safe in single precision",
    "parallel": "exact, logarithmic depth in time: for GPUs and long series",
    "dual": "exact for programs that read their whole past",
    "growing": "exact Kalman filter on the growing state",
    "batch": "exact, the joint Gaussian of all rows",
    "wiener_hopf": "exact, causal block Cholesky",
    "banded": "exact, block-banded precision",
    "ekf": "linearises by derivatives",
    "iekf": "linearises by derivatives, iterated",
    "ukf": "linearises by sigma points",
    "cubature": "linearises by cubature",
    "gauss_hermite": "linearises by Gauss-Hermite quadrature",
    "ipls": "iterated posterior linearisation",
    "laplace": "Gaussian at the mode, for non-Gaussian emissions",
    "recursion": "exact where past observations determine the states: one pass",
    "importance": "unbiased, around a Gaussian approximation",
    "dual_ekf": "states and augmented parameters in two filters",
    "particle": "weighted samples, for any program",
    "rao_blackwell": "samples of a part, exact in the rest",
    "discrete": "exact for discrete states",
    "imm": "Gaussian mixture for switching linear programs",
    "latent": "samples states and parameters together",
    "amortized": "a trained network",
}
"""Every engine of the language by name, with what it is for."""

REQUIRES = {
    "kalman": Requirements(linear=True, gaussian=True, finite_order=True, by_row=True),
    "square_root": Requirements(linear=True, gaussian=True, finite_order=True, by_row=True),
    "parallel": Requirements(linear=True, gaussian=True, finite_order=True, surprises=True),
    "batch": Requirements(linear=True, gaussian=True, finite_order=False, proper_start=True),
    "wiener_hopf": Requirements(linear=True, gaussian=True, finite_order=False, proper_start=True),
    "dual": Requirements(linear=True, gaussian=True, finite_order=False, proper_start=True),
    "banded": Requirements(
        linear=True,
        gaussian=True,
        finite_order=False,
        proper_start=True,
        process_noise=True,
        observation_noise=True,
        fresh_noise=True,
    ),
    "growing": Requirements(linear=True, gaussian=True, finite_order=False, proper_start=True),
    "discrete": Requirements(linear=False, gaussian=False, finite_order=True, discrete=True, by_row=True),
    "imm": Requirements(linear=False, gaussian=True, finite_order=True, exact=False, switching=True, by_row=True),
    "ekf": Requirements(
        linear=False, gaussian=False, finite_order=True, exact=False, continuous=True, moments=True, by_row=True
    ),
    "iekf": Requirements(
        linear=False, gaussian=False, finite_order=True, exact=False, continuous=True, moments=True, by_row=True
    ),
    "ukf": Requirements(
        linear=False, gaussian=False, finite_order=True, exact=False, continuous=True, moments=True, by_row=True
    ),
    "cubature": Requirements(
        linear=False, gaussian=False, finite_order=True, exact=False, continuous=True, moments=True, by_row=True
    ),
    "gauss_hermite": Requirements(
        linear=False, gaussian=False, finite_order=True, exact=False, continuous=True, moments=True, few=8,
        by_row=True,
    ),
    "ipls": Requirements(
        linear=False, gaussian=False, finite_order=True, exact=False, continuous=True, moments=True, by_row=True
    ),
    "dual_ekf": Requirements(
        linear=False, gaussian=False, finite_order=True, exact=False, continuous=True, moments=True, augmented=True,
        smooths=False, by_row=True,
    ),
    "laplace": Requirements(
        linear=False, gaussian=False, finite_order=True, exact=False, continuous=True, moments=True,
        emission_density=True, curved=True, diffuse=True,
    ),
    "importance": Requirements(
        linear=False, gaussian=False, finite_order=True, exact=False, continuous=True, moments=True,
        emission_density=True, curved=True, diffuse=True, random=True, normal_noise=True,
    ),
    "recursion": Requirements(
        linear=False, gaussian=False, finite_order=True, continuous=True, emission_density=True, unmoved=True,
        by_row=True,
    ),
    "particle": Requirements(
        linear=False, gaussian=False, finite_order=True, gradients=False, exact=False, emission_density=True,
        random=True, by_row=True,
    ),
    "rao_blackwell": Requirements(
        linear=False, gaussian=False, finite_order=True, gradients=False, exact=False, emission_density=True,
        random=True, part_linear=True, by_row=True,
    ),
    "latent": Requirements(
        linear=False, gaussian=False, finite_order=True, continuous=True, emission_density=True, normal_noise=True,
        joint=True,
    ),
}
"""The engines of this version with what they need, the same that their classes say; `auto` falls back in this order."""

AVAILABLE = tuple(REQUIRES)
"""The engines of this version."""
