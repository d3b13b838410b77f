"""Column b k1 + a is column a of U1 times column b of U2."""


def row_products(U1, U2):
    return (U1[:, None, :] * U2[:, :, None]).reshape(len(U1), -1)
