# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # 7. The causal mask as a running sum
#
# With a causal mask row $i$ sees the rows $j \le i$ only: the matrix is $M \odot (U V^\top)$, which in general has
# full rank. Yet its product with a vector $v$ needs no $n \times n$ array:
#
# $$Y_i = \sum_{j \le i} \langle U_i, V_j \rangle v_j = \Big\langle U_i, \sum_{j \le i} V_j v_j \Big\rangle .$$
#
# The inner sum is a running sum of vectors of length $k$.
#
# **By hand, 2×2, k = 1.** $U = (1, 2)^\top$, $V = (3, 4)^\top$, $v = (1, 1)$. The running sum is $3$, then $3 + 4 =
# 7$, so $Y = (3, 14)$. Dense: $\begin{pmatrix} 3 & 0 \\ 6 & 8 \end{pmatrix} \begin{pmatrix} 1 \\ 1 \end{pmatrix}$.

# %%
import numpy as np
from reference.masked_product import causal_mask

U, V, v = np.array([[1.0], [2]]), np.array([[3.0], [4]]), np.ones(2)  # (2, 1), (2, 1), (2,)
print(causal_mask(U, V, v))
assert np.array_equal(causal_mask(U, V, v), [3, 14])

# %% [markdown]
# **A picture.** Singular values of a matrix of rank 1 under the mask: the rank is lost, the running sum is not.

# %%
import matplotlib.pyplot as plt

U, V = np.random.default_rng(3).uniform(1, 2, size=(2, 40, 1))  # (40, 1) both
figure, axes = plt.subplots()
axes.semilogy(np.linalg.svd(np.tril(U @ V.T), compute_uv=False), ".", label="masked")
axes.semilogy(np.linalg.svd(U @ V.T, compute_uv=False) + 1e-17, "x", label="not masked")
axes.set_ylabel("singular value")
axes.legend()

# %% [markdown]
# **Exercise.** Write the masked product. The answer below sees the future.

# %%
from proofs_checks.exercise import check


def masked(U0, V0, v):
    return U0 @ (V0.T @ v)


print(check(masked, "Alg 2"))
