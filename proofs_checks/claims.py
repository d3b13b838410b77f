"""What the paper's authors told their reviewers in public, and what the reviewers asked of them.

Most of it is about measurements: an experiment (`altgrad reproduce`) has the figures, and a condition decides. Where a
reviewer only asked, the reading is the answer that is put to the test.
"""

from collections.abc import Mapping, Sequence

from proofs_checks import chains
from proofs_checks.equation import form
from proofs_checks.experiment import Series, measured_form
from proofs_checks.falsify import wrong_sign_or_factor
from proofs_checks.instances import odd_scale, paper_scale
from proofs_checks.record import Claim, Form, Part, Role, Statement
from proofs_checks.transformer import with_exchanged
from reference import claims as conditions
from reference import input_gradient, transformer

LOSS = chains.TargetTrial(
    chains.gradient_of_loss,
    "dL/dX of the loss ½ Σ tanh(Attn(X) W_g)²",
    names=("X", "W", "W_V", "W_g"),
    scales=(paper_scale, odd_scale),
    masks=(False, True),
    max_n=4,
)

# --- false conditions: what the figures of an experiment must not meet


def all_zero(figures: Sequence[float]) -> bool:
    """False: nothing at all."""
    return all(x == 0 for x in figures)


def a_millionfold(figures: Sequence[float]) -> bool:
    """False: a million or more."""
    return min(figures) >= 1e6


def hundredfold_growth(figures: Sequence[float]) -> bool:
    """False: the last is a hundred times the first."""
    return figures[-1] >= 100 * figures[0]


def hundredth_left(figures: Sequence[float]) -> bool:
    """False: the last is a hundredth of the first."""
    return figures[-1] <= figures[0] / 100


def falling(figures: Sequence[float]) -> bool:
    """False: the last is less than half of the first."""
    return figures[-1] < figures[0] / 2


def no_smaller(shares: Sequence[float]) -> bool:
    """False: as large as with all layers, or larger."""
    return min(shares) >= 1


SIZES: Mapping[str, Claim] = {"nothing": all_zero, "a millionfold": a_millionfold}
SHARES: Mapping[str, Claim] = {"no smaller": no_smaller, "a millionfold": a_millionfold}
COURSES: Mapping[str, Claim] = {"a hundred times the first": hundredfold_growth, "a hundredth of it": hundredth_left}
SPEED_UPS: Mapping[str, Claim] = {"half of the first": falling, "a millionfold": a_millionfold}


def _of_table(
    formula: Claim, column: str, way: str, reading: str, role: Role = "printed", *,
    false: Mapping[str, Claim] = SIZES, d: int | None = None,
) -> Form:  # fmt: skip
    where: dict[str, object] = {"way": way} if d is None else {"way": way, "d": d}
    series = Series(values=(column,), over="d", where=where)
    return measured_form(formula, "rebuttal-table", series, false, role=role, reading=reading)


def _of_error(varied: str, over: str, reading: str, role: Role = "printed") -> Form:
    series = Series(values=("error, %",), over=over, where={"varied": varied})
    return measured_form(conditions.halved, "error-vs-n", series, COURSES, role=role, reading=reading)


def _of_rank(B: float, columns: tuple[str, ...], reading: str) -> Form:
    series = Series(values=columns, over="B", where={"B": B})
    return measured_form(conditions.full_rank_approximated, "full-rank", series, SIZES, reading=reading)


def _of_entries(rows: str, scores: str, R: str, reading: str) -> Form:
    series = Series(values=(rows,), over="d", where={"scores": scores, "R": R})
    return measured_form(conditions.few_are_necessary, "bounded-entries", series, SIZES, reading=reading)


def _of_depth(column: str, residual: str, reading: str) -> Form:
    series = Series(values=(column,), over="m", where={"residual": residual})
    return measured_form(conditions.grows_with_depth, "depth", series, SIZES, reading=reading)


def _of_model(formula: Claim, column: str, replaced: str, degree: int, reading: str, role: Role = "printed") -> Form:
    series = Series(values=(column,), over="layer", where={"replaced": replaced, "degree": degree})
    return measured_form(formula, "real-model", series, SIZES, role=role, reading=reading)


def _of_training(
    formula: Claim, column: str, gradient: str, approximated: str, reading: str, step: int | None = None,
    false: Mapping[str, Claim] = SIZES,
) -> Form:  # fmt: skip
    where: dict[str, object] = {"gradient": gradient, "approximated": approximated}
    where |= {} if step is None else {"step": step}
    series = Series(values=(column,), over="step", where=where)
    return measured_form(formula, "train", series, false, reading=reading)


def _of_width(formula: Claim, width: str, accuracy: str, reading: str, exponent: int | None = None) -> Form:
    where: dict[str, object] = {"width": width, "accuracy": accuracy}
    where |= {} if exponent is None else {"log2 n": exponent}
    series = Series(values=("operations/exact",), over="log2 n", where=where)
    return measured_form(formula, "growing-d", series, SIZES, reading=reading, repetitions=1)


def _of_length(column: str, reading: str) -> Form:
    series = Series(values=(column,), over="n", where={"B": 1.0, "rtol": 0.1}, setting=("d",))
    return measured_form(conditions.faster_and_faster, "crossover", series, SPEED_UPS, reading=reading)


def _beside(method: str, reading: str) -> Form:
    series = Series(values=("time/altgrad",), over="d", where={"method": method, "sources": "as they are"})
    return measured_form(conditions.faster_than_all, "versus", series, SIZES, reading=reading)


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
                fault="error",
                consequence="Neither matrix of the script is softmax attention, and its error is about half of a"
                " relative error: of softmax attention the errors are about twice those of the table.",
                forms=(
                    _of_table(
                        conditions.close_to_printed,
                        "error/printed",
                        "as the script does",
                        "column j is divided by the sum of row j; the error is ‖x − y‖/‖x + y‖",
                    ),
                    _of_table(
                        conditions.close_to_printed,
                        "error/printed",
                        "softmax, degree 2",
                        "softmax attention; the error is ‖x − y‖/‖x‖",
                    ),
                ),
            ),
            Part(
                kind="experiment",
                name="speed-up",
                claim="for the same n the dense forward pass takes 1.423 to 78.98 times the approximate one's time",
                forms=(
                    _of_table(
                        conditions.faster_and_faster,
                        "speed-up",
                        "softmax, degree 2",
                        "on another machine, where the factor is another one: faster, and by more the longer",
                        false=SPEED_UPS,
                    ),
                    _of_table(
                        conditions.at_least_as_printed,
                        "speed-up/printed",
                        "altgrad, degree 2",
                        "by altgrad on another machine, at n = 40,960: at least 78.98 times",
                        d=12,
                    ),
                ),
            ),
            Part(
                kind="experiment",
                name="script",
                claim="degree-2 Taylor, all d² products, rank 1 + d + d²; q, k ~ N(0,1)/√d, v ~ N(0,1), float32",
                fault="misprint",
                consequence="x_a x_b and x_b x_a are the same: 1 + d + d(d + 1)/2 columns give the same numbers.",
                forms=(
                    _of_table(
                        conditions.exact_columns, "rank/columns", "as the script does", "the rank is 1 + d + d²"
                    ),
                    _of_table(
                        conditions.exact_columns,
                        "rank/columns",
                        "altgrad, degree 2",
                        "the rank is 1 + d + d(d + 1)/2, and 1 + d + d² the number of the script's columns",
                        "repaired",
                    ),
                ),
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
        parts=(
            Part(
                kind="experiment",
                claim="the error falls quickly as the sequence grows longer",
                fault="gap",
                consequence="n is confounded with d: the error falls with d, as the scores of the script's inputs do,"
                " and stays as it is when n grows alone. The theorem's error falls with n because its degree grows.",
                forms=(
                    _of_error("d fixed", "n", "n grows, all else stays as it is (d = 8, degree 2)"),
                    _of_error(
                        "d = log2(n/10)", "n", "d grows with n as in the table, and the scores shrink", "hypothesis"
                    ),
                ),
            ),
        ),
        note="In the table d grows together with n. At a fixed n the error falls with d just so (`error-vs-n`).",
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
                name="full rank",
                claim="the method works on an attention matrix of full rank: it does not assume that its rank is low",
                fault="gap",
                consequence="What it needs is that scores are bounded: as they grow, f approaches a matrix that no"
                " other of low rank is close to.",
                forms=(
                    _of_rank(
                        4096.0, ("regular", "least rank/n"), "whatever the scores are, by any method (at B = 4,096)"
                    ),
                    _of_rank(
                        1.0,
                        ("regular", "rank/n", "largest error of a weight"),
                        "within the bounds that the theorem sets to entries (tried: |scores| ≤ 1, n = 120, d = 3)",
                    ),
                ),
            ),
            Part(
                kind="experiment",
                name="bounded entries",
                claim="what is assumed instead is that entries are bounded: few columns are then necessary (C.13)",
                fault="gap",
                consequence="A bound on entries bounds the scores only if d divides them, and then only if it is"
                " o(√log n).",
                forms=(
                    _of_entries("all signs", "X W Xᵀ", "1", "R = 1, scores X W Xᵀ as C.6 prints them, all signs"),
                    _of_entries("random signs", "X W Xᵀ", "1", "R = 1, scores X W Xᵀ, random signs"),
                    _of_entries("uniform", "X W Xᵀ", "1", "R = 1, scores X W Xᵀ, uniform rows"),
                    _of_entries(
                        "all signs", "X W Xᵀ/d", "√d", "R = √d, scores X W Xᵀ/d as 1.2 prints them, all signs"
                    ),
                    _of_entries("all signs", "X W Xᵀ/d", "1", "R = 1, scores X W Xᵀ/d, all signs"),
                ),
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
                fault="gap",
                consequence="It is what bounds do, ours as the paper's: errors that were measured do not grow so.",
                forms=(
                    _of_depth("bound per layer", "residual", "of what is proved: the certificate, with residual"),
                    _of_depth("error per layer", "residual", "of the error itself, with residual"),
                    _of_depth("error per layer", "no residual", "of the error itself, without residual"),
                ),
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
                fault="gap",
                consequence="The gradients are right at the degree that the scores ask for. Scores of trained heads"
                " are so large that no rank that pays has that degree, and they grow in training.",
                forms=(
                    measured_form(
                        conditions.within_a_tenth,
                        "any-loss",
                        Series(values=("approximate, %",), over="rtol", setting=("loss",)),
                        SIZES,
                        reading="dX within 10 % at the degree that the scores ask for, whatever the rank",
                    ),
                    _of_model(
                        conditions.within_a_tenth,
                        "dQ, %",
                        "one head",
                        2,
                        "dQ of each head of a trained model within 10 %, degree 2",
                    ),
                    _of_model(
                        conditions.within_a_tenth,
                        "dQ, %",
                        "one head",
                        8,
                        "the same at degree 8, of rank 76,904,685",
                    ),
                    _of_training(
                        conditions.within_a_tenth,
                        "gradient, %",
                        "paper",
                        "all layers, degree 4",
                        "a small transformer's gradient within 10 % before it is trained, paper's method, degree 4",
                        0,
                    ),
                    _of_training(
                        conditions.within_a_tenth,
                        "gradient, %",
                        "paper",
                        "all layers, degree 4",
                        "the same throughout training",
                    ),
                    _of_training(
                        conditions.within_a_tenth,
                        "wrong, %",
                        "paper",
                        "all layers, degree 4",
                        "at most 10 % wrong answers of that transformer after training, paper's method, degree 4",
                        400,
                    ),
                ),
            ),
            Part(
                kind="experiment",
                name="some layers",
                claim="where precision matters, replacing only some of the layers is a remedy",
                fault="gap",
                consequence="It is one in that the error becomes smaller. It does not become small at a rank that"
                " pays. In training it depends on which layers: the last one exact helped in every run, the first one"
                " exact in few.",
                forms=(
                    _of_model(
                        conditions.smaller_part,
                        "embedding/all",
                        "one layer",
                        2,
                        "a smaller error of a trained model's embedding, degree 2",
                    ),
                    _of_model(
                        conditions.within_a_tenth,
                        "embedding, %",
                        "one layer",
                        8,
                        "an error within 10 %, degree 8",
                    ),
                    _of_model(
                        conditions.within_a_tenth, "embedding, %", "one layer", 2, "an error within 10 %, degree 2"
                    ),
                    _of_training(
                        conditions.smaller_part,
                        "wrong/all layers",
                        "paper",
                        "layer 1, degree 2",
                        "fewer wrong answers after training, paper's method, degree 2, if the last layer is exact",
                        400,
                        SHARES,
                    ),
                ),
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
                fault="gap",
                consequence="At d = 64 and the lengths in use degree 2 pays, whatever its error; the degree that is"
                " right for every weight, even of small scores, takes more operations than exact attention.",
                forms=(
                    _of_width(
                        conditions.pays,
                        "d = 64",
                        "degree 2",
                        "d = 64, n = 2^17 (that model's context), degree 2, whatever its error",
                        17,
                    ),
                    _of_width(
                        conditions.pays,
                        "d = 64",
                        "1 % of every weight",
                        "the same within 1 % of every weight, for scores within ±1",
                        17,
                    ),
                ),
            ),
            Part(
                kind="experiment",
                name="growing d",
                claim="asked by reviewers: what happens when d grows with n faster than log n",
                forms=(
                    _of_width(
                        conditions.never_pays,
                        "d = n^(1/2)",
                        "1 % of every weight",
                        "answer: at d = √n it takes more operations than exact attention at every n, for 1 % of every"
                        " weight and scores within ±1",
                    ),
                    _of_width(
                        conditions.never_pays,
                        "d = n^(1/2)",
                        "degree 2",
                        "answer: at d = √n even degree 2 takes more operations at every n",
                    ),
                ),
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
                forms=(
                    _of_length(
                        "exact/fast, output",
                        "answer: of the output, within n = 8,192 for d up to 16 (the degree for weights within 10 %,"
                        " |scores| ≤ 1); the table has the n",
                    ),
                    _of_length("exact/fast, gradient", "answer: the same of the gradient"),
                ),
            ),
            Part(
                kind="experiment",
                name="other methods",
                claim="asked by reviewers: how it compares with FlashAttention (exact, quadratic) and"
                " HyperAttention (randomised, forward only)",
                forms=tuple(
                    _beside(
                        method,
                        f"answer: at n = 4,096, d = 8 to 16, degree 2, {method} takes longer for output and gradient",
                    )
                    for method in ("PyTorch", "taylor-series-linear-attention", "performer-pytorch")
                ),
            ),
        ),
        related=("claim 1",),
    ),
)
