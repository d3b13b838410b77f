"""What the paper says of low-rank factors: row-wise Kronecker products, and factors of f, s, p1 and p2."""

from proofs_checks.record import Part, Statement

STATEMENTS: tuple[Statement, ...] = (
    Statement(
        id="C.2",
        kind="fact",
        title="Entrywise product of two factored matrices",
        locus="Appendix C.1, Fact C.2",
        parts=(
            Part(
                kind="identity",
                name="product",
                claim="(U1 V1ᵀ) ⊙ (U2 V2ᵀ) = (U1 ⊘ U2)(V1 ⊘ V2)ᵀ for U1, V1 ∈ R^{n×k1} and U2, V2 ∈ R^{n×k2}",
            ),
            Part(
                kind="definition",
                name="row-wise Kronecker",
                claim="(U1 ⊘ U2)_{i, l1+(l2−1)k1} = (U1)_{i,l1} U_{i,l2}, U1 ⊘ U2 ∈ R^{n×k1k2}",
            ),
        ),
        note="The last factor is printed U_{i,l2}, without its index 2.",
    ),
    Statement(
        id="C.13",
        kind="lemma",
        title="Low-rank factors of f",
        locus="Appendix C.4, Lemma C.13",
        parts=(
            Part(
                kind="construction",
                name="factors",
                claim="there are U1, V1 ∈ R^{n×k1} with ‖U1V1ᵀ − f(X)‖∞ ≤ ε/poly(n), where f(X) = D⁻¹ exp(X W Xᵀ)"
                " and D = diag(exp(X W Xᵀ) 1_n)",
            ),
            Part(kind="asymptotic", name="rank", claim="k1 = n^{o(1)}"),
            Part(kind="asymptotic", name="time", claim="U1 and V1 can be constructed explicitly in n^{1+o(1)} time"),
        ),
        assumes=("A = o(√log n)", "‖XW‖∞ ≤ R", "‖X‖∞ ≤ R"),
        uses=("C.7", "C.8"),
        note="The quantity A does not occur again; R carries no bound, d no hypothesis, ε no quantifier. Taken over"
        " from Section 3 of Alman and Song (2023) and Lemma D.1 of Alman and Song (2024); no proof here.",
        related=("I.1",),
    ),
    Statement(
        id="C.14",
        kind="lemma",
        title="Low-rank factors of s",
        locus="Appendix C.4, Lemma C.14 and its proof",
        parts=(
            Part(kind="inequality", name="bound", claim="‖U1V1ᵀ h(X) − s(X)‖∞ ≤ n‖U1V1ᵀ − f(X)‖∞‖h(X)‖∞"),
            Part(
                kind="asymptotic",
                name="poly",
                claim="there are U1, V1 ∈ R^{n×k1} with ‖U1V1ᵀ h(X) − s(X)‖∞ ≤ ε/poly(n)",
            ),
        ),
        assumes=("d = O(log n)", "entries of h(X) have O(log n) bits"),
        uses=("C.10", "C.13"),
    ),
    Statement(
        id="C.15",
        kind="lemma",
        title="Low-rank factors of p1",
        locus="Appendix C.4, Lemma C.15",
        parts=(
            Part(
                kind="construction",
                name="factors",
                claim="there are U3, V3 ∈ R^{n×k3} with ‖U3V3ᵀ − p1(X)‖∞ ≤ ε/poly(n), where p1(X) = f(X) ⊙ q(X)",
            ),
            Part(kind="asymptotic", name="time", claim="U3 and V3 can be constructed explicitly in n^{1+o(1)} time"),
        ),
        assumes=(
            "k1 = n^{o(1)}",
            "k2 = n^{o(1)}",
            "‖U1V1ᵀ − f(X)‖∞ ≤ ε/poly(n), U1, V1 ∈ R^{n×k1}",
            "‖U2V2ᵀ − q(X)‖∞ ≤ ε/poly(n), U2, V2 ∈ R^{n×k2}",
        ),
        uses=("C.8", "C.11", "C.12"),
        note="Nothing is printed of k3. Taken over from Lemma D.4 of Alman and Song (2024); no proof here.",
    ),
    Statement(
        id="C.16",
        kind="lemma",
        title="Low-rank factors of p2",
        locus="Appendix C.4, Lemma C.16",
        parts=(
            Part(
                kind="construction",
                name="factors",
                claim="there are U4, V4 ∈ R^{n×k4} with ‖U4V4ᵀ − p2(X)‖∞ ≤ ε/poly(n),"
                " where p2(X)_{j0} = f(X)_{j0} f(X)_{j0}ᵀ q(X)_{j0}",
            ),
            Part(kind="asymptotic", name="time", claim="U4 and V4 can be constructed explicitly in n^{1+o(1)} time"),
        ),
        assumes=(
            "k1 = n^{o(1)}",
            "k2 = n^{o(1)}",
            "k4 = n^{o(1)}",
            "‖U1V1ᵀ − f(X)‖∞ ≤ ε/poly(n), U1, V1 ∈ R^{n×k1}",
            "‖U2V2ᵀ − q(X)‖∞ ≤ ε/poly(n), U2, V2 ∈ R^{n×k2}",
        ),
        uses=("C.8", "C.11", "C.12"),
        note="Taken over from Lemma D.5 of Alman and Song (2024); no proof here.",
    ),
)
