# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # 4. Taylor against Chebyshev
#
# The fast method replaces $e^s$ by a polynomial $P(s)$ of degree $g$ for scores $|s| \le B$. What counts is the
# relative error $|P(s) - e^s| / e^s$.
#
# **By hand, degree 2, B = 1**, for the scores $\begin{pmatrix} 0 & 1 \\ -1 & 0 \end{pmatrix}$. Taylor has
# $1 + s + s^2/2$, so $\begin{pmatrix} 1 & 5/2 \\ 1/2 & 1 \end{pmatrix}$ stands for
# $\begin{pmatrix} 1 & e \\ 1/e & 1 \end{pmatrix}$. The worst relative error is at $s = -1$: it is
# $(1/2 - 1/e)/(1/e) = e/2 - 1 \approx 0.36$. (Degree 1 gives $1 + s$, which is 0 there: no weight may be 0.)

# %%
import numpy as np
from reference.polynomial import chebyshev, taylor

scores = np.array([[0.0, 1], [-1, 0]])  # (2, 2)
P = taylor(2, 1.0)(scores)  # (2, 2)
print(P, np.abs(P - np.exp(scores)) / np.exp(scores), sep="\n")
assert np.array_equal(P, [[1, 2.5], [0.5, 1]])

# %% [markdown]
# **A picture.** Degree 4 on $[-2, 2]$. Taylor is best in the middle, Chebyshev spreads its error over the interval.

# %%
import matplotlib.pyplot as plt

x = np.linspace(-2, 2, 201)  # (201,)
figure, axes = plt.subplots()
for P, line in ((taylor(4, 2.0), "-"), (chebyshev(4, 2.0), "--")):
    axes.semilogy(x, np.abs(P(x) - np.exp(x)) / np.exp(x) + 1e-17, line, label=P.kind)
axes.set_xlabel("score")
axes.set_ylabel("relative error")
axes.legend()

# %% [markdown]
# **Exercise.** Give an upper bound on Taylor's largest relative error on $[-B, B]$. By Lagrange's remainder the
# difference at $s$ is $e^{\xi} s^{g+1}/(g+1)!$ with $\xi$ between 0 and $s$. What is below forgets $e^{\xi}$ and the
# division by $e^s$. (`bound` and the result are balls of `flint.arb`, so that no rounding can help or hurt.)

# %%
import math
from flint import arb
from proofs_checks.exercise import check


def taylor_error(degree, bound):
    return arb(bound) ** (degree + 1) / math.factorial(degree + 1)


print(check(taylor_error, "own/polynomial", "Taylor"))
