# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # 8. Error through layers
#
# Backward, a layer multiplies the gradient by its derivative $D = dT_1/dT_0$. If the gradient has an error $E$, so
# has the next: $E \cdot D$. An entry of it is a sum over all $n d$ entries of $E$, so the largest is at most $n d\,
# \|E\|_\infty \|D\|_\infty$, where $\|\cdot\|_\infty$ is the largest absolute entry.
#
# **By hand, 2×2.** Let all four entries of $E$ be $1/10$ and all of $D$ be 1. Each entry of $E \cdot D$ is $4 \cdot
# 1/10$: the factor $n d = 4$ is attained, in *every* layer. After $m$ layers the bound is $(n d)^m$ times the first:
# this is why the number of layers must be fixed.

# %%
import numpy as np

E, D = np.full((2, 2), 0.1), np.ones((2, 2, 2, 2))  # (2, 2), (2, 2, 2, 2)
carried = np.einsum("ij,ijkl->kl", E, D)  # (2, 2)
print(carried)
assert np.allclose(carried, 0.4)

# %% [markdown]
# **A picture.** What really happens: error of the fast gradient of random models against their depth, with its
# certificate. The certificate is always above.

# %%
import matplotlib.pyplot as plt
import reference

rng = np.random.default_rng(4)
X, target = rng.normal(size=(2, 32, 3))  # (32, 3) both
loss, errors, bounds = reference.SquaredLoss(target), [], []
for m in (1, 2, 3):
    layers = [reference.Layer(*rng.normal(size=(4, 3, 3)) / 4, residual=True) for _ in range(m)]
    fast = reference.fast_transformer_gradient(layers, X, loss, rtol=1e-4, method="differentiate")
    exact = reference.transformer_gradient(layers, X, loss)
    errors.append(np.abs(fast.value.X - exact.X).max())
    bounds.append(fast.bound.X.max())
figure, axes = plt.subplots()
axes.semilogy((1, 2, 3), errors, "o-", label="error")
axes.semilogy((1, 2, 3), bounds, "s--", label="certificate")
axes.set_xlabel("layers")
axes.legend()
assert np.less_equal(errors, bounds).all()

# %% [markdown]
# **Exercise.** Bound $\|E \cdot D\|_\infty$. The answer below multiplies the norms, as one may with other norms.

# %%
from proofs_checks.exercise import check


def carried_error(E, dT_dX):
    return abs(E).max() * abs(dT_dX).max()


print(check(carried_error, "H.4/step 3.2", "chain"))
