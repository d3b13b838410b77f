"""What the paper's authors told their reviewers in public, and what the reviewers asked of them."""

from proofs_checks import chains
from proofs_checks.equation import form
from proofs_checks.falsify import wrong_sign_or_factor
from proofs_checks.instances import odd_scale, paper_scale
from proofs_checks.record import Part, Statement
from proofs_checks.transformer import with_exchanged
from reference import input_gradient, transformer

LOSS = chains.TargetTrial(
    chains.gradient_of_loss,
    "dL/dX of the loss ½ Σ tanh(Attn(X) W_g)²",
    names=("X", "W", "W_V", "W_g"),
    scales=(paper_scale, odd_scale),
    masks=(False, True),
    max_n=4,
)

STATEMENTS: tuple[Statement, ...] = (
    Statement(
        id="claim 1",
        kind="claim",
        title="The table of errors and speed-ups",
        locus="public discussion, table and script",
        parts=(
            Part(
                kind="experiment",
                name="error",
                claim="for n = 10·2^d, d = 4…12, the relative error of the forward pass goes from 4.673 % to 0.773 %",
            ),
            Part(
                kind="experiment",
                name="speed-up",
                claim="for the same n the dense forward pass takes 1.423 to 78.98 times the approximate one's time",
            ),
            Part(
                kind="experiment",
                name="script",
                claim="degree-2 Taylor, all d² products, rank 1 + d + d²; q, k ~ N(0,1)/√d, v ~ N(0,1), float32",
            ),
        ),
        note="The script scales the scores in no other way and times one run of each size.",
        related=("C.13",),
    ),
    Statement(
        id="claim 2",
        kind="claim",
        title="The error falls with the length",
        locus="public discussion, comment on the table",
        parts=(Part(kind="experiment", claim="the error falls quickly as the sequence grows longer"),),
        note="In the table d grows together with n.",
        related=("claim 1",),
    ),
    Statement(
        id="claim 3",
        kind="claim",
        title="Attention of full rank",
        locus="public discussion",
        parts=(
            Part(
                kind="experiment",
                claim="the method works on an attention matrix of full rank: it does not assume that its rank is low",
            ),
        ),
        related=("C.13",),
    ),
    Statement(
        id="claim 4",
        kind="claim",
        title="Any differentiable loss",
        locus="public discussion",
        parts=(
            Part(
                kind="identity",
                name="linear loss",
                claim="at a fixed input the gradient of any differentiable loss is that of a linear one ⟨G, Attn(X)⟩",
                forms=(
                    form(
                        input_gradient.dL_dT,
                        LOSS,
                        {
                            **wrong_sign_or_factor(input_gradient.dL_dT),
                            **with_exchanged(input_gradient.dL_dT, "dAttn_dT"),
                        },
                        reading="G = dL/dAttn at that input",
                    ),
                ),
            ),
            Part(
                kind="identity",
                name="ℓ2 loss",
                claim="at a fixed input it is also the gradient of ½‖Attn(X) − E‖² for a suitable fixed E",
                forms=(
                    form(
                        transformer.gradient_of_l2,
                        LOSS,
                        {
                            **wrong_sign_or_factor(transformer.gradient_of_l2),
                            "E alone": chains.target_alone,
                            "Attn + E": chains.target_added,
                        },
                        reading="E = Attn(X) − dL/dAttn at that input",
                    ),
                ),
            ),
        ),
        related=("3.1", "C.4"),
    ),
    Statement(
        id="claim 5",
        kind="claim",
        title="Dependence on the number of layers",
        locus="public discussion",
        parts=(
            Part(
                kind="experiment",
                claim="every layer costs a constant power, so that the dependence on m layers is exponential in m",
            ),
        ),
        related=("4.2", "H.4"),
    ),
    Statement(
        id="claim 6",
        kind="claim",
        title="Use inside an existing framework",
        locus="public discussion",
        parts=(
            Part(
                kind="experiment",
                name="backward pass",
                claim="the method can replace the backward pass of attention layers in an existing framework",
            ),
            Part(
                kind="experiment",
                name="some layers",
                claim="where precision matters, replacing only some of the layers is a remedy",
            ),
        ),
        related=("B.4",),
    ),
    Statement(
        id="claim 7",
        kind="claim",
        title="Narrow heads",
        locus="public discussion",
        parts=(
            Part(
                kind="experiment",
                name="small d",
                claim="small d is no limit in practice because heads are narrow (64 in Llama 3.2 1B, with 32 heads)",
            ),
            Part(
                kind="experiment",
                name="growing d",
                claim="asked by reviewers: what happens when d grows with n faster than log n",
            ),
        ),
        related=("4.1", "C.13"),
    ),
    Statement(
        id="claim 8",
        kind="claim",
        title="Against exact and other approximate attention",
        locus="public discussion, reviewers' questions",
        parts=(
            Part(
                kind="experiment",
                name="crossing point",
                claim="asked by reviewers: from which n on the method is faster than exact attention",
            ),
            Part(
                kind="experiment",
                name="other methods",
                claim="asked by reviewers: how it compares with FlashAttention (exact, quadratic) and"
                " HyperAttention (randomised, forward only)",
            ),
        ),
        related=("claim 1",),
    ),
)
