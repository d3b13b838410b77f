# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # 3. Find the transposed term yourself
#
# The output is $s = f X W_V$, and $G$ is the gradient of the loss on $s$. The paper's Lemma G.3 prints
# $dL/dW_V = X^\top f\, G$. Shapes cannot tell whether that is right: $f$ is $n \times n$.
#
# **By hand, 2×2.** Let $X = I$. Then $s = f W_V$ and $L = \sum_{ic} G_{ic} (f W_V)_{ic}$. The entry $(W_V)_{jc}$
# occurs in it with the factor $\sum_i f_{ij} G_{ic}$: a sum down *column* $j$ of $f$. With $f = \begin{pmatrix} 1 &
# 0 \\ 1/2 & 1/2 \end{pmatrix}$ and $G = \begin{pmatrix} 0 & 0 \\ 1 & 0 \end{pmatrix}$ the first column of the
# gradient is $(1/2, 1/2)$. The printed formula gives $(0, 1/2)$.

# %%
import numpy as np

X, f, G = np.eye(2), np.array([[1, 0], [0.5, 0.5]]), np.array([[0.0, 0], [1, 0]])  # (2, 2) each
step = 2.0**-20


def loss(W_V):
    return (G * (f @ X @ W_V)).sum()


def difference(j, c):
    E = np.zeros((2, 2))  # (2, 2)
    E[j, c] = step
    return (loss(E) - loss(-E)) / (2 * step)


true = np.array([[difference(j, c) for c in range(2)] for j in range(2)])  # (2, 2)
print("true", true, "printed", X.T @ f @ G, sep="\n")
assert np.array_equal(true, [[0.5, 0], [0.5, 0]])  # powers of two: no rounding

# %% [markdown]
# **A picture.** How far the printed formula is off, relatively, as `tau` scales the scores up. At 0 all weights are
# 1/n, so that $f = f^\top$ and the formula happens to be right: a test on such a layer would have missed the error.

# %%
import matplotlib.pyplot as plt
from reference.weight_gradient import gradient_W_V, gradient_W_V_printed

rng = np.random.default_rng(1)
X, G = rng.normal(size=(2, 8, 3))  # (8, 3) both
W = rng.normal(size=(3, 3))  # (3, 3)
taus = np.linspace(0, 2, 40)  # (40,)
pairs = [(gradient_W_V(X, W, G, scale=t), gradient_W_V_printed(X, W, G, scale=t)) for t in taus]
errors = [np.linalg.norm(b - a) / np.linalg.norm(a) for a, b in pairs]
figure, axes = plt.subplots()
axes.plot(taus, errors)
axes.set_xlabel("scale of the scores")
axes.set_ylabel("relative error of the printed formula")
assert errors[0] < 2.0**-45  # rounding: sums of 8 products
assert errors[-1] > 0.1

# %% [markdown]
# **Exercise.** Below is the formula as printed. Run it, work the counterexample out by hand, and mend it.

# %%
from proofs_checks.exercise import check


def value_gradient(X, f, G):
    return X.T @ f @ G


print(check(value_gradient, "G.3"))
