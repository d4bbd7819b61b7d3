"""The normal distribution in SQL, to the precision of doubles."""

from __future__ import annotations

from collections.abc import Sequence

from raydp_ml.spark_jobs.expressions import number

__all__ = ["cdf", "ppf"]

# Wichura (1988), "Algorithm AS 241: the percentage points of the normal distribution", PPND16;
# constant terms first. Its third part, for levels below 1.4e-11, is not needed here.
_CENTRE = (
    (3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3,
     1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
     3.3430575583588128105e4, 2.5090809287301226727e3),
    (1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
     2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4,
     5.2264952788528545610e3),
)  # fmt: skip
_TAIL = (
    (1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0,
     3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1,
     2.27238449892691845833e-2, 7.74545014278341407640e-4),
    (1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
     1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4,
     1.05075007164441684324e-9),
)  # fmt: skip

# Hart (1968), "Computer Approximations", as given by West (2005), "Better approximations to
# cumulative normal functions", for |x| < 7.07.
_HART = (
    (220.206867912376, 221.213596169931, 112.079291497871, 33.912866078383, 6.37396220353165,
     0.700383064443688, 3.52624965998911e-02),
    (440.413735824752, 793.826512519948, 637.333633378831, 296.564248779674, 86.7807322029461,
     16.064177579207, 1.75566716318264, 8.83883476483184e-02),
)  # fmt: skip


def polynomial(x: str, coefficients: Sequence[float]) -> str:
    """Give the SQL of a polynomial by Horner's rule, constant term first."""
    made = number(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        made = f"({made} * {x} + {number(coefficient)})"
    return made


def ppf(p: str, least: float) -> str:
    """Give the SQL of the quantile at level `p`, of which those beyond `least` are drawn to it."""
    q = f"({p} - 0.5D)"
    square = f"(0.180625D - {q} * {q})"
    side = f"greatest(least({p}, 1 - {p}), {number(least)})"
    r = f"(sqrt(-ln({side})) - 1.6D)"
    centre = f"{q} * {polynomial(square, _CENTRE[0])} / {polynomial(square, _CENTRE[1])}"
    tail = f"sign({q}) * {polynomial(r, _TAIL[0])} / {polynomial(r, _TAIL[1])}"
    return f"if(abs({q}) <= 0.425D, {centre}, {tail})"


def cdf(x: str) -> str:
    """Give the SQL of the share of values below `x`."""
    a = f"least(abs({x}), 7.0D)"
    tail = f"exp(-{a} * {a} / 2) * {polynomial(a, _HART[0])} / {polynomial(a, _HART[1])}"
    return f"if({x} > 0, 1 - {tail}, {tail})"
