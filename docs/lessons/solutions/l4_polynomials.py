"""For s < 0: ξ ≤ 0 and e^ξ/e^s ≤ e^B. For s > 0: ξ ≤ s, and the quotient is at most 1."""

import math

from flint import arb


def taylor_error(degree, bound):
    return arb(bound).exp() * arb(bound) ** (degree + 1) / math.factorial(degree + 1)
