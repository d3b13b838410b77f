# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # 5. Monomial features and rank
#
# $P(\langle x, y \rangle)$ is a polynomial in the products $x_a y_a$. Collect its terms: it is an inner product of
# vectors of monomials, $\langle \phi(x), w \odot \phi(y) \rangle$. In $d$ variables there are $k = \binom{d + g}{g}$
# monomials of degree at most $g$, so the matrix of all $P(\langle x_i, y_j \rangle)$ has rank at most $k$, however
# many rows it has.
#
# **By hand, d = 2, g = 2.** $(x_1 y_1 + x_2 y_2)^2 = x_1^2 y_1^2 + 2\, x_1 x_2\, y_1 y_2 + x_2^2 y_2^2$: the
# features are $1, x_1, x_2, x_1^2, x_1 x_2, x_2^2$. There are 6.

# %%
import numpy as np
from reference.low_rank import monomials, rank

X = np.array([[2.0, 3.0], [1.0, -1.0]])  # (2, 2): two rows, two variables
print(monomials(X, 2))  # (6, 2): a column for each row of X
assert rank(2, 2) == 6
assert sorted(monomials(X, 2)[:, 0]) == [1, 2, 3, 4, 6, 9]

# %% [markdown]
# **A picture.** Singular values of $P(X X^\top)$ for 60 rows, $d = 2$, degree 3. After the tenth there is only
# rounding.

# %%
import matplotlib.pyplot as plt

points = np.random.default_rng(2).normal(size=(60, 2))  # (60, 2)
S = points @ points.T  # (60, 60)
values = np.linalg.svd(1 + S + S**2 / 2 + S**3 / 6, compute_uv=False)  # (60,)
figure, axes = plt.subplots()
axes.semilogy(np.arange(1, 61), values, ".")
axes.axvline(rank(2, 3))
axes.set_xlabel("number")
axes.set_ylabel("singular value")

# %% [markdown]
# **Exercise.** How many monomials are there? The answer below counts those of degree exactly $g$ as if the order of
# factors mattered, and forgets all of lower degree. The check looks for a matrix whose rank exceeds your number.

# %%
from proofs_checks.exercise import check


def most_rank(d, degree):
    return d**degree


print(check(most_rank, "own/rank", "rank"))
