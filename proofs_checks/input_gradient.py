"""What the paper says of the exact gradient with respect to a layer's input: chain rule, entries, matrix form."""

from proofs_checks.record import Part, Statement

STATEMENTS: tuple[Statement, ...] = (
    Statement(
        id="3.4",
        kind="lemma",
        title="Gradient components of a layer, informally",
        locus="Section 3.2, Lemma 3.4",
        parts=(
            Part(
                kind="identity",
                name="Part 1",
                claim="dL/dT_{i−1} = Σ_{j∈[n],k∈[d]} G_i(j,k) · dAttn_i(T_{i−1})_{j,k}/dT_{i−1}",
            ),
            Part(
                kind="identity",
                name="Part 2",
                claim="dL/dW_* = Σ_{j∈[n],k∈[d]} G_i(j,k) · dAttn_i(T_{i−1})_{j,k}/dW_*"
                " for W_* = W_{Q_i}, W_{K_i} or W_{V_i}",
            ),
        ),
        uses=("C.4",),
        follows="informal version of Lemma C.4",
        note="Part 2 names W_Q and W_K, where Lemma C.4 names their product W_i = W_Q W_Kᵀ.",
    ),
    Statement(
        id="C.1",
        kind="fact",
        title="Inner products and entrywise products",
        locus="Appendix C.1, Fact C.1",
        parts=(
            Part(kind="identity", name="diagonal", claim="⟨x ⊙ y, z⟩ = xᵀ diag(y) z"),
            Part(kind="identity", name="exchange", claim="⟨x, y ⊙ z⟩ = ⟨y, x ⊙ z⟩ = ⟨z, y ⊙ x⟩"),
            Part(kind="identity", name="sum", claim="⟨x, y⟩ = ⟨x ⊙ y, 1_n⟩"),
        ),
    ),
    Statement(
        id="C.4",
        kind="lemma",
        title="Gradient components of a layer by the chain rule",
        locus="Appendix C.2, Lemma C.4",
        parts=(
            Part(
                kind="identity",
                name="Part 1",
                claim="dL/dT_{i−1} = Σ_{i2∈[n],j2∈[d]} G_i(i2,j2) · dAttn_i(T_{i−1})_{i2,j2}/dT_{i−1}",
            ),
            Part(
                kind="identity",
                name="Part 2",
                claim="dL/dW_i = Σ_{i2∈[n],j2∈[d]} G_i(i2,j2) · dAttn_i(T_{i−1})_{i2,j2}/dW_i, W_i = W_{Q_i} W_{K_i}ᵀ",
            ),
            Part(
                kind="identity",
                name="Part 3",
                claim="dL/dW_{V_i} = Σ_{i2∈[n],j2∈[d]} G_i(i2,j2) · dAttn_i(T_{i−1})_{i2,j2}/dW_{V_i}",
            ),
        ),
        uses=("3.1", "3.3"),
        note="G_i = dL/dAttn_i(T_{i−1}(X)).",
    ),
    Statement(
        id="D.1",
        kind="lemma",
        title="Gradient of one entry of s with respect to one entry of X",
        locus="Appendix D.1, Lemma D.1",
        parts=(
            Part(
                kind="identity",
                name="i1 = i0",
                claim="ds_{i0,j0}/dX_{i1,j1} = C1 + C2 + C3 + C4 + C5 with"
                " C1 = −s_{i0,j0} f_{i0,i0} ⟨W_{j1,*}, X_{i0,*}⟩,"
                " C2 = −s_{i0,j0} ⟨f_{i0,*}, X W_{*,j1}⟩,"
                " C3 = f_{i0,i0} h_{i0,j0} ⟨W_{j1,*}, X_{i0,*}⟩,"
                " C4 = ⟨f_{i0,*} ⊙ (X W_{*,j1}), h_{*,j0}⟩,"
                " C5 = f_{i0,i0} (W_V)_{j1,j0}",
            ),
            Part(
                kind="identity",
                name="i1 ≠ i0",
                claim="ds_{i0,j0}/dX_{i1,j1} = C6 + C7 + C8 with"
                " C6 = −s_{i0,j0} f_{i1,i0} ⟨W_{j1,*}, X_{i0,*}⟩,"
                " C7 = f_{i1,i0} h_{i1,j0} ⟨W_{j1,*}, X_{i0,*}⟩,"
                " C8 = f_{i1,i0} (W_V)_{j1,j0}",
            ),
        ),
        uses=("C.3", "C.5", "C.8", "C.9", "C.10"),
        note="Taken over from Lemma B.16 of Deng, Song, Xie and Yang (2023), for c(X) = s(X) − B; no proof here.",
    ),
    Statement(
        id="D.2",
        kind="lemma",
        title="Gradient with respect to T_{i−1}, entry by entry",
        locus="Appendix D.2, Lemma D.2",
        parts=(
            Part(
                kind="identity",
                claim="dL/dT_{i−1}(i1,j1) = Σ_{i0∈[n],j0∈[d]} G_i(i0,j0) · ds(X)_{i0,j0}/dX_{i1,j1}",
            ),
        ),
        uses=("3.3", "C.3", "C.4", "C.10", "D.2/step 2"),
        note="The proof writes X for T_{i−1}(X).",
    ),
    Statement(
        id="D.2/step 2",
        kind="lemma",
        title="The attention layer is s",
        locus="Appendix D.2, proof of Lemma D.2, second equation",
        parts=(Part(kind="identity", claim="Attn_i(T_{i−1}(X)) = s(T_{i−1}(X)), by Definitions C.3 and C.10"),),
        uses=("C.3", "C.10"),
        note="The proofs of Lemmas F.4 and G.3 print the same equation.",
    ),
    Statement(
        id="D.3",
        kind="lemma",
        title="Matrix with the entries C6",
        locus="Appendix D.3, Lemma D.3",
        parts=(
            Part(
                kind="identity",
                claim="B6 = −s_{i0,j0} f_{*,i0} (W X_{i0,*})ᵀ ∈ R^{n×d}, where B6(i1,j1) = C6(X,i1,j1)",
            ),
        ),
        uses=("C.5", "D.1"),
    ),
    Statement(
        id="D.4",
        kind="lemma",
        title="Matrix with the entries C7",
        locus="Appendix D.3, Lemma D.4",
        parts=(
            Part(
                kind="identity",
                claim="B7 = (f_{*,i0} ⊙ h_{*,j0})(W X_{i0,*})ᵀ ∈ R^{n×d}, where B7(i1,j1) = C7(X,i1,j1)",
            ),
        ),
        uses=("C.5", "D.1"),
        note="The lemma's first condition prints h_{j0,i1} in C7; its proof and Lemma D.1 print h_{i1,j0}.",
    ),
    Statement(
        id="D.5",
        kind="lemma",
        title="Matrix with the entries C8",
        locus="Appendix D.3, Lemma D.5",
        parts=(
            Part(
                kind="identity",
                claim="B8 = f_{*,i0} (W_V)_{*,j0}ᵀ ∈ R^{n×d}, where B8(i1,j1) = C8(X,i1,j1)",
            ),
        ),
        uses=("C.5", "D.1"),
    ),
    Statement(
        id="D.6",
        kind="lemma",
        title="Vector with the entries C2",
        locus="Appendix D.3, Lemma D.6",
        parts=(Part(kind="identity", claim="B2 = −s_{i0,j0} Wᵀ Xᵀ f_{i0,*} ∈ R^d, where B2(j1) = C2(X,j1)"),),
        uses=("C.5", "D.1"),
    ),
    Statement(
        id="D.7",
        kind="lemma",
        title="Vector with the entries C4",
        locus="Appendix D.3, Lemma D.7",
        parts=(Part(kind="identity", claim="B4 = Wᵀ Xᵀ (f_{i0,*} ⊙ h_{*,j0}) ∈ R^d, where B4(j1) = C4(X,j1)"),),
        uses=("C.1", "C.5", "D.1"),
    ),
    Statement(
        id="D.8",
        kind="lemma",
        title="Gradient of one entry of s as a matrix",
        locus="Appendix D.4, Lemma D.8",
        parts=(
            Part(
                kind="identity",
                claim="G_i(i0,j0) · ds_{i0,j0}/dX = G_i(i0,j0) · (B6 + B7 + B8 + e_{i0}(B2 + B4)ᵀ)",
            ),
        ),
        uses=("D.1", "D.3", "D.4", "D.5", "D.6", "D.7", "D.8/Case 1", "D.8/Case 2"),
    ),
    Statement(
        id="D.8/Case 1",
        kind="lemma",
        title="The row i0 of the gradient of one entry of s",
        locus="Appendix D.4, proof of Lemma D.8, Case 1",
        parts=(
            Part(
                kind="identity",
                claim="(G_i(i0,j0) · ds_{i0,j0}/dX)(i0,*) = G_i(i0,j0) · (B6(i0,*) + B7(i0,*) + B8(i0,*) + B2 + B4)",
            ),
        ),
        uses=("D.1", "D.3", "D.4", "D.5", "D.6", "D.7"),
    ),
    Statement(
        id="D.8/Case 2",
        kind="lemma",
        title="The other rows of the gradient of one entry of s",
        locus="Appendix D.4, proof of Lemma D.8, Case 2",
        parts=(
            Part(
                kind="identity",
                claim="(G_i(i0,j0) · ds_{i0,j0}/dX)(i1,*) = G_i(i0,j0) · (B6(i1,*) + B7(i1,*) + B8(i1,*)) for i1 ≠ i0",
            ),
        ),
        uses=("D.1", "D.3", "D.4", "D.5"),
    ),
    Statement(
        id="D.9",
        kind="lemma",
        title="Gradient with respect to T_{i−1} as a sum of matrices",
        locus="Appendix D.4, Lemma D.9",
        parts=(
            Part(
                kind="identity",
                claim="dL/dT_{i−1} = Σ_{i0∈[n],j0∈[d]} G_i(i0,j0) · (B6 + B7 + B8 + e_{i0}(B2 + B4)ᵀ)",
            ),
        ),
        uses=("3.1", "3.3", "C.4", "D.2/step 2", "D.8"),
        note="The proof combines Lemma D.8, which speaks of s, with Lemma C.4, which speaks of Attn_i, in one step.",
    ),
    Statement(
        id="D.10",
        kind="lemma",
        title="The sum of the B6",
        locus="Appendix D.5, Lemma D.10",
        parts=(
            Part(
                kind="identity",
                claim="Σ_{i0,j0} G_i(i0,j0) B6 = −z6 X Wᵀ,"
                " z6 with the columns (z6)_{*,i0} = (G_{i0,*}ᵀ s_{i0,*}) f_{*,i0}",
            ),
        ),
        uses=("C.3", "C.8", "D.3"),
    ),
    Statement(
        id="D.11",
        kind="lemma",
        title="The sum of the B7",
        locus="Appendix D.5, Lemma D.11",
        parts=(
            Part(
                kind="identity",
                claim="Σ_{i0,j0} G_i(i0,j0) B7 = z7 X Wᵀ, z7 with the columns (z7)_{*,i0} = f_{*,i0} ⊙ (h G_{i0,*})",
            ),
        ),
        uses=("C.3", "D.4"),
    ),
    Statement(
        id="D.12",
        kind="lemma",
        title="The sum of the B8",
        locus="Appendix D.5, Lemma D.12",
        parts=(Part(kind="identity", claim="Σ_{i0,j0} G_i(i0,j0) B8 = f G_i W_Vᵀ"),),
        uses=("D.5",),
    ),
    Statement(
        id="D.13",
        kind="lemma",
        title="The sum of the B2",
        locus="Appendix D.5, Lemma D.13",
        parts=(
            Part(
                kind="identity",
                claim="Σ_{i0,j0} G_i(i0,j0) e_{i0} B2ᵀ = −z2 X W,"
                " z2 with the rows (z2)_{i0,*} = (G_{i0,*}ᵀ s_{i0,*}) f_{i0,*}",
            ),
        ),
        uses=("C.3", "D.6"),
    ),
    Statement(
        id="D.14",
        kind="lemma",
        title="The sum of the B4",
        locus="Appendix D.5, Lemma D.14",
        parts=(
            Part(
                kind="identity",
                claim="Σ_{i0,j0} G_i(i0,j0) e_{i0} B4ᵀ = z4 X W,"
                " z4 with the rows (z4)_{i0,*} = f_{i0,*} ⊙ (h G_{i0,*})",
            ),
        ),
        uses=("C.3", "D.7"),
    ),
    Statement(
        id="D.15",
        kind="definition",
        title="The five sums D_k",
        locus="Appendix D.6, Definition D.15",
        parts=(
            Part(
                kind="definition",
                claim="D_k = Σ_{i0,j0} G_i(i0,j0) B_k for k = 6, 7, 8;"
                " D_k = Σ_{i0,j0} G_i(i0,j0) e_{i0} B_kᵀ for k = 2, 4",
            ),
        ),
        uses=("D.3", "D.4", "D.5", "D.6", "D.7"),
    ),
    Statement(
        id="D.16",
        kind="definition",
        title="The vector K of inner products of G_i and s",
        locus="Appendix D.6, Definition D.16",
        parts=(
            Part(kind="definition", name="entries", claim="K_{i0} = G_{i0,*}ᵀ s_{i0,*} for i0 ∈ [n], K ∈ R^n"),
            Part(kind="identity", name="matrix form", claim="K = (G_i ⊙ s) 1_d"),
        ),
        uses=("C.10",),
    ),
    Statement(
        id="D.17",
        kind="lemma",
        title="Closed forms of the D_k",
        locus="Appendix D.6, Lemma D.17",
        parts=(
            Part(
                kind="identity",
                name="z6, z7, z2, z4",
                claim="z6 = f diag(K), z7 = f ⊙ (h Gᵀ), z2 = diag(K) f, z4 = f ⊙ (G hᵀ), with G = G_i",
            ),
            Part(
                kind="identity",
                name="D6, D7, D8, D2, D4",
                claim="D6 = −z6 X Wᵀ, D7 = z7 X Wᵀ, D8 = f G W_Vᵀ, D2 = −z2 X W, D4 = z4 X W, with G = G_i",
            ),
        ),
        uses=("C.3", "D.10", "D.11", "D.12", "D.13", "D.14", "D.15", "D.16"),
        note="The closed forms of z6, z7, z2 and z4 are printed among the conditions, beside those of D.10 to D.14.",
    ),
)
