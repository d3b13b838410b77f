"""What the paper says of the loss."""

from proofs_checks.record import Part, Statement

STATEMENTS: tuple[Statement, ...] = (
    Statement(
        id="3.1",
        kind="definition",
        title="Loss as a sum over units",
        locus="Section 3.1, Definition 3.1",
        parts=(
            Part(
                kind="definition",
                claim="L(X) = Σ_{j∈[n]} Σ_{k∈[d]} ℓ(X)_{j,k} with differentiable ℓ_{j,k}: R^{n×d} → R",
            ),
        ),
    ),
    Statement(
        id="3.2",
        kind="remark",
        title="Cross-entropy",
        locus="Section 3.1, Remark 3.2",
        parts=(
            Part(
                kind="definition",
                name="loss",
                claim="L(X) = −Σ_{j=1}^{n} Σ_{k=1}^{d_voc} (Y_gt)_{j,k} log((Y_pred)_{j,k}), Y_pred ∈ R^{n×d_voc}",
            ),
            Part(
                kind="identity",
                name="sum",
                claim="the cross-entropy loss, after a linear layer d → d_voc, is a sum of one-unit losses as in 3.1",
            ),
        ),
        assumes=("d_voc is a constant", "(Y_gt)_{j,k} = 1 for the class of row j and 0 otherwise"),
        uses=("3.1",),
        note="Here k runs to d_voc, in Definition 3.1 to d. Y_pred is called the probability tensor.",
    ),
)
