# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # 1. Softmax and its Jacobian
#
# Softmax turns a row of scores $z$ into weights $f_i = e^{z_i} / \sum_k e^{z_k}$, which are positive and sum to 1.
# One score moves every weight:
#
# $$\frac{\partial f_i}{\partial z_j} = f_i\,(\delta_{ij} - f_j), \qquad J = \mathrm{diag}(f) - f f^\top .$$
#
# **By hand, two scores.** For $z = (0, \log 3)$ the exponentials are 1 and 3, so $f = (1/4, 3/4)$, and all four
# entries of $J$ are $\pm 1/4 \cdot 3/4 = \pm 3/16$. Each row sums to 0: the weights go on summing to 1.

# %%
import numpy as np
from reference.softmax_attention import Softmax
from reference.weight_gradient import softmax_jacobian

f = Softmax(np.log([1.0, 3.0]))  # (2,)
J = softmax_jacobian(f)  # (2, 2)
print(f, J, sep="\n")
assert np.allclose(J, np.array([[3, -3], [-3, 3]]) / 16)

# %% [markdown]
# **A picture.** The first weight of two as its score grows, and the slope $f(1 - f)$: it is largest, 1/4, where the
# weights are equal, and nothing is learned where one weight is nearly 1.

# %%
import matplotlib.pyplot as plt

z = np.linspace(-6, 6, 200)  # (200,)
weight = np.array([Softmax(np.array([x, 0.0]))[0] for x in z])  # (200,)
figure, axes = plt.subplots()
axes.plot(z, weight, label="weight f")
axes.plot(z, weight * (1 - weight), "--", label="slope f (1 − f)")
axes.set_xlabel("first score minus second")
axes.legend()

# %% [markdown]
# **Exercise.** Backward, softmax needs only $J q$ for a vector $q$, and $J$ itself is never stored. Write row `j0` of
# $p$, which is $J_{j0}\, q_{j0}$, where `f` and `q` are matrices. The answer below forgets that one score moves all
# weights. Run the cell, read the counterexample, mend the function.

# %%
from proofs_checks.exercise import check


def jacobian_times(f, q, j0):
    return f[j0] * q[j0]


print(check(jacobian_times, "C.12", "row by row"))
