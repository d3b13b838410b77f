# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # 6. Low-rank products without the n×n matrix
#
# If $f = U V^\top$ with $U, V$ of $k$ columns, then $f^\top G = V (U^\top G)$. The brackets do it all: from the
# right, everything is $n \times k$ or smaller, and $2 n k d$ multiplications replace $n^2 d$.
#
# **By hand, 2×2, rank 1.** $U = (1, 2)^\top$, $V = (3, 4)^\top$, $G = I$. Then
# $f = \begin{pmatrix} 3 & 4 \\ 6 & 8 \end{pmatrix}$, $U^\top G = (1, 2)$ and
# $V (U^\top G) = \begin{pmatrix} 3 & 6 \\ 4 & 8 \end{pmatrix} = f^\top$.

# %%
import numpy as np

U, V, G = np.array([[1], [2]]), np.array([[3], [4]]), np.eye(2)  # (2, 1), (2, 1), (2, 2)
print(V @ (U.T @ G))
assert np.array_equal(V @ (U.T @ G), (U @ V.T).T @ G)

# %% [markdown]
# **A picture.** Multiplications against $n$ for $k = 50$, $d = 8$. They are counted by the formula, not timed.

# %%
import matplotlib.pyplot as plt

n = np.logspace(1, 5)  # (50,)
figure, axes = plt.subplots()
axes.loglog(n, n**2 * 8, label="dense: n² d")
axes.loglog(n, 2 * n * 50 * 8, "--", label="factors: 2 n k d")
axes.set_xlabel("n")
axes.set_ylabel("multiplications")
axes.legend()

# %% [markdown]
# **Exercise.** Let $f = U_1 V_1^\top$. Write $g_v = X^\top f^\top G$, the gradient on $W_V$, without an
# $n \times n$ array. The answer below has no such array, but it is lesson 3's mistake once more.

# %%
from proofs_checks.exercise import check


def fast_value_gradient(X, G, U1, V1):
    return (X.T @ U1) @ (V1.T @ G)


print(check(fast_value_gradient, "Alg 1/SingleGrad", "g_v"))
