"""What people write who come from R, JAGS, Stan, PyMC or NumPy: the names of the same things here."""

from __future__ import annotations

import re

from ssmlang.language.diagnostics import Edit, Fix
from ssmlang.language.source import Span

_LAWS = {
    "Normal": "n gaussian gauss dnorm norm", "HalfNormal": "dhalfnorm half_normal positivenormal",
    "MvNormal": "multivariatenormal multi_normal multinormal mvn dmnorm mvgaussian multi_normal_cholesky",
    "StudentT": "t dt student_t studentst", "LKJCholesky": "lkj lkj_corr lkj_corr_cholesky lkjcholeskycov lkjcorr",
    "NegativeBinomial": "neg_binomial neg_binomial_2 negativebinomial2 negbin dnbinom dnegbin",
    "Gamma": "dgamma", "Beta": "dbeta", "Uniform": "dunif unif", "Poisson": "dpois pois",
    "Binomial": "dbinom binom", "Bernoulli": "dbern bern bernoulli_logit", "Categorical": "dcat discrete",
    "Exponential": "dexp expon", "Dirichlet": "ddirch ddirichlet", "LogNormal": "dlnorm lognorm log_normal",
    "Cauchy": "dcauchy", "HalfCauchy": "half_cauchy dhalfcauchy", "VonMises": "dvonmises vonmisesfisher",
    "InverseGamma": "inv_gamma invgamma dinvgamma", "Laplace": "double_exponential doubleexponential ddexp",
    "Multinomial": "dmulti dmultinom",
}  # fmt: skip
_PRECISION = ("dnorm", "dlnorm", "dt", "dmnorm")
"""In JAGS and BUGS the second argument of these is a precision."""

_ARGUMENTS = {
    "loc": "mu mean m location", "scale": "sigma sd std stddev tau s", "df": "nu dof", "rate": "beta lam lambda_ mu b",
    "probs": "p prob q theta", "logits": "logit_p eta logit", "total_count": "n size trials", "low": "lower a min",
    "high": "upper b max", "cov": "sigma covariance covariance_matrix s q", "scale_tril": "chol l cholesky",
    "concentration": "alpha a kappa eta phi r size", "concentration1": "alpha a", "concentration0": "beta b",
    "mean": "mu m",
}  # fmt: skip

_FUNCTIONS = {
    **dict.fromkeys(("c", "array", "list", "vector"), "an array is written `[a, b]`"),
    "ifelse": "a choice is written `if a then b else c`",
    "pow": "a power is written `a^b`", "power": "a power is written `a^b`", "square": "a square is written `a^2`",
    "ln": "the natural logarithm is `log`", "log10": "write `log(x) / log(10)`", "expit": "it is `sigmoid` here",
    "inv_logit": "it is `sigmoid` here", "invlogit": "it is `sigmoid` here", "plogis": "it is `sigmoid` here",
    "pnorm": "it is `normal_cdf` here", "Phi": "it is `normal_cdf` here", "arctan": "it is `atan` here",
    "arctan2": "it is `atan2` here", "arcsin": "it is `asin` here", "arccos": "it is `acos` here",
    "matmul": "a matrix product is written `A @ b`", "transpose": "a transpose is written `A'`",
    "identity": "it is `eye(n)` here", "len": "a size is the `const` or the axis that it was declared by",
    "length": "a size is the `const` or the axis that it was declared by", "inv": "it is `inverse` here",
    "solve": "write `inverse(A) @ b`", "rep": "write `x * ones(n)`", "mean": "write `sum(x) / n`",
    "range": "a range is written `1..n`, both ends included", "lag": "a value of an earlier row is `x[t-1]`",
    "diff": "write `x[t] - x[t-1]`", "exp2": "write `2^x`", "fabs": "it is `abs` here", "sd": "write it out",
}  # fmt: skip


def law_named(name: str) -> tuple[str, str] | None:
    """The law that bears `name` elsewhere, with what is different about it."""
    lower = name.lower()
    for own, others in _LAWS.items():
        if lower == own.lower() or lower in others.split():
            return own, "; its last argument is a standard deviation, not a precision" if lower in _PRECISION else ""
    return None


def argument_named(name: str, arguments: tuple[str, ...]) -> str | None:
    """Which of a law's arguments bears `name` elsewhere."""
    return next((own for own in arguments if name.lower() in _ARGUMENTS.get(own, "").split()), None)


def function_named(name: str) -> str | None:
    """How what the function does elsewhere is written here."""
    return _FUNCTIONS.get(name)


def renamed(span: Span, name: str) -> Fix | None:
    """The fix of a function that has another name here and is the same in all else."""
    own = re.fullmatch(r"(?:it|the natural logarithm) is `(\w+)`(?: here)?", _FUNCTIONS.get(name, ""))
    return Fix(f"write `{own[1]}`", (Edit(span, own[1]),), safe=True) if own and span.text == name else None
