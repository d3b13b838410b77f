"""Choose `degree` of d + degree places: those left out stand for the factor 1."""

import math


def most_rank(d, degree):
    return math.comb(d + degree, degree)
