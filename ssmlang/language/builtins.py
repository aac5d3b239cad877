"""The names that are known everywhere: functions, distributions and the constants of an expression."""

from __future__ import annotations

FUNCTIONS: frozenset[str] = frozenset(
    {
        "exp", "log", "log1p", "expm1", "sqrt", "sin", "cos", "tan", "asin", "acos", "atan", "atan2", "tanh",
        "sigmoid", "softplus", "relu", "abs", "min", "max", "sum", "prod", "gamma", "lgamma", "logit",
        "normal_cdf", "interp", "where", "dot", "diag", "eye", "zeros", "ones", "kron", "block_diag", "cholesky",
        "inverse", "softmax", "rk4", "euler", "monomials", "fourier", "rbf",
    }
)  # fmt: skip

DISTRIBUTIONS: frozenset[str] = frozenset(
    {
        "Normal", "MvNormal", "HalfNormal", "HalfCauchy", "StudentT", "Cauchy", "Laplace", "LogNormal",
        "Exponential", "Gamma", "InverseGamma", "Beta", "Uniform", "Dirichlet", "LKJCholesky", "VonMises",
        "Poisson", "NegativeBinomial", "Bernoulli", "Binomial", "Multinomial", "Categorical", "Diffuse",
        "Stationary",
    }
)  # fmt: skip

EVERYWHERE: frozenset[str] = frozenset({"t", "pi", "inf", "dt", "dW"})
"""Names that mean the same inside a component as outside of it."""

BUILTINS: frozenset[str] = FUNCTIONS | DISTRIBUTIONS
