"""What the paper says of the whole model: layers, their non-attention parts, residual connections and extensions."""

from proofs_checks.record import Part, Statement

STATEMENTS: tuple[Statement, ...] = (
    Statement(
        id="1.3",
        kind="definition",
        title="Transformer with m layers",
        locus="Section 1.1, Definition 1.3",
        parts=(
            Part(
                kind="definition",
                name="model",
                claim="F_m(X) = g_m ∘ Attn_m ∘ g_{m−1} ∘ Attn_{m−1} ∘ … ∘ g_1 ∘ Attn_1 ∘ g_0(X)",
            ),
            Part(
                kind="cost",
                name="other components",
                claim="each g_i (layer norm, MLP, residual, dropout, positional encoding, head concatenation)"
                " runs forward and backward in time linear in n",
            ),
        ),
        uses=("1.2",),
        note="Linear time is assumed in the definition; the text below it names the components.",
    ),
    Statement(
        id="1.4",
        kind="theorem",
        title="Gradient of the whole model, informally",
        locus="Section 1.2, Theorem 1.4",
        parts=(
            Part(
                kind="asymptotic",
                name="time",
                claim="Algorithm 1 computes the gradient of the multi-layer model in n^{1+o(1)} time",
            ),
            Part(kind="asymptotic", name="error", claim="the error of the entire model is at most 1/poly(n)"),
        ),
        assumes=("d = O(log n)", "each number in the matrices has O(log n) bits", "m = n^{o(1)}"),
        uses=("4.2",),
        follows="informal version of Theorem 4.2",
    ),
    Statement(
        id="3.3",
        kind="definition",
        title="Hidden states T_i",
        locus="Section 3.2, Definition 3.3",
        parts=(
            Part(
                kind="definition",
                claim="T_0(X) = g_0(X) and T_i(X) = (g_i ∘ Attn_i)(T_{i−1}(X)) ∈ R^{n×d} for i ∈ [m]",
            ),
        ),
        uses=("1.2", "1.3"),
    ),
    Statement(
        id="4.2",
        kind="theorem",
        title="Gradient of the whole model",
        locus="Section 4.2, Theorem 4.2",
        parts=(
            Part(
                kind="asymptotic",
                name="time",
                claim="for every i ∈ [m] Algorithm 1 computes all gradient components of layer i in n^{1+o(1)} time",
            ),
            Part(
                kind="asymptotic",
                name="error",
                claim="the approximation error of the entire m-layer model is at most 1/poly(n)",
            ),
        ),
        assumes=("d = O(log n)", "each number in the matrices has O(log n) bits", "m = n^{o(1)}"),
        uses=("4.1", "5.5", "Alg 1"),
    ),
    Statement(
        id="5.4",
        kind="lemma",
        title="Time for G_i, informally",
        locus="Section 5.4, Lemma 5.4",
        parts=(
            Part(kind="asymptotic", claim="given dL/dT_i, G_i = dL/dAttn_i(T_{i−1}) is computed in n^{1+o(1)} time"),
        ),
        assumes=("dL/dT_i is available", "g_i(Z) = φ(Z W_g), φ any entrywise activation with derivative φ′"),
        uses=("H.2",),
        follows="informal version of Lemma H.2",
    ),
    Statement(
        id="5.5",
        kind="lemma",
        title="Gradient of m layers, informally",
        locus="Section 5.4, Lemma 5.5",
        parts=(
            Part(
                kind="asymptotic",
                name="time",
                claim="for every i ∈ [m], dL/dT_{i−1}, dL/dW_i and dL/dW_{V_i} are approximated in n^{1+o(1)} time",
            ),
            Part(kind="asymptotic", name="error", claim="‖g̃ − dL/dX‖∞ ≤ 1/poly(n)"),
        ),
        uses=("H.4",),
        follows="informal version of Lemma H.4",
        note="H.4 is called a theorem here and a lemma in Appendix H. Lemma H.4 states its time for dL/dX.",
    ),
    Statement(
        id="Alg 1",
        kind="algorithm",
        title="Gradient of the whole model, layer by layer",
        locus="Section 4.2, Algorithm 1",
        parts=(
            Part(kind="cost", name="start", claim="dL/dT_m is computed in O(nd) time"),
            Part(
                kind="construction",
                name="loop",
                claim="for i = m down to 1: g_t, g_w, g_v = SingleGrad(g_t), from g_t = dL/dT_m to dL/dT_0",
            ),
            Part(
                kind="construction",
                name="optimiser",
                claim="g_w is handed to the optimiser of W_{Q_i} and W_{K_i}, g_v to the one of W_{V_i}",
            ),
        ),
        uses=("1.3", "3.1", "3.3", "Alg 1/SingleGrad"),
        note="g_w is a gradient for the product W_{Q_i} W_{K_i}ᵀ; the chain rule to W_Q is in C.3.",
        related=("C.3",),
    ),
    Statement(
        id="B.1",
        kind="claim",
        title="Multi-head attention as an extension",
        locus="Appendix B.1 and Section 6",
        parts=(
            Part(
                kind="asymptotic",
                name="attention matrix",
                claim="for constant h the time for f(X) ∈ R^{h×n×n} is h · n^{1+o(1)} = n^{1+o(1)}",
            ),
            Part(
                kind="asymptotic",
                name="heads",
                claim="with heads of width d_h = d/h the time for the gradient does not increase",
            ),
            Part(
                kind="asymptotic",
                name="whole model",
                claim="with multi-head attention dL/dX of m layers takes n^{1+o(1)} time, with 1/poly(n) error",
            ),
        ),
        assumes=("h is constant",),
        uses=("H.3", "H.4", "K.1", "K.2"),
        note="The part on the whole model is repeated below the proof of K.2, with H.3 and H.4 as the pattern.",
    ),
    Statement(
        id="B.2",
        kind="claim",
        title="Residual connections as an extension",
        locus="Appendix B.2 and Section 6",
        parts=(
            Part(kind="cost", name="cost", claim="the residual connections add O(n · d) per layer"),
            Part(kind="asymptotic", name="time", claim="each layer takes O(n · d) + n^{1+o(1)} = n^{1+o(1)} in total"),
            Part(
                kind="asymptotic",
                name="whole model",
                claim="the gradient of the multi-layer model with residual connections takes n^{1+o(1)} time",
            ),
        ),
        uses=("J.1", "J.2", "J.3", "J.5"),
    ),
    Statement(
        id="B.3",
        kind="claim",
        title="The causal mask as an extension",
        locus="Appendix B.3 and Section 6",
        parts=(
            Part(
                kind="identity",
                name="replacement",
                claim="in f(X)·H and (f(X) ⊙ (U Vᵀ))·H, f̂ in place of f gives the masked gradient components",
            ),
            Part(
                kind="asymptotic",
                name="time",
                claim="with the causal mask the gradient of the multi-layer model takes n^{1+o(1)} time",
            ),
        ),
        uses=("I.1", "I.2", "I.3", "I.5", "I.7", "I.8"),
    ),
    Statement(
        id="B.4",
        kind="claim",
        title="Combination with system-level kernels",
        locus="Appendix B.4 and Section 6",
        parts=(
            Part(
                kind="experiment",
                name="combination",
                claim="the method combines with system-level kernels such as FlashAttention, for more speed",
            ),
            Part(
                kind="experiment",
                name="what a GPU needs",
                claim="new tensor operations (Eq. (5), Eq. (8)), new backward functions, a parallel causal kernel",
            ),
        ),
        note="Eq. (5) stands in E.4, Eq. (8) in E.7. The GPU implementation is called future work.",
        related=("E.4", "E.7", "Alg 2"),
    ),
    Statement(
        id="B.5",
        kind="claim",
        title="Prompt tuning as an extension",
        locus="Appendix B.5 and Section 6",
        parts=(
            Part(
                kind="asymptotic",
                claim="Algorithm 1 computes the gradient on soft prompts X_p of the whole model in n^{1+o(1)} time",
            ),
        ),
        uses=("4.2", "Alg 1"),
    ),
    Statement(
        id="H.1",
        kind="lemma",
        title="Gradient of T_i with respect to Attn_i",
        locus="Appendix H.1, Lemma H.1",
        parts=(
            Part(
                kind="identity",
                name="Part 1",
                claim="dT_i(i4,j4)/dAttn_i(i5,j5) = φ′(Attn_i(i4,*)ᵀ W_g(*,j4)) W_g(j5,j4) if i4 = i5, 0 if i4 ≠ i5",
            ),
            Part(
                kind="identity",
                name="Part 2",
                claim="dT_i(i4,j4)/dAttn_i = φ′(Attn_i(i4,*)ᵀ W_g(*,j4)) e_{i4} W_g(*,j4)ᵀ",
            ),
        ),
        assumes=("g_i(Z) = φ(Z W_g), φ any entrywise activation with derivative φ′",),
        uses=("3.3",),
        note="The proof takes i4 ∈ [d] and j4 ∈ [n], the lemma i4 ∈ [n] and j4 ∈ [d].",
    ),
    Statement(
        id="H.2",
        kind="lemma",
        title="Closed form and time for G_i",
        locus="Appendix H.1, Lemma H.2 and its proof",
        parts=(
            Part(
                kind="identity",
                name="formula",
                claim="G_i = (g_{T_i} ⊙ φ′(Attn_i W_g)) W_gᵀ, with g_{T_i} = dL/dT_i",
            ),
            Part(
                kind="cost",
                name="cost",
                claim="g_{T_i} ⊙ φ′(Attn_i W_g) takes n · d time and its product with W_gᵀ takes d² · n",
            ),
            Part(kind="asymptotic", name="time", claim="G_i is computed in n^{1+o(1)} time"),
        ),
        assumes=("dL/dT_i is available", "g_i(Z) = φ(Z W_g), φ any entrywise activation with derivative φ′"),
        uses=("H.1",),
        note="The formula is Eq. (25) of the proof. No hypothesis on d is printed.",
    ),
    Statement(
        id="H.3",
        kind="lemma",
        title="Gradient of a model with one layer",
        locus="Appendix H.2, Lemma H.3",
        parts=(
            Part(kind="asymptotic", name="Part 1", claim="dL/dX is approximated in n^{1+o(1)} time"),
            Part(
                kind="inequality",
                name="Part 2, chain",
                claim="‖G̃_0 − G_0‖∞ = ‖(g̃_{t0} − dL/dT_0) · dT_0/dX‖∞ ≤ n · d‖g̃_{t0} − dL/dT_0‖∞‖dT_0/dX‖∞",
            ),
            Part(kind="asymptotic", name="Part 2", claim="‖g̃_1 − dL/dX‖∞ ≤ 1/poly(n), with g̃_1 = G̃_0"),
        ),
        assumes=("g_i(Z) = φ(Z W_g), φ any entrywise activation with derivative φ′", "one layer"),
        uses=("1.3", "3.1", "E.11", "F.5", "G.4", "H.2", "H.3/Part 2 start"),
        note="The model is g_1 ∘ Attn_1 ∘ g_0; G_0 stands for dL/dX. No hypothesis on bits or d is printed; the"
        " proof's last step says that each entry has O(log n) bits.",
    ),
    Statement(
        id="H.3/Part 2 start",
        kind="lemma",
        title="G_1 carries no approximation error",
        locus="Appendix H.2, proof of Lemma H.3, Part 2, second sentence",
        parts=(
            Part(
                kind="identity",
                claim="G̃_1 = G_1 = (dL/dT_1) · dT_1/dAttn_1(T_0): no approximation error, by H.2 and Eq. (26)",
            ),
        ),
        uses=("H.2",),
    ),
    Statement(
        id="H.4",
        kind="lemma",
        title="Gradient of a model with m layers",
        locus="Appendix H.3, Lemma H.4",
        parts=(
            Part(kind="asymptotic", name="Part 1", claim="dL/dX is approximated in n^{1+o(1)} time"),
            Part(kind="asymptotic", name="Part 2", claim="‖g̃ − dL/dX‖∞ ≤ 1/poly(n)"),
        ),
        assumes=(
            "gradient components of each layer as in E.11, F.5, G.4",
            "g_i(Z) = φ(Z W_g), φ any entrywise activation with derivative φ′",
            "m layers",
        ),
        uses=("1.3", "3.1", "E.11", "F.5", "G.4", "H.2", "H.3", "H.4/step 3.1", "H.4/step 3.2", "H.4/step 4"),
        note="By induction: steps 1 and 2 are the case of one layer (H.3) and the hypothesis for k layers. Nothing is"
        " printed of how m depends on n, nor of bits or d.",
    ),
    Statement(
        id="H.4/step 3.1",
        kind="lemma",
        title="Induction step, running time",
        locus="Appendix H.3, proof of Lemma H.4, Step 3.1",
        parts=(
            Part(
                kind="asymptotic",
                claim="given dL/dAttn(T_0), dL/dT_0 (E.11) and then dL/dX (H.2) take n^{1+o(1)} time each",
            ),
        ),
        assumes=("F_{k+1}(X) = F_k ∘ Attn ∘ g(X)", "T_0 = g(X)"),
        uses=("E.11", "H.2"),
    ),
    Statement(
        id="H.4/step 3.2",
        kind="lemma",
        title="Induction step, error",
        locus="Appendix H.3, proof of Lemma H.4, Step 3.2",
        parts=(
            Part(
                kind="asymptotic",
                name="magnification",
                claim="‖g̃_{t0} − dL/dg(X)‖∞ ≤ poly(n)‖g̃_k − dL/dT(X)‖∞ ≤ 1/poly(n)",
            ),
            Part(
                kind="inequality",
                name="chain",
                claim="‖g̃ − dL/dX‖∞ = ‖(g̃_{t0} − dL/dg(X)) · dg(X)/dX‖∞ ≤ n · d‖g̃_{t0} − dL/dg(X)‖∞‖dg(X)/dX‖∞",
            ),
            Part(kind="asymptotic", name="poly", claim="‖g̃ − dL/dX‖∞ ≤ n · d(1/poly(n))‖dg(X)/dX‖∞ ≤ 1/poly(n)"),
        ),
        assumes=("F_{k+1}(X) = F_k ∘ Attn ∘ g(X)", "‖g̃_k − dL/dAttn(T_0)‖∞ ≤ 1/poly(n), T_0 = g(X)"),
        uses=("E.11",),
        note="The induction hypothesis speaks of dL/dAttn(T_0), the bound of dL/dT(X). The last step says that each"
        " entry has O(log n) bits.",
    ),
    Statement(
        id="H.4/step 4",
        kind="lemma",
        title="From the induction step to every m",
        locus="Appendix H.3, proof of Lemma H.4, Step 4",
        parts=(
            Part(
                kind="asymptotic",
                claim="one layer, and k + 1 layers from k, give n^{1+o(1)} time and error ≤ 1/poly(n) for any m",
            ),
        ),
        uses=("H.3", "H.4/step 3.1", "H.4/step 3.2"),
    ),
    Statement(
        id="J.1",
        kind="definition",
        title="Residual connection over attention",
        locus="Appendix J.1, Definition J.1",
        parts=(Part(kind="definition", claim="Z_i = T_{i−1} + Attn_i(T_{i−1}) ∈ R^{n×d}"),),
        uses=("3.3", "C.3"),
    ),
    Statement(
        id="J.2",
        kind="definition",
        title="Residual connection over g_i",
        locus="Appendix J.1, Definition J.2",
        parts=(Part(kind="definition", claim="T_i = Z_i + g_i(Z_i)"),),
        uses=("1.3", "3.3", "J.1"),
    ),
    Statement(
        id="J.3",
        kind="lemma",
        title="Gradient through one residual connection",
        locus="Appendix J.2, Lemma J.3 and its proof",
        parts=(
            Part(
                kind="identity",
                name="gradient",
                claim="dL/dX_R = (dL/dY_R)(I + dH(X_R)/dX_R) = dL/dY_R + (dL/dY_R)(dH(X_R)/dX_R)",
            ),
            Part(kind="cost", name="addition", claim="adding the two terms takes n · d time"),
            Part(kind="asymptotic", name="time", claim="dL/dX_R is computed in n^{1+o(1)} time"),
            Part(
                kind="asymptotic",
                name="magnification",
                claim="the error grows by no more than the factor (n · d poly(n) + 1)",
            ),
            Part(
                kind="asymptotic",
                name="error",
                claim="if dL/dY_R has 1/poly(n) error, the error of dL/dX_R is still 1/poly(n)",
            ),
        ),
        assumes=(
            "Y_R = X_R + H(X_R), H: R^{n×d} → R^{n×d} some layer",
            "given dL/dY_R, (dL/dY_R)(dH(X_R)/dX_R) is computed in n^{1+o(1)} time",
        ),
        uses=("3.1", "J.3/last step"),
    ),
    Statement(
        id="J.3/last step",
        kind="lemma",
        title="The magnified error",
        locus="Appendix J.2, proof of Lemma J.3, last sentence",
        parts=(Part(kind="asymptotic", claim="(n · d poly(n) + 1)(1/poly(n)) = poly(n)"),),
        note="The sentence concludes that the error is bounded by 1/poly(n).",
    ),
    Statement(
        id="J.4",
        kind="lemma",
        title="Gradient of one layer with residual connections",
        locus="Appendix J.3, Lemma J.4",
        parts=(
            Part(kind="asymptotic", name="Part 1", claim="dL/dX is approximated in n^{1+o(1)} time"),
            Part(kind="asymptotic", name="Part 2", claim="‖g_{r1} − dL/dX‖∞ ≤ 1/poly(n)"),
        ),
        assumes=("one layer", "residual connections as in J.1 and J.2"),
        uses=("1.3", "3.1", "3.3", "E.11", "H.2", "J.1", "J.2", "J.3", "J.4/step 1", "J.4/step 4"),
        note="Nothing is printed of the form of g_i, of bits or of d.",
    ),
    Statement(
        id="J.4/step 1",
        kind="lemma",
        title="The gradient at the output of the model",
        locus="Appendix J.3, proof of Lemma J.4, Step 1",
        parts=(Part(kind="cost", claim="dL/dT_1 is computed in n · d time, by Definition 3.1"),),
        uses=("3.1",),
        note="Algorithm 1 and the proof of Lemma K.2 (Step 1) print the same of dL/dT_m and dL/dY_m.",
    ),
    Statement(
        id="J.4/step 4",
        kind="lemma",
        title="The gradient with respect to X",
        locus="Appendix J.3, proof of Lemma J.4, Step 4",
        parts=(
            Part(kind="asymptotic", name="time", claim="dL/dX is computed in n^{1+o(1)} time, by H.2"),
            Part(kind="asymptotic", name="error", claim="its error is (n · d)(1/poly(n)) = (1/poly(n))"),
        ),
        uses=("H.2",),
    ),
    Statement(
        id="J.5",
        kind="lemma",
        title="Gradient of m layers with residual connections",
        locus="Appendix J.3, Lemma J.5",
        parts=(
            Part(kind="asymptotic", name="Part 1", claim="dL/dX is approximated in n^{1+o(1)} time"),
            Part(kind="asymptotic", name="Part 2", claim="‖g_r − dL/dX‖∞ ≤ 1/poly(n)"),
        ),
        assumes=("m layers", "residual connections as in J.1 and J.2"),
        uses=("1.3", "3.1", "3.3", "J.1", "J.2", "J.4", "J.5/step 3"),
        note="By induction on the layers, one being added in front; nothing is printed of how m depends on n.",
    ),
    Statement(
        id="J.5/step 3",
        kind="lemma",
        title="Induction step with residual connections",
        locus="Appendix J.3, proof of Lemma J.5, Step 3",
        parts=(
            Part(
                kind="asymptotic",
                claim="if dL/dT_1 takes n^{1+o(1)} time with 1/poly(n) error, so does dL/dX of F_{k+1}(X) = F_k(T_1)",
            ),
        ),
        uses=("J.1", "J.2", "J.4"),
        note="The argument of Lemma J.4 is invoked, there with an exact dL/dT_1.",
    ),
    Statement(
        id="K.2",
        kind="lemma",
        title="Gradient of multi-head attention",
        locus="Appendix K, Lemma K.2 and its proof",
        parts=(
            Part(
                kind="identity",
                name="gradient",
                claim="dL/dX_m = (dL/dY_m)(dY_m/ds)(ds/dX_m) = Σ_{l=1}^{h} (dL/dY_m)(dY_m/ds)(ds_l/dX_m)",
            ),
            Part(kind="asymptotic", name="time", claim="dL/dX_m is computed in n^{1+o(1)} time"),
            Part(
                kind="asymptotic",
                name="magnification",
                claim="each head magnifies the error by no more than n² · d · d_h · poly(n);"
                " over h heads h · n² · d · d_h · poly(n) · (1/poly(n)) = 1/poly(n)",
            ),
            Part(
                kind="asymptotic",
                name="error",
                claim="if dL/dY_m has 1/poly(n) error, the error of dL/dX_m is still 1/poly(n)",
            ),
        ),
        uses=("3.1", "C.3", "E.11", "H.2", "K.1"),
        note="That h is a constant is said in the proof. Definition K.1 divides the scores of a head by d_h.",
    ),
)
