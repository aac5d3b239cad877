"""E71x, E72x: devices, precision, numbers."""

from __future__ import annotations

from ssmlang.language.codes.entry import Code, Example


def _run(scale: str, options: str) -> Example:
    text = (
        'import ssmlang\nmodel = ssmlang.compile("""\n'
        "state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(0.5 * x[t-1], 1)\n"
        f'y[t] ~ Normal(x[t], {scale})\n""")\nmodel.log_likelihood({{"y": [0.1, 0.3]}}, {{}}{options})\n'
    )
    return Example(text, language="python")


def _path(data: str) -> Example:
    text = (
        'import numpy, ssmlang\nmodel = ssmlang.compile("""\n'
        "state x\nobs y\ninit x ~ Diffuse()\nx[t] ~ Normal(x[t-1], 1)\n"
        f'y[t] ~ Normal(x[t], 1)\n""")\nmodel.smooth({{"y": [{data}]}}, {{}}, paths=2)\n'
    )
    return Example(text, language="python")


def _particles(last: str) -> Example:
    text = (
        'import ssmlang\nmodel = ssmlang.compile("""\n'
        "state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(0.5 * x[t-1], 1)\n"
        f'y[t] ~ Uniform(x[t] - 1, x[t] + 1)\n""")\n'
        f'model.filter({{"y": [0.1, 0.3, {last}]}}, {{}}, engine="particle")\n'
    )
    return Example(text, language="python")


def _sharp(engine: str) -> Example:
    text = (
        'import ssmlang\nmodel = ssmlang.compile("""\n'
        "state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(sin(x[t-1]), 1)\n"
        f'y[t] ~ Normal(x[t], 0.001)\n""")\nmodel.log_likelihood({{"y": [0.1, 1.3]}}, {{}}, engine={engine})\n'
    )
    return Example(text, language="python")


def _folded(engine: str) -> Example:
    text = (
        'import ssmlang\nmodel = ssmlang.compile("""\n'
        "state x\nobs y\ninit x ~ Normal(0, 1)\nx[t] ~ Normal(x[t-1], 2)\n"
        'y[t] ~ Normal(x[t]^2, 0.3)\n""")\n'
        f'model.filter({{"y": [1.2, 2.1, 0.2, 0.4, 1.5]}}, {{}}, engine="{engine}")\n'
    )
    return Example(text, language="python")


def _apart(engine: str) -> Example:
    text = (
        'import ssmlang\nmodel = ssmlang.compile("""\n'
        "state x[3]\nobs y\nnoise w ~ Normal(0, 0.3)\ninit x ~ Normal(0, 10000)\n"
        "x[t] = [0.7 * x[t-1, 0] + w[t], x[t-1, 0] + 0.3 * w[t], 0.999 * x[t-1, 2] + w[t]]\n"
        'y[t] ~ Normal(x[t, 0] + x[t, 1] - 0.5 * x[t, 2], 0.001)\n""")\n'
        f'model.smooth({{"y": [0.1, 0.0, 0.2, 0.1, -0.1, 0.3]}}, {{}}, engine="{engine}")\n'
    )
    return Example(text, language="python")


CODES: tuple[Code, ...] = (
    Code(
        "E711",
        "no-such-device",
        "a device that is not there",
        "`device` is 'cpu', 'gpu' or None: where JAX computes, or on the CPU beside it where a GPU would be slower. "
        "The message says what JAX found.",
        _run("1", ', device="tpu"'),
        _run("1", ', device="cpu"'),
    ),
    Code(
        "E712",
        "no-such-precision",
        "a precision that does not exist",
        "`dtype` is 'float64' (by default, on every device) or 'float32'.",
        _run("1", ', dtype="float16"'),
        _run("1", ', dtype="float32"'),
    ),
    Code(
        "E721",
        "result-not-a-number",
        "a result is not a number",
        "A coefficient or a scale could not be computed at the row named, such as the square root of a negative "
        "number; or a matrix given for a covariance has a negative eigenvalue; or the numbers grew beyond bounds.",
        _run("sqrt(0.5 - t)", ""),
        _run("sqrt(0.5 + t)", ""),
    ),
    Code(
        "E722",
        "no-path",
        "a path is asked for where the data leave a state unknown",
        "A path of the states is drawn from their joint law given the data. Under `Diffuse()` a state that no "
        "observation tells of has no such law: its variance is infinite. Moments of the other states are "
        "given by `smooth` without `paths`.",
        _path("numpy.nan, numpy.nan"),
        _path("0.1, numpy.nan"),
    ),
    Code(
        "E723",
        "particles-died",
        "no particle can have given an observation",
        "At the row named the observation has density zero at every particle: it contradicts the model, or it is so "
        "far from what the model expects that none of the particles is near. An estimate from there on would mean "
        "nothing. More particles help where the observation is possible but rare.",
        _particles("100"),
        _particles("0.2"),
    ),
    Code(
        "W724",
        "few-effective-draws",
        "a result rests on a few of the draws that an engine made",
        "Where observations are sharp compared to what particles were moved by, nearly all weight falls to a few of "
        "them: the log-likelihood is far too low, moments are those of a few draws, and runs with other seeds need not "
        "differ by as much as all of them are off. Given by `warnings.warn` as an `ssmlang.SsmWarning` where the "
        "effective number is below ten, or where `imm` chose a path of the regimes among fewer than two. `laplace` and "
        "`importance` look at all rows at once.",
        _sharp("ssmlang.engines.Particle(particles=200, proposal='bootstrap')"),
        _sharp("'particle'"),
    ),
    Code(
        "W725",
        "not-one-gaussian",
        "an engine carries one Gaussian where the law of the states is none",
        "`ekf`, `ukf`, `ipls` and their kin carry a mean and a covariance. Where a row's observations bend with what "
        "they see, do not tell a sign, or repeat themselves, the law that they leave of the states is no Gaussian, and "
        "the filter's means and log-likelihood are off. Points of the laws that it predicts, weighted by the "
        "observations' own density, say by how much in that row alone; it is said where that is more than half a "
        "standard deviation or some four in the log-likelihood. `laplace` and `importance` work from one most probable "
        "path; where there may be several, a run of 512 particles says whether it is where the states are likely: its "
        "likelihood is right on average, and is far higher than the engine's own only where that is far too low (up to "
        "5,000 rows). Given by `warnings.warn` as an `ssmlang.SsmWarning`, for up to eight states: by `filter`, "
        "`smooth`, `forecast` and `residuals`, and once by `fit`, of the point that it found and its first series. "
        "`log_likelihood` says nothing, for it would have to filter a second time.",
        _folded("ukf"),
        _folded("particle"),
    ),    Code(
        "E726",
        "variance-lost",
        "a variance came out negative",
        "Engines that carry covariances take the difference of two whenever something is learnt. Where their sizes are "
        "very far apart, as of a start with a scale of 10,000 and data with one of 0.001, rounding can leave no digit "
        "of it, single precision far sooner than double. `square_root` carries factors of the covariances, and "
        "`Diffuse()` is a flat start without any large number. A variance that is below zero by no more than rounding "
        "is given as zero.",
        _apart("kalman"),
        _apart("square_root"),
    ),
)
