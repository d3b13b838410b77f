"""Each row of q loses its mean under that row's weights, then is weighted."""


def score_gradient(f, q):
    means = (f * q).sum(axis=1)  # (n,)
    return f * (q - means[:, None])
