"""A value acts through its column of f: dL/dW_V = Xᵀ fᵀ G."""


def value_gradient(X, f, G):
    return X.T @ f.T @ G
