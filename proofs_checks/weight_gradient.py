"""What the paper says of the exact gradients with respect to the weights W = W_Q W_Kᵀ and W_V."""

from typing import Any

from proofs_checks.identity import gradient_forms
from proofs_checks.record import Part, Statement
from reference import softmax_attention as attn
from reference import weight_gradient as formulas
from reference.softmax_attention import Array


def W_transposed(X: Array, W: Array, W_V: Array, G: Array, *, scale: Any, causal: bool = False) -> Array:
    """False: Xᵀ pᵀ X."""
    return formulas.gradient_W(X, W, W_V, G, scale=scale, causal=causal).T


def W_sign(X: Array, W: Array, W_V: Array, G: Array, *, scale: Any, causal: bool = False) -> Array:
    """False: p1 + p2."""
    f = attn.f(attn.u(X, W, scale=scale, causal=causal))  # (n, n)
    q = attn.q(G, attn.h(X, W_V))  # (n, n)
    return scale * (X.T @ (attn.p1(f, q) + attn.p2(f, q)) @ X)


def W_factor(X: Array, W: Array, W_V: Array, G: Array, *, scale: Any, causal: bool = False) -> Array:
    """False: twice the gradient."""
    return 2 * formulas.gradient_W(X, W, W_V, G, scale=scale, causal=causal)


def W_axis(X: Array, W: Array, W_V: Array, G: Array, *, scale: Any, causal: bool = False) -> Array:
    """False: p2 with column sums of p1."""
    f = attn.f(attn.u(X, W, scale=scale, causal=causal))  # (n, n)
    p1 = attn.p1(f, attn.q(G, attn.h(X, W_V)))  # (n, n)
    return scale * (X.T @ (p1 - p1.sum(axis=0)[:, None] * f) @ X)


def W_V_sign(X: Array, W: Array, G: Array, *, scale: Any, causal: bool = False) -> Array:
    """False: minus the gradient."""
    return -formulas.gradient_W_V(X, W, G, scale=scale, causal=causal)


def W_V_factor(X: Array, W: Array, G: Array, *, scale: Any, causal: bool = False) -> Array:
    """False: the gradient times 1 + τ."""
    return (scale + 1) * formulas.gradient_W_V(X, W, G, scale=scale, causal=causal)


def W_V_axis(X: Array, W: Array, G: Array, *, scale: Any, causal: bool = False) -> Array:
    """False: columns of u divided by their sums."""
    f = attn.f(attn.u(X, W, scale=scale, causal=causal).T).T  # (n, n)
    return X.T @ f.T @ G


FALSE_W = {"p transposed": W_transposed, "p1 + p2": W_sign, "twice": W_factor, "column sums in p2": W_axis}
FALSE_W_V = {"minus": W_V_sign, "a factor 1 + τ": W_V_factor, "columns normalised": W_V_axis}

STATEMENTS: tuple[Statement, ...] = (
    Statement(
        id="F.1",
        kind="definition",
        title="The Kronecker product and its blocks",
        locus="Appendix F.1, Definition F.1",
        parts=(
            Part(
                kind="definition",
                claim="A = A1 ⊗ A2 ∈ R^{n²×d²} for A1, A2 ∈ R^{n×d}; A_{j0} ∈ R^{n×d²} is one of its n blocks",
            ),
        ),
        note="Printed as a sub-block of size n × d²; the blocks are read as consecutive rows.",
    ),
    Statement(
        id="F.2",
        kind="remark",
        title="Both factors are X",
        locus="Appendix F.1, Remark F.2",
        parts=(Part(kind="definition", claim="A1 = A2 = X in self-attention, hence A = X ⊗ X"),),
        uses=("F.1",),
    ),
    Statement(
        id="F.3",
        kind="lemma",
        title="Gradient of one entry of s with respect to W",
        locus="Appendix F.2, Lemma F.3",
        parts=(
            Part(
                kind="identity",
                claim="ds_{j0,i0}/dw_i = ⟨A_{j0,i} ⊙ f_{j0}, h_{i0}⟩ − ⟨f_{j0}, h_{i0}⟩ · ⟨A_{j0,i}, f_{j0}⟩",
            ),
        ),
        uses=("C.3", "C.8", "C.9", "C.10", "F.1", "F.2"),
        note="w ∈ R^{d²} is the vector form of W, its order is not given, i ∈ [d²]; A_{j0,i} is the i-th column of"
        " A_{j0} and h_{i0} a column of h. Taken over from Lemma B.1 of Alman and Song (2024); no proof here.",
    ),
    Statement(
        id="F.4",
        kind="lemma",
        title="Gradient of the loss with respect to W",
        locus="Appendix F.3, Lemma F.4",
        parts=(
            Part(
                kind="identity",
                claim="dL/dW_i = Xᵀ · p(X) · X",
                forms=gradient_forms(
                    "W",
                    printed=formulas.gradient_W_printed,
                    repaired=formulas.gradient_W,
                    change="τ Xᵀ p X",
                    false=FALSE_W,
                ),
            ),
        ),
        related=("own/readings",),
        uses=(
            "3.1",
            "C.1",
            "C.4",
            "C.11",
            "C.12",
            "D.2/step 2",
            "F.3",
            "F.4/equation 12",
            "F.4/equation 15",
            "F.4/step 4",
        ),
        note="The proof prints s(X) = Attn_i(T_{i−1}(X)), by Definition C.10.",
    ),
    Statement(
        id="F.4/equation 12",
        kind="lemma",
        title="Gradient of one entry of s with respect to W, as a matrix product",
        locus="Appendix F.3, proof of Lemma F.4, Eq. (12)",
        parts=(
            Part(
                kind="identity",
                claim="ds_{j0,i0}/dW = A_{j0}ᵀ (diag(f_{j0}) − f_{j0} f_{j0}ᵀ) h_{i0}",
            ),
        ),
        uses=("C.1", "F.3"),
        note="Written with dW on the left; the product is in R^{d²}.",
    ),
    Statement(
        id="F.4/equation 15",
        kind="lemma",
        title="The rows of q as sums over the columns of h",
        locus="Appendix F.3, proof of Lemma F.4, Eq. (15)",
        parts=(
            Part(kind="identity", claim="q_{j0} = Σ_{i0=1}^{d} G_i(j0,i0) · h_{i0}, recalled from Definition C.11"),
        ),
        uses=("C.11",),
    ),
    Statement(
        id="F.4/step 4",
        kind="lemma",
        title="The sum over blocks as a matrix product",
        locus="Appendix F.3, proof of Lemma F.4, last chain, 4th step",
        parts=(Part(kind="identity", claim="Σ_{j0=1}^{n} A_{j0}ᵀ p_{j0} = Xᵀ p(X) X"),),
        uses=("C.12", "F.1", "F.2"),
        note="The sum is in R^{d²}, the product in R^{d×d}; the reason given is tensor tricks.",
    ),
    Statement(
        id="G.1",
        kind="lemma",
        title="Gradient of one entry of h with respect to W_V",
        locus="Appendix G.1, Lemma G.1",
        parts=(Part(kind="identity", claim="dh_{i0,j0}/d(W_V)_{i1,j1} = X_{i0,i1} if j0 = j1, and 0 if j0 ≠ j1"),),
        uses=("C.3", "C.9"),
    ),
    Statement(
        id="G.2",
        kind="lemma",
        title="Gradient of one entry of s with respect to W_V",
        locus="Appendix G.1, Lemma G.2",
        parts=(
            Part(
                kind="identity",
                name="entries",
                claim="ds_{i2,j2}/d(W_V)_{i1,j1} = f_{i2,*}ᵀ X_{*,i1} if j2 = j1, and 0 if j2 ≠ j1",
            ),
            Part(kind="identity", name="matrix", claim="ds_{i2,j2}/dW_V = Xᵀ f_{i2,*} e_{j2}ᵀ"),
        ),
        uses=("C.3", "C.10", "G.1", "G.2/step 3"),
    ),
    Statement(
        id="G.2/step 3",
        kind="lemma",
        title="The sum over i3 in the gradient with respect to W_V",
        locus="Appendix G.1, proof of Lemma G.2, Part 1, Eq. (22), 3rd line",
        parts=(
            Part(
                kind="identity",
                claim="ds_{i2,j2}/d(W_V)_{i1,j2} = Σ_{i3=1}^{d} f_{i2,i3} X_{i3,i1} = f_{i2,*}ᵀ X_{*,i1}",
            ),
        ),
        uses=("G.1",),
        note="The sum runs from 1 to d in all three lines of the chain; the last equality is its 4th step.",
    ),
    Statement(
        id="G.3",
        kind="lemma",
        title="Gradient of the loss with respect to W_V",
        locus="Appendix G.2, Lemma G.3",
        parts=(
            Part(
                kind="identity",
                claim="dL/dW_{V_i} = Xᵀ f(X) G_i",
                forms=gradient_forms(
                    "W_V",
                    printed=formulas.gradient_W_V_printed,
                    repaired=formulas.gradient_W_V,
                    change="Xᵀ fᵀ G",
                    false=FALSE_W_V,
                ),
            ),
        ),
        related=("own/readings",),
        uses=("3.1", "C.3", "C.4", "C.10", "D.2/step 2", "G.2"),
        note="The proof prints s(X) = Attn_i(T_{i−1}(X)), by Definitions C.10 and C.3.",
    ),
)
