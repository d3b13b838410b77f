"""A sum of n d terms, each at most the product of the largest entries."""


def carried_error(E, dT_dX):
    return E.size * abs(E).max() * abs(dT_dX).max()
