"""What the paper says of the fast gradients of one layer: time and error for T, W and W_V, also under the mask."""

from typing import Any

from proofs_checks.equation import EquationTrial, derivative_forms
from proofs_checks.record import Part, Statement
from proofs_checks.symbols import Symbols
from reference import input_gradient as formulas
from reference import softmax_attention as attn
from reference.softmax_attention import Array


def dL_dX(symbols: Symbols) -> Array:
    """The gradient of ⟨G, s⟩ on X."""
    return symbols.dL_dX


def X_transpose(X: Array, W: Array, W_V: Array, G: Array, *, scale: Any, causal: bool = False) -> Array:
    """False: p once more where pᵀ belongs."""
    f, p = _f_and_p(X, W, W_V, G, scale, causal)
    return scale * (p @ X @ W.T + p @ X @ W) + f.T @ G @ W_V.T


def X_values(X: Array, W: Array, W_V: Array, G: Array, *, scale: Any, causal: bool = False) -> Array:
    """False: f where fᵀ belongs."""
    f, p = _f_and_p(X, W, W_V, G, scale, causal)
    return scale * (p @ X @ W.T + p.T @ X @ W) + f @ G @ W_V.T


def X_sign(X: Array, W: Array, W_V: Array, G: Array, *, scale: Any, causal: bool = False) -> Array:
    """False: the share of the keys subtracted."""
    f, p = _f_and_p(X, W, W_V, G, scale, causal)
    return scale * (p @ X @ W.T - p.T @ X @ W) + f.T @ G @ W_V.T


def X_factor(X: Array, W: Array, W_V: Array, G: Array, *, scale: Any, causal: bool = False) -> Array:
    """False: twice the share of the scores."""
    f, p = _f_and_p(X, W, W_V, G, scale, causal)
    return 2 * scale * (p @ X @ W.T + p.T @ X @ W) + f.T @ G @ W_V.T


def _f_and_p(X: Array, W: Array, W_V: Array, G: Array, scale: Any, causal: bool) -> tuple[Array, Array]:
    f = attn.f(attn.u(X, W, scale=scale, causal=causal))  # (n, n)
    return f, attn.p(f, attn.q(G, attn.h(X, W_V)))  # (n, n) both


FALSE_X = {"p for pᵀ": X_transpose, "f for fᵀ": X_values, "minus pᵀ X W": X_sign, "twice the p terms": X_factor}

STATEMENTS: tuple[Statement, ...] = (
    Statement(
        id="4.1",
        kind="theorem",
        title="Gradients of one layer",
        locus="Section 4.1, Theorem 4.1",
        parts=(
            Part(
                kind="asymptotic",
                name="time",
                claim="dL/dX, dL/d(W_Q W_Kᵀ) and dL/dW_V are approximated in n^{1+o(1)} time",
            ),
            Part(kind="asymptotic", name="error", claim="each with 1/poly(n) error"),
        ),
        assumes=(
            "d = O(log n)",
            "each number in the matrices has O(log n) bits",
            "m = n^{o(1)}",
            "loss as in Definition 3.1",
            "one layer (m = 1)",
        ),
        uses=("1.3", "3.1", "5.1", "5.2", "5.3"),
        note="m = n^{o(1)} and m = 1 are both printed.",
    ),
    Statement(
        id="5.1",
        kind="lemma",
        title="Fast gradient on T, informally",
        locus="Section 5.2, Lemma 5.1",
        parts=(
            Part(kind="asymptotic", name="time", claim="dL/dT_i is approximated in n^{1+o(1)} time"),
            Part(kind="asymptotic", name="error", claim="with 1/poly(n) error"),
        ),
        uses=("E.11",),
        follows="informal version of Lemma E.11",
    ),
    Statement(
        id="5.2",
        kind="lemma",
        title="Fast gradient on W, informally",
        locus="Section 5.3, Lemma 5.2",
        parts=(
            Part(kind="asymptotic", name="time", claim="dL/dW_i is approximated in n^{1+o(1)} time"),
            Part(kind="asymptotic", name="error", claim="with 1/poly(n) error"),
        ),
        uses=("F.5",),
        follows="informal version of Lemma F.5",
    ),
    Statement(
        id="5.3",
        kind="lemma",
        title="Fast gradient on W_V, informally",
        locus="Section 5.3, Lemma 5.3",
        parts=(
            Part(kind="asymptotic", name="time", claim="dL/dW_{V_i} is approximated in n^{1+o(1)} time"),
            Part(kind="asymptotic", name="error", claim="with 1/poly(n) error"),
        ),
        uses=("G.4",),
        follows="informal version of Lemma G.4",
    ),
    Statement(
        id="Alg 1/SingleGrad",
        kind="algorithm",
        title="The gradients of one layer from dL/dT_i",
        locus="Section 4.2, Algorithm 1, lines 12 to 24",
        parts=(
            Part(kind="construction", name="G_i", claim="G_i = dL/dAttn_i is computed by Lemma 5.4"),
            Part(kind="construction", name="g_t", claim="g_t = D̃6 + D̃7 + D̃8 + D̃2 + D̃4 approximates dL/dT_{i−1}"),
            Part(
                kind="construction",
                name="g_w",
                claim="g_w = (T_{i−1}ᵀ U3) · (V3ᵀ T_{i−1}), U3 and V3 by Lemma 5.2, approximates dL/d(W_Q W_Kᵀ)",
            ),
            Part(
                kind="construction",
                name="g_v",
                claim="g_v = (T_{i−1}ᵀ U1) · (V1ᵀ G_i), U1 and V1 by Lemma C.13, approximates dL/dW_V",
            ),
            Part(kind="asymptotic", name="time", claim="every line takes n^{1+o(1)} time"),
        ),
        uses=("5.1", "5.2", "5.3", "5.4", "C.13", "E.5", "E.6", "E.8", "E.10"),
        note="Lemmas E.5, E.6, E.8 and E.10 are named for the five terms; Lemma E.3 is the one on D6."
        " In C.15 and F.5 the names U3 and V3 are factors of p1.",
        related=("C.15", "E.3", "F.5"),
    ),
    Statement(
        id="E.1",
        kind="lemma",
        title="Time for K",
        locus="Appendix E.1, Lemma E.1",
        parts=(Part(kind="cost", claim="K is computed in O(n · d) time, O(d) for each of its n entries"),),
        uses=("D.16",),
        note="The proof starts from G_i and s; neither the time for s nor its error enters.",
    ),
    Statement(
        id="E.2",
        kind="lemma",
        title="Factors of z6",
        locus="Appendix E.1, Lemma E.2",
        parts=(
            Part(kind="construction", name="factors", claim="U6 = U1 and V6 = diag(K) V1 ∈ R^{n×k6}, with U6V6ᵀ ≈ z6"),
            Part(
                kind="inequality",
                name="error",
                claim="‖U6V6ᵀ − z6‖∞ = ‖U1V1ᵀ diag(K) − f diag(K)‖∞ ≤ n‖U1V1ᵀ − f‖∞‖diag(K)‖∞",
            ),
            Part(kind="asymptotic", name="poly", claim="‖U6V6ᵀ − z6‖∞ ≤ ε/poly(n)"),
            Part(kind="asymptotic", name="rank", claim="k6 = n^{o(1)}"),
            Part(kind="cost", name="cost", claim="diag(K) V1 is computed in n k1 time"),
            Part(kind="asymptotic", name="time", claim="U6 and V6 are constructed in n^{1+o(1)} time"),
        ),
        assumes=("entries of X, W, W_V, G_i have O(log n) bits",),
        uses=("C.3", "C.13", "D.10", "D.16", "E.1", "E.2/step 4"),
    ),
    Statement(
        id="E.2/step 4",
        kind="lemma",
        title="Entries of K",
        locus="Appendix E.1, proof of Lemma E.2, error bound, 4th step",
        parts=(Part(kind="asymptotic", claim="‖diag(K)‖∞ ≤ poly(n)"),),
        assumes=("entries of X, W, W_V, G_i have O(log n) bits",),
        uses=("D.16",),
        note="Printed without a reason; the proof of Lemma E.7 repeats it.",
        related=("C.19",),
    ),
    Statement(
        id="E.3",
        kind="lemma",
        title="Fast D6",
        locus="Appendix E.1, Lemma E.3",
        parts=(
            Part(
                kind="inequality",
                name="error",
                claim="‖z̃6 X Wᵀ − z6 X Wᵀ‖∞ ≤ d · n‖z̃6 − z6‖∞‖X‖∞‖W‖∞, with z̃6 = U6V6ᵀ",
            ),
            Part(kind="asymptotic", name="poly", claim="‖D̃6 − D6‖∞ ≤ ε/poly(n)"),
            Part(
                kind="asymptotic",
                name="time",
                claim="V6ᵀX, then (V6ᵀX)Wᵀ, then U6(V6ᵀXWᵀ) take n^{1+o(1)} time each, and so does D̃6",
            ),
        ),
        assumes=("entries of X, W, W_V, G_i have O(log n) bits",),
        uses=("C.3", "D.3", "D.10", "E.2"),
        note="The conditions print B6 ∈ R^{n×n}; Lemma D.3 has B6 ∈ R^{n×d}.",
    ),
    Statement(
        id="E.4",
        kind="lemma",
        title="Factors of z7",
        locus="Appendix E.2, Lemma E.4",
        parts=(
            Part(
                kind="construction",
                name="factors",
                claim="U7 = U1 ⊘ h and V7 = V1 ⊘ G_i ∈ R^{n×k1d}, with U7V7ᵀ ≈ z7",
            ),
            Part(
                kind="inequality",
                name="error",
                claim="‖U7V7ᵀ − z7‖∞ = ‖f̃ ⊙ (h G_iᵀ) − f ⊙ (h G_iᵀ)‖∞ ≤ d‖h‖∞‖G_i‖∞ · ε/poly(n), ‖f̃ − f‖∞ ≤ ε/poly(n)",
            ),
            Part(kind="asymptotic", name="poly", claim="‖U7V7ᵀ − z7‖∞ ≤ ε/poly(n)"),
            Part(kind="asymptotic", name="rank", claim="the rank k7 is n^{o(1)}"),
            Part(kind="cost", name="cost", claim="U1 ⊘ h takes O(n d k1) time, V1 ⊘ G_i likewise"),
            Part(kind="asymptotic", name="time", claim="U7 and V7 are constructed in n^{1+o(1)} time"),
        ),
        assumes=("‖U1V1ᵀ − f‖∞ ≤ ε/poly(n)", "entries of X, W, W_V, G_i have O(log n) bits"),
        uses=("C.2", "C.3", "C.13", "C.18", "D.11"),
        note="No hypothesis on d is printed; f̃ = U1V1ᵀ.",
    ),
    Statement(
        id="E.5",
        kind="lemma",
        title="Fast D7",
        locus="Appendix E.2, Lemma E.5",
        parts=(
            Part(
                kind="inequality",
                name="error",
                claim="‖z̃7 X Wᵀ − z7 X Wᵀ‖∞ ≤ d · n‖z̃7 − z7‖∞‖X‖∞‖W‖∞, with z̃7 = U7V7ᵀ",
            ),
            Part(kind="asymptotic", name="poly", claim="‖D̃7 − D7‖∞ ≤ ε/poly(n)"),
            Part(
                kind="asymptotic",
                name="time",
                claim="V7ᵀX, then (V7ᵀX)Wᵀ, then U7(V7ᵀXWᵀ) take n^{1+o(1)} time each, and so does D̃7",
            ),
        ),
        assumes=("entries of X, W, W_V, G_i have O(log n) bits",),
        uses=("C.3", "D.4", "D.11", "E.4"),
        note="The conditions refer a matrix B ∈ R^{n×d} to Definition C.3, which has none.",
    ),
    Statement(
        id="E.6",
        kind="lemma",
        title="Fast D8",
        locus="Appendix E.3, Lemma E.6",
        parts=(
            Part(
                kind="inequality",
                name="error",
                claim="‖f̃ G_i W_Vᵀ − f G_i W_Vᵀ‖∞ ≤ d · n‖f̃ − f‖∞‖G_i‖∞‖W_V‖∞, with f̃ = U1V1ᵀ",
            ),
            Part(kind="asymptotic", name="poly", claim="‖D̃8 − D8‖∞ ≤ ε/poly(n)"),
            Part(
                kind="asymptotic",
                name="time",
                claim="V1ᵀG_i, then (V1ᵀG_i)W_Vᵀ, then U1(V1ᵀG_iW_Vᵀ) take n^{1+o(1)} time each, and so does D̃8",
            ),
        ),
        assumes=("entries of X, W, W_V, G_i have O(log n) bits",),
        uses=("C.3", "C.13", "D.5", "D.12"),
    ),
    Statement(
        id="E.7",
        kind="lemma",
        title="Factors of z2",
        locus="Appendix E.4, Lemma E.7",
        parts=(
            Part(
                kind="construction",
                name="factors",
                claim="U9 = diag(K) U1 and V6 = V1, with U9V9ᵀ ≈ z2, U9, V9 ∈ R^{n×k9}",
            ),
            Part(
                kind="inequality",
                name="error",
                claim="‖U9V9ᵀ − z2‖∞ = ‖diag(K) U1V1ᵀ − diag(K) f‖∞ ≤ n‖U1V1ᵀ − f‖∞‖diag(K)‖∞",
            ),
            Part(kind="asymptotic", name="poly", claim="‖U9V9ᵀ − z2‖∞ ≤ ε/poly(n)"),
            Part(kind="asymptotic", name="rank", claim="k9 = n^{o(1)}"),
            Part(kind="cost", name="cost", claim="diag(K) U1 is computed in n k1 time"),
            Part(kind="asymptotic", name="time", claim="U9 and V9 are constructed in n^{1+o(1)} time"),
        ),
        assumes=("entries of X, W, W_V, G_i have O(log n) bits",),
        uses=("C.3", "C.13", "D.13", "D.16", "E.1", "E.2/step 4"),
        note="The factor used as V9 is printed V6 where it is chosen.",
    ),
    Statement(
        id="E.8",
        kind="lemma",
        title="Fast D2",
        locus="Appendix E.4, Lemma E.8",
        parts=(
            Part(
                kind="inequality",
                name="error",
                claim="‖z̃2 X W − z2 X W‖∞ ≤ d · n‖z̃2 − z2‖∞‖X‖∞‖W‖∞, with z̃2 = U9V9ᵀ",
            ),
            Part(kind="asymptotic", name="poly", claim="‖D̃2 − D2‖∞ ≤ ε/poly(n)"),
            Part(
                kind="asymptotic",
                name="time",
                claim="V9ᵀX, then (V9ᵀX)W, then U9(V9ᵀXW) take n^{1+o(1)} time each, and so does D̃2",
            ),
        ),
        assumes=("entries of X, W, W_V, B, G_i have O(log n) bits",),
        uses=("C.3", "D.6", "D.13", "E.7"),
        note="The conditions print B2 ∈ R^{n×d} (Lemma D.6: R^d) and X ∈ R^{d×n}, and a matrix B ∈ R^{n×d}.",
    ),
    Statement(
        id="E.9",
        kind="lemma",
        title="Factors of z4",
        locus="Appendix E.5, Lemma E.9",
        parts=(
            Part(
                kind="construction",
                name="factors",
                claim="U10 = U1 ⊘ G_i and V10 = V1 ⊘ h ∈ R^{n×k1d}, with U10V10ᵀ ≈ z4",
            ),
            Part(
                kind="inequality",
                name="error",
                claim="‖U10V10ᵀ − z4‖∞ ≤ d · (ε/poly(n))‖h‖∞‖G_i‖∞, where ‖U1V1ᵀ − f‖∞ ≤ ε/poly(n)",
            ),
            Part(kind="asymptotic", name="poly", claim="‖U10V10ᵀ − z4‖∞ ≤ ε/poly(n)"),
            Part(kind="asymptotic", name="rank", claim="the rank k10 is n^{o(1)}"),
            Part(kind="cost", name="cost", claim="U1 ⊘ G_i takes O(n d k1) time, V1 ⊘ h likewise"),
            Part(kind="asymptotic", name="time", claim="U10 and V10 are constructed in n^{1+o(1)} time"),
        ),
        assumes=("entries of X, W, W_V, G_i have O(log n) bits",),
        uses=("C.2", "C.3", "C.13", "C.18", "D.14", "E.9/step 4"),
        note="No hypothesis on d is printed. The proof speaks of the i0-th column of z4 where D.14 has its i0-th row.",
    ),
    Statement(
        id="E.9/step 4",
        kind="lemma",
        title="The norm of an entrywise product in the error of z4",
        locus="Appendix E.5, proof of Lemma E.9, 4th step (1st step of the second chain)",
        parts=(
            Part(
                kind="identity",
                claim="‖(U1V1ᵀ) ⊙ (G_i hᵀ) − f ⊙ (G_i hᵀ)‖∞ = ‖U1V1ᵀ − f‖∞‖G_i hᵀ‖∞",
            ),
        ),
        note="The left side is ‖(U1V1ᵀ − f) ⊙ (G_i hᵀ)‖∞. Lemma E.4 has no such equality in its chain.",
    ),
    Statement(
        id="E.10",
        kind="lemma",
        title="Fast D4",
        locus="Appendix E.5, Lemma E.10",
        parts=(
            Part(
                kind="inequality",
                name="error",
                claim="‖z̃4 X W − z4 X W‖∞ ≤ d · n‖z̃4 − z4‖∞‖X‖∞‖W‖∞, with z̃4 = U10V10ᵀ",
            ),
            Part(kind="asymptotic", name="poly", claim="‖D̃4 − D4‖∞ ≤ ε/poly(n)"),
            Part(
                kind="asymptotic",
                name="time",
                claim="V10ᵀX, then (V10ᵀX)W, then U10(V10ᵀXW) take n^{1+o(1)} time each, and so does D̃4",
            ),
        ),
        assumes=("entries of X, W, W_V, G_i have O(log n) bits",),
        uses=("C.3", "D.7", "D.14", "E.9"),
        note="The conditions print B4 ∈ R^{n×d} (Lemma D.7: R^d).",
    ),
    Statement(
        id="E.11",
        kind="lemma",
        title="Fast gradient on T",
        locus="Appendix E.6, Lemma E.11",
        parts=(
            Part(
                kind="identity",
                name="gradient",
                claim="dL/dT_{i−1} = D6 + D7 + D8 + D2 + D4",
                fault="error",
                consequence="Algorithm 1 sends this sum, its g_t, down to the layer below: every gradient of a model"
                " but those of the last layer is computed from it. The repair has products of the same"
                " low-rank factors, transposed.",
                forms=derivative_forms(
                    EquationTrial(dL_dX, "dL/dX"),
                    printed=formulas.gradient_X_printed,
                    repaired=formulas.gradient_X,
                    change="τ(p X Wᵀ + pᵀ X W) + fᵀ G W_Vᵀ",
                    false=FALSE_X,
                ),
            ),
            Part(kind="cost", name="sum", claim="adding the five D̃_k takes 5nd time"),
            Part(kind="asymptotic", name="time", claim="g_t = D̃6 + D̃7 + D̃8 + D̃2 + D̃4 is computed in n^{1+o(1)} time"),
            Part(
                kind="inequality",
                name="sum of errors",
                claim="‖g_t − dL/dT_{i−1}‖∞ ≤ Σ_{k∈{2,4,6,7,8}} ‖D̃_k − D_k‖∞",
            ),
            Part(
                kind="asymptotic",
                name="error",
                claim="‖g_t − dL/dT_{i−1}‖∞ ≤ ε/poly(n), and ≤ 1/poly(n) once ε = 1/poly(n) is chosen",
            ),
        ),
        assumes=("entries of X, W, W_V, G_i have O(log n) bits", "G_i is computed in n^{1+o(1)} time"),
        uses=("3.1", "3.3", "C.3", "D.9", "D.15", "E.3", "E.5", "E.6", "E.8", "E.10"),
        related=("own/readings",),
    ),
    Statement(
        id="F.5",
        kind="lemma",
        title="Fast gradient on W",
        locus="Appendix F.4, Lemma F.5",
        parts=(
            Part(
                kind="asymptotic",
                name="time",
                claim="g_w = Xᵀ(p̃1 − p̃2)X takes n^{1+o(1)} time: XᵀU3, then ·V3ᵀ, then ·X for p̃1 = U3V3ᵀ, likewise p̃2",
            ),
            Part(
                kind="inequality",
                name="error",
                claim="‖Xᵀp̃X − XᵀpX‖∞ ≤ n²‖X‖∞²(‖p̃1 − p1‖∞ + ‖p̃2 − p2‖∞), with p̃ = p̃1 − p̃2",
            ),
            Part(kind="asymptotic", name="poly", claim="‖g_w − dL/dW_i‖∞ ≤ 1/poly(n)"),
        ),
        uses=("3.1", "C.12", "C.15", "C.16", "F.4", "F.5/last step 1"),
        note="No hypothesis on bits, entries or d is printed; the proof uses ‖X‖∞ ≤ poly(n). It writes the factor"
        " n²‖X‖∞² for p1 and says the same of p2; p̃2 = U4V4ᵀ.",
    ),
    Statement(
        id="F.5/last step 1",
        kind="lemma",
        title="The error on W as a sum of two",
        locus="Appendix F.4, proof of Lemma F.5, chain after Eq. (19), 1st step",
        parts=(
            Part(
                kind="identity",
                claim="‖Xᵀp̃X − XᵀpX‖∞ = ‖Xᵀp̃1X − Xᵀp1X + Xᵀp̃2X − Xᵀp2X‖∞",
            ),
        ),
        uses=("C.12",),
        note="In the same proof p = p1 − p2 and p̃ = p̃1 − p̃2.",
    ),
    Statement(
        id="G.4",
        kind="lemma",
        title="Fast gradient on W_V",
        locus="Appendix G.3, Lemma G.4",
        parts=(
            Part(
                kind="asymptotic",
                name="time",
                claim="g_v = Xᵀ(U1V1ᵀ)G_i takes n^{1+o(1)} time: XᵀU1, (XᵀU1)V1ᵀ, then ·G_i in d²n time",
            ),
            Part(
                kind="inequality",
                name="error",
                claim="‖Xᵀf̃G_i − XᵀfG_i‖∞ ≤ n²‖X‖∞‖f̃ − f‖∞‖G_i‖∞, with f̃ = U1V1ᵀ",
            ),
            Part(kind="asymptotic", name="poly", claim="‖g_v − dL/dW_{V_i}‖∞ ≤ 1/poly(n)"),
        ),
        uses=("3.1", "C.13", "G.3"),
        note="No hypothesis on bits, entries or d is printed; the proof uses ‖X‖∞ ≤ poly(n) and ‖G_i‖∞ ≤ poly(n).",
    ),
    Statement(
        id="I.7",
        kind="lemma",
        title="Masked gradient components with a dot product",
        locus="Appendix I.2, Lemma I.7",
        parts=(
            Part(kind="identity", name="Part 1", claim="D6 = −f̂ diag(K) X Wᵀ"),
            Part(kind="identity", name="Part 2", claim="D2 = −diag(K) f̂ X W"),
            Part(kind="identity", name="Part 3", claim="D8 = f̂ G_i W_Vᵀ"),
            Part(kind="identity", name="Part 4", claim="g_v = Xᵀ f̂ G_i"),
            Part(
                kind="asymptotic",
                name="time",
                claim="each is approximated in almost linear time, by Part 1 of Lemma I.6",
            ),
        ),
        uses=("D.17", "G.3", "I.5", "I.6"),
        note="The conditions print the same four with f, from D.17 and G.3; f̂ replaces f in the conclusions.",
    ),
    Statement(
        id="I.8",
        kind="lemma",
        title="Masked gradient components with an entrywise product",
        locus="Appendix I.2, Lemma I.8",
        parts=(
            Part(kind="identity", name="Part 1", claim="D7 = (f̂ ⊙ (h G_iᵀ)) X Wᵀ"),
            Part(kind="identity", name="Part 2", claim="D4 = (f̂ ⊙ (G_i hᵀ)) X W"),
            Part(
                kind="identity",
                name="Part 3",
                claim="g_w = Xᵀ(p1 − p2)X with p1 = f̂ ⊙ q and p2 = diag(p1 · 1_n) f̂",
            ),
            Part(
                kind="asymptotic",
                name="time",
                claim="each is approximated in almost linear time, by Part 2 of Lemma I.6 (and Part 1 for g_w)",
            ),
        ),
        uses=("C.11", "C.12", "D.17", "F.5", "I.5", "I.6"),
        note="The conditions print the same with f; f̂ replaces f in the conclusions. The proof of Part 2 says D7.",
    ),
)
