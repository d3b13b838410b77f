"""fᵀ = V1 U1ᵀ, with the brackets around what is small."""


def fast_value_gradient(X, G, U1, V1):
    return (X.T @ V1) @ (U1.T @ G)
