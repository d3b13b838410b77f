"""J q = (diag(f) − f fᵀ) q: from each entry of q its mean under the weights is taken away."""


def jacobian_times(f, q, j0):
    return f[j0] * (q[j0] - f[j0] @ q[j0])
