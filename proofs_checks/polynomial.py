"""What the paper says of polynomial approximation of the exponential, quoted from Alman and Song (2023)."""

from proofs_checks.record import Part, Statement

STATEMENTS: tuple[Statement, ...] = (
    Statement(
        id="I.1",
        kind="lemma",
        title="Low-rank approximation of the exponential of a bounded product",
        locus="Appendix I.1, Lemma I.1",
        parts=(
            Part(
                kind="asymptotic",
                name="degree",
                claim="there is a positive integer g bounded above by g = O(max{log(1/ε) / log(log(1/ε)/R), R²})",
            ),
            Part(kind="inequality", name="rank", claim="r ≤ binom(2(g+d), 2g)"),
            Part(
                kind="construction",
                name="factors",
                claim="some Ã = U0 V0ᵀ ∈ R^{n×n} is an (ε, r)-approximation of A = exp(QKᵀ/d)",
            ),
            Part(kind="cost", name="time", claim="U0 and V0 are computed in O(n · r) time"),
        ),
        assumes=("Q, K ∈ R^{n×d}", "‖Q‖∞ ≤ R", "‖K‖∞ ≤ R", "ε ∈ (0,1)"),
        note="Quoted from Alman and Song (2023) without proof. An (ε, r)-approximation is not defined in the paper;"
        " the word degree for g is not printed.",
        related=("C.13",),
    ),
)
