# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # 2. The score matrix and its gradient
#
# Attention gives row $i$ of $X$ the weights $f_{i,*} = \mathrm{softmax}((X W X^\top)_{i,*})$ and returns $s = f h$
# with $h = X W_V$. Let $G$ be the gradient of the loss on $s$. Then $q = G h^\top$ is the gradient on the weights,
# and row by row lesson 1 gives the gradient on the scores, $p$.
#
# **By hand, 2×2.** All scores 0, so every weight is 1/2. For $h = I$ and $G = \mathrm{diag}(1, 0)$ we have $q = G$.
# In row 1 the mean of $q$ is 1/2, so $p_{1,*} = \tfrac12 (1 - \tfrac12,\, 0 - \tfrac12) = (1/4, -1/4)$; row 2 is 0.

# %%
import numpy as np
from reference.softmax_attention import p

f, q = np.full((2, 2), 0.5), np.diag([1.0, 0.0])  # (2, 2) both
print(p(f, q))
assert np.array_equal(p(f, q), [[0.25, -0.25], [0, 0]])

# %% [markdown]
# **A picture.** Weights and score gradient of a random layer. Rows of the left sum to 1, rows of the right to 0.

# %%
import matplotlib.pyplot as plt
from reference import softmax_attention as attn

rng = np.random.default_rng(0)
X, G = rng.normal(size=(2, 12, 3))  # (12, 3) both
W, W_V = rng.normal(size=(2, 3, 3)) / 2  # (3, 3) both
weights = attn.f(attn.u(X, W))  # (12, 12)
gradient = attn.p(weights, attn.q(G, attn.h(X, W_V)))  # (12, 12)
figure, (left, right) = plt.subplots(1, 2)
left.imshow(weights, cmap="Greys")
left.set_title("weights f")
right.imshow(gradient, cmap="RdBu")
right.set_title("score gradient p")
assert np.allclose(gradient.sum(axis=1), 0, atol=1e-12)

# %% [markdown]
# **Exercise.** Write the whole matrix $p$ at once. What is below keeps only the first of its two terms.

# %%
from proofs_checks.exercise import check


def score_gradient(f, q):
    return f * q


print(check(score_gradient, "C.12", "difference"))
