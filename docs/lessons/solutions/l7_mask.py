"""A cumulative sum down the rows of V0, each times its entry of v."""


def masked(U0, V0, v):
    c = (V0 * v[:, None]).cumsum(axis=0)  # (n, k)
    return (U0 * c).sum(axis=1)
