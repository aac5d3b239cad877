"""Models whose identified parameters are known: from the literature, or by a line of algebra.

Each: the text, what is not identified ({"a", "s"}: moved together), the functions that are ("a * s"), lines of
`unless`, and notes, as far as they are told apart here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Known:
    text: str
    lost: tuple[frozenset[str], ...] = ()
    kept: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    first_row: tuple[frozenset[str], ...] = ()
    open: frozenset[str] = frozenset()
    """parameters of which the check knows no answer"""


def _lost(*groups: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(g.split()) for g in groups)


AR1 = "state x\nobs y\ninit x ~ Stationary()\nx[t] ~ Normal(phi * x[t-1], s)\n"
SCALES = "param s, sd ~ HalfNormal(1)\nparam phi in (-1, 1) ~ Normal(0.5, 0.3)\n"
SQUARE = (
    "param a, b in (-1, 1) ~ Uniform(-1, 1)\nstate u, v\nobs y\nv[t] = b * v[t-1] + c * u[t-1]^2\n"
    "y[t] ~ Normal(v[t], s)\n"
)

KNOWN: dict[str, Known] = {
    # Harvey (1989), 4.4: a level and a noise are told apart by variance and first autocovariance of the differences.
    "local level": Known(
        "param s, sd ~ HalfNormal(1)\nstate level\nobs y\ninit level ~ Diffuse()\nlevel[t] ~ Normal(level[t-1], s)\n"
        "y[t] ~ Normal(level[t], sd)\n"
    ),
    "two random walks": Known(
        "param s1, s2, sd ~ HalfNormal(1)\nstate a, b\nobs y\ninit a, b ~ Diffuse()\na[t] ~ Normal(a[t-1], s1)\n"
        "b[t] ~ Normal(b[t-1], s2)\ny[t] ~ Normal(a[t] + b[t], sd)\n",
        _lost("s1 s2"), ("s1^2 + s2^2",),
    ),
    "trend and season": Known(
        "from structural import local_linear_trend, seasonal\nparam s1, s2, s3, sd ~ HalfNormal(1)\n"
        "part trend = local_linear_trend(s1, s2)\npart season = seasonal(period = 4, sd = s3)\nobs y\n"
        "y[t] ~ Normal(trend[t] + season[t], sd)\n"
    ),
    "scale of a factor": Known(
        "param a ~ Normal(0, 1)\n" + SCALES + AR1 + "y[t] ~ Normal(a * x[t], sd)\n",
        _lost("a s"), ("a * s",), ("phi = 0, where only a^2 * s^2 + sd^2 is identified",), ("up to the sign of a",),
    ),
    "factor of unit scale": Known(
        "param a ~ Normal(0, 1)\n" + SCALES.replace("s, sd", "sd") + AR1.replace(", s)", ", 1)")
        + "y[t] ~ Normal(a * x[t], sd)\n",
        unless=("a = 0, where phi is not identified", "phi = 0, where only a^2 + sd^2 is identified"),
        notes=("the sign of a",),
    ),
    "noisy autoregression": Known(
        SCALES + AR1 + "y[t] ~ Normal(x[t], sd)\n", unless=("phi = 0, where only s^2 + sd^2 is identified",)
    ),
    "two noises of one row": Known(
        "param s, sd ~ HalfNormal(1)\nstate x\nobs y\nx[t] ~ Normal(0, s)\ny[t] ~ Normal(x[t], sd)\n",
        _lost("s sd"), ("s^2 + sd^2",),
    ),
    "two means": Known(
        "param mu, c ~ Normal(0, 1)\n" + SCALES + AR1 + "y[t] ~ Normal(mu + c + x[t], sd)\n",
        _lost("c mu"), ("mu + c",), ("phi = 0, where only s^2 + sd^2 is identified",),
    ),
    "a mean under a diffuse level": Known(
        "param mu ~ Normal(0, 1)\nparam s, sd ~ HalfNormal(1)\nstate level\nobs y\ninit level ~ Diffuse()\n"
        "level[t] ~ Normal(level[t-1], s)\ny[t] ~ Normal(mu + level[t], sd)\n",
        _lost("mu"), (),
    ),
    "drift of a random walk": Known(
        "param drift ~ Normal(0, 1)\nparam s ~ HalfNormal(1)\nstate x\nobs y\ninit x ~ Diffuse()\n"
        "x[t] ~ Normal(drift + x[t-1], s)\ny[t] = x[t]\n"
    ),
    "intercept and mean": Known(
        "param a, b, phi ~ Normal(0, 0.3)\nparam s ~ HalfNormal(1)\nstate x\nobs y\ninit x ~ Stationary()\n"
        "x[t] ~ Normal(a + phi * x[t-1], s)\ny[t] = b + x[t]\n",
        _lost("a b"),
    ),
    # Brockwell and Davis (1991), 3.1: identified but where the two polynomials have a root in common.
    "ARMA(1, 1)": Known(
        "param phi in (-1, 1) ~ Normal(0, 0.5)\nparam theta in (-1, 1) ~ Normal(0, 0.5)\nparam s ~ HalfNormal(1)\n"
        "noise e ~ Normal(0, s)\nstate x\nobs y\ninit x ~ Stationary()\nx[t] = phi * x[t-1] + e[t] + theta * e[t-1]\n"
        "y[t] = x[t]\n",
        unless=("theta = -phi, where phi is not identified",),
    ),
    "ARMA(2, 1)": Known(
        "param phi[2] in stationary ~ Normal(0, 0.5)\nparam theta in (-1, 1) ~ Normal(0, 0.5)\n"
        "param s ~ HalfNormal(1)\nnoise e ~ Normal(0, s)\nstate x\nobs y\ninit x ~ Stationary()\n"
        "x[t] = phi[0] * x[t-1] + phi[1] * x[t-2] + e[t] + theta * e[t-1]\ny[t] = x[t]\n",
        unless=("phi[0] * theta - phi[1] + theta^2 = 0, where phi and theta are not identified",),
    ),
    # Morley, Nelson and Zivot (2003): correlated trend and cycle need a cycle of order two.
    "trend and AR(1) cycle, correlated": Known(
        "param drift ~ Normal(0.8, 0.5)\nparam phi in (-1, 1) ~ Normal(0, 0.7)\nparam s1, s2 ~ HalfNormal(1)\n"
        "param rho in (-1, 1) ~ Normal(0, 0.5)\nlet Q = [[s1^2, rho * s1 * s2], [rho * s1 * s2, s2^2]]\n"
        "state trend, cycle\nobs y\ninit trend ~ Diffuse()\ninit cycle ~ Stationary()\n"
        "(trend[t], cycle[t]) ~ MvNormal([drift + trend[t-1], phi * cycle[t-1]], Q)\ny[t] = trend[t] + cycle[t]\n",
        _lost("rho s2"),
    ),
    "trend and AR(2) cycle, correlated": Known(
        "param drift ~ Normal(0.8, 0.5)\nparam phi[2] in stationary ~ Normal(0, 0.7)\nparam s1, s2 ~ HalfNormal(1)\n"
        "param rho in (-1, 1) ~ Normal(0, 0.5)\nlet Q = [[s1^2, rho * s1 * s2], [rho * s1 * s2, s2^2]]\n"
        "state trend, cycle\nobs y\ninit trend ~ Diffuse()\ninit cycle ~ Stationary()\n"
        "(trend[t], cycle[t]) ~ MvNormal([drift + trend[t-1], phi[0] * cycle[t-1] + phi[1] * cycle[t-2]], Q)\n"
        "y[t] = trend[t] + cycle[t]\n",
        unless=("phi[1] = 0, where s2 and rho are not identified",),
    ),
    "two factors of one law": Known(
        "param L[3, 2] ~ Normal(0, 1)\nparam sd ~ HalfNormal(1)\nparam phi in (-1, 1) ~ Normal(0, 0.5)\nstate f[2]\n"
        "obs y[3]\ninit f ~ Stationary()\nf[t] ~ Normal(phi * f[t-1], 1)\ny[t] ~ Normal(L @ f[t], sd)\n",
        _lost("L[0,0] L[0,1] L[1,0] L[1,1] L[2,0] L[2,1]"), ("L @ L'",),
    ),
    "two factors of two laws": Known(
        "param L[3, 2] ~ Normal(0, 1)\nparam sd ~ HalfNormal(1)\nparam phi[2] in (-1, 1) ~ Normal(0, 0.5)\nstate f[2]\n"
        "obs y[3]\ninit f ~ Stationary()\nf[t] ~ Normal(phi * f[t-1], 1)\ny[t] ~ Normal(L @ f[t], sd)\n",
        unless=("phi[1] = phi[0], where L is not identified",),
        notes=("the sign of L[:, 0]", "labels 0 and 1 exchanged in L, phi"),
    ),
    # Bellman and Astrom (1970): two compartments, input and output in the first; both leak.
    "two leaking compartments": Known(
        "param k21, k12, k02, k01 ~ HalfNormal(1)\nparam sd ~ HalfNormal(1)\ninput u\nstate x, z\nobs y\n"
        "init x = 0\ninit z = 0\nx[t] = x[t-1] + 0.1 * (k12 * z[t-1] - (k01 + k21) * x[t-1]) + u[t]\n"
        "z[t] = z[t-1] + 0.1 * (k21 * x[t-1] - (k02 + k12) * z[t-1])\ny[t] ~ Normal(x[t], sd)\n",
        _lost("k01 k02 k12 k21"), ("k21 + k01", "k12 + k02", "k21 * k12"),
    ),
    "two compartments, one leak": Known(
        "param k21, k12, k01 ~ HalfNormal(1)\nparam sd ~ HalfNormal(1)\ninput u\nstate x, z\nobs y\n"
        "init x = 0\ninit z = 0\nx[t] = x[t-1] + 0.1 * (k12 * z[t-1] - (k01 + k21) * x[t-1]) + u[t]\n"
        "z[t] = z[t-1] + 0.1 * (k21 * x[t-1] - k12 * z[t-1])\ny[t] ~ Normal(x[t], sd)\n"
    ),
    # Godfrey (1983): the rates of a chain are told but for their order, where only its end is seen.
    "chain of compartments seen at its end": Known(
        "param k1, k2, k3 in (0, 1) ~ Uniform(0, 1)\nparam s ~ HalfNormal(1)\nstate a, b, c\nobs y\ninit a = 1\n"
        "init b = 0\ninit c = 0\na[t] = (1 - k1) * a[t-1]\nb[t] = k1 * a[t-1] + (1 - k2) * b[t-1]\n"
        "c[t] = k2 * b[t-1] + (1 - k3) * c[t-1]\ny[t] ~ Normal(c[t], s)\n",
        notes=("up to k1 and k2 exchanged", "`k2 in (k1, 1)`"),
    ),
    "two autoregressions of their own names": Known(
        "param p, q in (-1, 1) ~ Uniform(-1, 1)\nparam s1, s2 ~ HalfNormal(1)\nstate a, b\nobs y\n"
        "init a, b ~ Stationary()\na[t] ~ Normal(p * a[t-1], s1)\nb[t] ~ Normal(q * b[t-1], s2)\n"
        "y[t] = a[t] + b[t]\n",
        unless=("q = p, where only p and s1^2 + s2^2 are identified",),
        notes=("up to p and q, s1 and s2 exchanged", "`q in (p, 1)`"),
    ),
    "volume and dose": Known(
        "param k, v, dose ~ HalfNormal(1)\nparam sd ~ HalfNormal(1)\nstate x\nobs y\ninit x = dose\n"
        "x[t] = x[t-1] - 0.1 * k * x[t-1]\ny[t] ~ Normal(x[t] / v, sd)\n",
        _lost("dose v"),
    ),
    "gain of an input": Known(
        "param a, b ~ Normal(0, 1)\n" + SCALES.replace("s, sd", "sd") + "input u\nstate x\nobs y\ninit x = 0\n"
        "x[t] = phi * x[t-1] + b * u[t]\ny[t] ~ Normal(a * x[t], sd)\n",
        _lost("a b"), ("a * b",),
    ),
    "two inputs": Known(
        "param b[2] ~ Normal(0, 1)\nparam sd ~ HalfNormal(1)\ninput u[2]\nobs y\ny[t] ~ Normal(dot(b, u[t]), sd)\n"
    ),
    "an input twice": Known(
        "param b, c ~ Normal(0, 1)\nparam sd ~ HalfNormal(1)\ninput u\nobs y\n"
        "y[t] ~ Normal(b * u[t] + 2 * c * u[t], sd)\n",
        _lost("b c"), ("b + 2 * c",),
    ),
    "scale told by the first row": Known(
        "param a ~ Normal(0, 1)\nparam s ~ HalfNormal(1)\nstate x\nobs y\ninit x ~ Normal(0, 1)\n"
        "x[t] ~ Normal(0.5 * x[t-1], s)\ny[t] = a * x[t]\n",
        first_row=_lost("a s"), unless=("a = 0, where s is not identified",), notes=("the sign of a",),
    ),
    "law of the first row": Known(
        "param m ~ Normal(0, 1)\nparam s ~ HalfNormal(1)\nstate x\nobs y\ninit x ~ Normal(m, 2)\n"
        "x[t] ~ Normal(0.5 * x[t-1], s)\ny[t] ~ Normal(x[t], 1)\n",
        notes=("m: of the first row alone",),
    ),
    "ratio": Known(
        "param a, b ~ HalfNormal(1)\nparam s ~ HalfNormal(1)\ninput u\nobs y\ny[t] ~ Normal(a / b * u[t], s)\n",
        _lost("a b"), ("a / b",),
    ),
    "power": Known(
        "param a, b ~ HalfNormal(1)\nparam s ~ HalfNormal(1)\ninput u\nobs y\ny[t] ~ Normal(a^2 * b * u[t], s)\n",
        _lost("a b"), ("a^2 * b",),
    ),
    "exponential": Known(
        "param a, b ~ Normal(0, 1)\nparam s ~ HalfNormal(1)\ninput u\nobs y\ny[t] ~ Normal(exp(a + b) * u[t], s)\n",
        _lost("a b"), ("a + b",),
    ),
    # Functions that are not algebraic are not random twice: exp(-a) is no exp(a).
    "logarithm of a scale": Known(
        "param a, b ~ Normal(0, 1)\nparam s ~ HalfNormal(1)\nstate x\nobs y\ninit x ~ Stationary()\n"
        "x[t] ~ Normal(tanh(b) * x[t-1], exp(a))\ny[t] ~ Normal(x[t], s)\n",
        unless=("b = 0, where a and s are not identified",),
    ),
    "two autoregressions that may be exchanged": Known(
        "axis site = {east, west}\nparam a[site] ~ Normal(0, 1)\nparam phi[site] in (-1, 1) ~ Uniform(-1, 1)\n"
        "state x[site]\nobs y\ninit x ~ Stationary()\nx[t] ~ Normal(phi * x[t-1], exp(a))\n"
        "y[t] = x[t, east] + x[t, west]\n",
        unless=("phi[west] = phi[east], where a is not identified",),
        notes=("labels east and west of site exchanged in a, phi",),
    ),
    "vector autoregression": Known(
        "param A[2, 2] ~ Normal(0, 0.3)\nparam scale[2] ~ HalfNormal(1)\nparam L[2, 2] ~ LKJCholesky(2)\nstate x[2]\n"
        "obs y[2]\ninit x ~ Normal(0, 5)\nx[t] ~ MvNormal(A @ x[t-1], scale_tril = diag(scale) @ L)\ny[t] = x[t]\n"
    ),
    "a parameter nobody sees": Known(
        "param s, q ~ HalfNormal(1)\nstate x, z\nobs y\ninit x, z ~ Normal(0, 1)\nx[t] ~ Normal(0.5 * x[t-1], s)\n"
        "z[t] ~ Normal(0.5 * z[t-1], q)\ny[t] = x[t]\n",
        _lost("q"), (),
    ),
    "feedback of what was seen": Known(
        "param a, b, sd ~ HalfNormal(1)\nobs y\ny[t] ~ Normal(a + b * y[t-1], sd)\n"
    ),
    # Nonlinear: by the noise-free path.
    # A square of what starts from a known law: c u^2 tells c through the spread of u at row 0, so that it must not be
    # refuted. Where that spread is a parameter too, u can be scaled.
    "square of a state with a known start": Known(
        SQUARE + "param c ~ Normal(0, 1)\nparam s ~ HalfNormal(1)\ninit u, v ~ Normal(0, 1)\nu[t] = a * u[t-1]\n",
        open=frozenset({"c"}),
    ),
    "square of a state with a fixed start": Known(
        SQUARE + "param c ~ Normal(0, 1)\nparam s ~ HalfNormal(1)\ninit u = 1\ninit v ~ Normal(0, 1)\n"
        "u[t] = a * u[t-1]\n"
    ),
    "square of a state whose start has a scale": Known(
        SQUARE + "param c ~ Normal(0, 1)\nparam s, k ~ HalfNormal(1)\ninit u ~ Normal(0, k)\ninit v ~ Normal(0, 1)\n"
        "u[t] = a * u[t-1]\n",
        _lost("c k"), ("at most c * k^2 is identified",),
    ),
    "square of a state with a diffuse start": Known(
        SQUARE + "param c ~ Normal(0, 1)\nparam s ~ HalfNormal(1)\ninit u ~ Diffuse()\ninit v ~ Normal(0, 1)\n"
        "u[t] = a * u[t-1]\n",
        _lost("c"),
    ),
    "square of a state with noise from a known start": Known(
        SQUARE + "param c ~ Normal(0, 1)\nparam s, q ~ HalfNormal(1)\ninit u, v ~ Normal(0, 1)\n"
        "u[t] ~ Normal(a * u[t-1], q)\n",
        open=frozenset({"c", "q"}),
    ),
    "square of a state with noise from its own scale": Known(
        SQUARE + "param c ~ Normal(0, 1)\nparam s, q ~ HalfNormal(1)\ninit u ~ Normal(0, q)\ninit v ~ Normal(0, 1)\n"
        "u[t] ~ Normal(a * u[t-1], q)\n",
        _lost("c q"), ("at most c * q^2 is identified",),
    ),
    "SIR, everything scaled": Known(
        "param beta, rec, k, N, i0 ~ HalfNormal(1)\nstate s, i\nobs y\ninit s = N - i0\ninit i = i0\n"
        "s[t] = s[t-1] - beta * s[t-1] * i[t-1] / N\ni[t] = i[t-1] + beta * s[t-1] * i[t-1] / N - rec * i[t-1]\n"
        "y[t] ~ Poisson(k * i[t])\n",
        _lost("N i0 k"), ("k * N", "k * i0"),
    ),
    "SIR, reporting rate": Known(
        "param beta, rec, k ~ HalfNormal(1)\nparam i0 in (0, 1) ~ Beta(2, 5)\nstate s, i\nobs y\ninit s = 1 - i0\n"
        "init i = i0\ns[t] = s[t-1] - beta * s[t-1] * i[t-1]\ni[t] = i[t-1] + beta * s[t-1] * i[t-1] - rec * i[t-1]\n"
        "y[t] ~ Poisson(k * i[t])\n"
    ),
    # A threshold moves the law, though the derivative of no path shows it.
    "threshold": Known(
        "param a, b in (-1, 1) ~ Uniform(-1, 1)\nparam c ~ Normal(0, 1)\nstate x\nobs y\ninit x ~ Normal(0, 1)\n"
        "x[t] ~ Normal(if x[t-1] > c then a * x[t-1] else b * x[t-1], 1)\ny[t] ~ Normal(x[t], 1)\n",
        open=frozenset("bc"),
    ),
    "threshold of what is seen": Known(
        "param a, b in (-1, 1) ~ Uniform(-1, 1)\nparam c ~ Normal(0, 1)\nobs y\ninit y ~ Normal(0, 1)\n"
        "y[t] ~ Normal(if y[t-1] > c then a * y[t-1] else b * y[t-1], 1)\n",
        open=frozenset("c"),
    ),
    "threshold of an input": Known(
        "param a, b, c ~ Normal(0, 1)\ninput u\nobs y\ny[t] ~ Normal(if u[t] > c then a else b, 1)\n",
        open=frozenset("c"),
    ),
    "threshold that is a sum": Known(
        "param a, b, c, d ~ Normal(0, 1)\ninput u\nobs y\ny[t] ~ Normal(if u[t] > c + d then a else b, 1)\n",
        _lost("c d"), ("c + d",),
    ),
    "threshold of a noise-free path": Known(
        "param a in (0, 1) ~ Uniform(0, 1)\nparam c ~ Normal(0, 1)\ninput u\nstate x\nobs y\ninit x = 1\n"
        "x[t] = a * x[t-1]^2 + (if u[t] > c then 0.1 else 0.3)\ny[t] ~ Normal(x[t], 1)\n",
        open=frozenset("c"),
    ),
    "floor that few paths meet": Known(
        "param a in (0, 1) ~ Uniform(0, 1)\nparam c ~ Normal(-5, 0.1)\nstate x\nobs y\ninit x ~ Normal(0, 1)\n"
        "x[t] ~ Normal(max(a * x[t-1], c), 1)\ny[t] ~ Normal(x[t], 1)\n",
        open=frozenset("c"),
    ),
    # Of predators that nobody sees the scale is free.
    "Lotka and Volterra through the prey": Known(
        "const dt = 0.1\nparam a, b, c, d, x0, v0 ~ LogNormal(0, 0.5)\nparam s ~ HalfNormal(1)\nstate x, v\nobs y\n"
        "init x = x0\ninit v = v0\nd(x) = x * (a - b * v) * dt\nd(v) = v * (c * x - d) * dt\ny[t] ~ Normal(x[t], s)\n",
        _lost("b v0"), ("b * v0",),
    ),
    "logistic growth, scaled": Known(
        "param r, K, k, x0 ~ HalfNormal(1)\nstate x\nobs y\ninit x = x0\n"
        "x[t] = x[t-1] + r * x[t-1] * (1 - x[t-1] / K)\n"
        "y[t] ~ Poisson(k * x[t])\n",
        _lost("K k x0"),
    ),
    "GARCH(1, 1)": Known(
        "param omega ~ HalfNormal(0.1)\nparam a in (0, 1) ~ Normal(0.1, 0.1)\n"
        "param b in (0, 1 - a) ~ Normal(0.8, 0.2)\n"
        "state v\nobs r\ninit v = omega / (1 - a - b)\nv[t] = omega + a * r[t-1]^2 + b * v[t-1]\n"
        "r[t] ~ Normal(0, sqrt(v[t]))\n"
    ),
    "regimes": Known(
        "axis regime = {up, down}\nparam growth[regime] ~ Normal(0, 1)\nparam stay[regime] ~ Beta(9, 1)\n"
        "let Q = [[stay[up], 1 - stay[up]], [1 - stay[down], stay[down]]]\nstate s in regime\nobs y\n"
        "init s ~ Stationary()\ns[t] ~ Categorical(Q[s[t-1]])\ny[t] ~ Normal(growth[s[t]], 1)\n",
        notes=("up to the labels up and down, exchanged in growth and stay",),
    ),
}  # fmt: skip
