# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # 9. When is it really faster
#
# The exact product costs about $2 n^2 d$ operations, the fast one about $4 n k d$ with $k = \binom{d + g}{g}$. So it
# pays from about $n = 2k$ on, if multiplications are all that counts. They are not: what was measured is in
# [speed](../speed.md).
#
# **By hand, d = 2, g = 2** (rows in $\mathbb{R}^2$, W of 2×2): $k = \binom{4}{2} = 6$, so from 12 rows on. For $d =
# 8$, $g = 4$: $k = \binom{12}{4} = 495$, from 990 rows on. For $d = 64$, $g = 4$: $k = \binom{68}{4} = 814\,385$,
# from 1.6 million rows on. The degree comes from how large the scores are, and $d$ is what one pays for.

# %%
from reference.low_rank import rank

ranks = [rank(2, 2), rank(8, 4), rank(64, 4)]
print(ranks)
assert ranks == [6, 495, 814_385]

# %% [markdown]
# **A picture.** Where it pays, for 1 % of relative error: the degree that Chebyshev needs for scores up to $B$ gives
# the rank, and twice that the length.

# %%
import matplotlib.pyplot as plt
import numpy as np
from reference import exp_polynomial

B = np.linspace(0.25, 4, 16)  # (16,)
degrees = [exp_polynomial(float(b), 0.01).degree for b in B]
figure, axes = plt.subplots()
for d in (2, 8, 64):
    axes.semilogy(B, [2 * rank(d, g) for g in degrees], label=f"d = {d}")
axes.set_xlabel("largest score")
axes.set_ylabel("n from which it pays")
axes.legend()

# %% [markdown]
# **Exercise.** The gradient also needs entry-by-entry products of two matrices of low rank, $(U_1 V_1^\top) \odot
# (U_2 V_2^\top)$. That is again of low rank, but of which? Each row of the new factor holds all products of an entry
# of `U1` with an entry of `U2`, so $k_1 k_2$: this is what makes gradients dearer than outputs. Write the new
# factor, in the paper's order: the entries of `U1` run fastest. The answer below has them the other way round.

# %%
from proofs_checks.exercise import check


def row_products(U1, U2):
    return (U1[:, :, None] * U2[:, None, :]).reshape(len(U1), -1)


print(check(row_products, "C.2", "row-wise product"))
