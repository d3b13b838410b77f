"""What the paper says of products with a causally masked low-rank matrix."""

from proofs_checks.record import Part, Statement

STATEMENTS: tuple[Statement, ...] = (
    Statement(
        id="I.3",
        kind="lemma",
        title="Masked low-rank matrix times a vector",
        locus="Appendix I.1, Lemma I.3",
        parts=(
            Part(
                kind="identity",
                name="product",
                claim="Algorithm 2 returns Y = (M ⊙ (U0V0ᵀ)) v for U0, V0 ∈ R^{n×k} and v ∈ R^n",
            ),
            Part(kind="cost", name="time", claim="it takes O(nk) time"),
        ),
        uses=("I.2", "Alg 2"),
        note="Quoted from earlier work of three of the authors with Liu and Yin (2024); no proof here.",
    ),
    Statement(
        id="Alg 2",
        kind="algorithm",
        title="Causal mask by running sums",
        locus="Appendix I.1, Algorithm 2",
        parts=(
            Part(
                kind="construction",
                claim="c_0 = 0_k; b_j = (V0ᵀ)_j v_j and c_j = c_{j−1} + b_j for j = 1…n; Y_j = ⟨(U0ᵀ)_j, c_j⟩",
            ),
        ),
        note="(V0ᵀ)_j is explained as the j-th row of V0.",
    ),
    Statement(
        id="I.4",
        kind="lemma",
        title="Masked low-rank matrix times a matrix",
        locus="Appendix I.1, Lemma I.4 and its proof",
        parts=(
            Part(
                kind="identity",
                name="product",
                claim="an algorithm returns Z = (M ⊙ (U0V0ᵀ)) H, one column of H at a time",
            ),
            Part(kind="cost", name="cost", claim="it takes O(n k k_H) time"),
            Part(kind="asymptotic", name="time", claim="it takes n^{1+o(1)} time"),
        ),
        assumes=("U0, V0 ∈ R^{n×k}, k = n^{o(1)}", "H ∈ R^{n×k_H}, k_H = n^{o(1)}"),
        uses=("I.2", "I.3"),
    ),
    Statement(
        id="I.6",
        kind="lemma",
        title="Masked attention matrix times a matrix",
        locus="Appendix I.2, Lemma I.6",
        parts=(
            Part(kind="asymptotic", name="Part 1", claim="f̂(X) H is approximated in n^{1+o(1)} time"),
            Part(kind="asymptotic", name="Part 2", claim="(f̂(X) ⊙ (U Vᵀ)) H is approximated in n^{1+o(1)} time"),
            Part(
                kind="identity",
                name="Part 2, rewriting",
                claim="((D⁻¹(M ⊙ (U0V0ᵀ))) ⊙ (U Vᵀ)) H = (M ⊙ ((D⁻¹U0) ⊘ U)(V0 ⊘ V)ᵀ) H",
            ),
            Part(
                kind="cost",
                name="Part 2, factors",
                claim="D⁻¹U0 takes n k time; (D⁻¹U0) ⊘ U and V0 ⊘ V take O(n k²) time each",
            ),
        ),
        assumes=("U, V ∈ R^{n×k}, k = n^{o(1)}", "H ∈ R^{n×k_H}, k_H = n^{o(1)}"),
        uses=("I.1", "I.3", "I.4", "I.5", "C.2", "I.6/normalisation", "I.6/Part 2 step 1"),
        note="No bound on the approximation error is stated. U0 and U are both written with k columns.",
    ),
    Statement(
        id="I.6/normalisation",
        kind="lemma",
        title="The masked row sums",
        locus="Appendix I.2, proof of Lemma I.6, before Part 1",
        parts=(
            Part(
                kind="construction",
                name="approximation",
                claim="f̂ is approximated by D⁻¹(M ⊙ (U0V0ᵀ)) with D = diag((M ⊙ (U0V0ᵀ)) · 1_n)",
            ),
            Part(
                kind="asymptotic",
                name="time",
                claim="(M ⊙ (U0V0ᵀ)) · 1_n takes almost linear time, diag and D⁻¹ take O(n) each",
            ),
        ),
        uses=("I.1", "I.3", "I.5"),
        note="Both the diagonal of Definition I.5 and this one are written D.",
    ),
    Statement(
        id="I.6/Part 2 step 1",
        kind="lemma",
        title="A diagonal matrix and an entrywise product",
        locus="Appendix I.2, proof of Lemma I.6, Part 2, 1st step",
        parts=(
            Part(kind="identity", claim="D(A ⊙ B) = (DA) ⊙ B = A ⊙ (DB) for diagonal D ∈ R^{m×m} and A, B ∈ R^{m×n}"),
        ),
    ),
)
