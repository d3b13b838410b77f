"""What the paper says of the loss."""

from typing import Any

import numpy as np

from proofs_checks.equation import EquationTrial, form
from proofs_checks.falsify import Altered, wrong_sign_or_factor
from proofs_checks.instances import CLASSES, Instance
from proofs_checks.record import Claim, Form, Part, Statement
from proofs_checks.symbols import Symbols, table, total
from reference import loss as formulas
from reference.softmax_attention import Array

# --- true sides


def inner_product(symbols: Symbols) -> Array:
    """The trace of Cᵀ T: Σ_k (Σ_j C_jk T_jk)."""
    C, T, n, d = symbols.C, symbols.T, symbols.n, symbols.d
    return table(lambda: total(total(C[j, k] * T[j, k] for j in range(n)) for k in range(d)))


def half_squared_distance(symbols: Symbols) -> Array:
    """½⟨T, T⟩ − ⟨T, target⟩ + ½⟨target, target⟩."""
    T, target, places = symbols.T, symbols.target, tuple(np.ndindex(symbols.n, symbols.d))

    def inner(A: Array, B: Array) -> Any:
        return total(A[place] * B[place] for place in places)

    return table(lambda: inner(T, T) / 2 - inner(T, target) + inner(target, target) / 2)


def label(symbols: Symbols, j: int) -> int:
    """The class of row j."""
    return int(np.flatnonzero(symbols.instance.operands["Y"][j])[0])


def surprise(symbols: Symbols) -> Array:
    """Σ_j (log Σ_k exp z_jk − z_jc) with the logits z = T W_out and the class c of row j: −log of its probability."""
    T, W_out, n, d = symbols.T, symbols.W_out, symbols.n, symbols.d
    z = table(lambda j, k: total(T[j, a] * W_out[a, k] for a in range(d)), n, CLASSES)

    def of_row(j: int) -> Any:
        return total(z[j, k].exp() for k in range(CLASSES)).log() - z[j, label(symbols, j)]

    return table(lambda: total(of_row(j) for j in range(n)))


def one_class_per_row(instance: Instance) -> bool:
    """(Y_gt)_{j,k} = 1 for the class of row j and 0 otherwise."""
    Y = instance.operands["Y"]
    return bool(np.isin(Y, (0, 1)).all() and (Y.sum(axis=1) == 1).all())


# --- false variants


def first_column(value: Array) -> Array:
    return value * (np.arange(value.shape[1]) == 0)


def next_class(Y: Array) -> Array:
    return np.roll(Y, 1, axis=1)


def mean(Y_gt: Array, Y_pred: Array) -> Any:
    """False: the mean over the rows."""
    return formulas.cross_entropy(Y_gt, Y_pred) / len(Y_gt)


def probabilities(Y_gt: Array, Y_pred: Array) -> Any:
    """False: without the logarithm."""
    return -(Y_gt * Y_pred).sum()


def squared_norms(T: Array, target: Array) -> Any:
    """False: ½‖T‖² + ½‖target‖²."""
    return (T * T + target * target).sum() / 2


def one_unit_for_all_columns(Y_gt: Array, Y_pred: Array, d: int) -> Any:
    """False: the unit of a row in each of its d places."""
    return d * formulas.cross_entropy_of_rows(Y_gt, Y_pred, d)


def of_classes(claim: Claim) -> dict[str, Claim]:
    return {**wrong_sign_or_factor(claim), "the next class": Altered(claim, next_class, "Y_gt")}


LINEAR: dict[str, Claim] = {
    **wrong_sign_or_factor(formulas.linear_loss),
    "one column": Altered(formulas.linear_loss, first_column, "T"),
}
SQUARED: dict[str, Claim] = {
    **wrong_sign_or_factor(formulas.squared_loss),
    "no cross term": squared_norms,
}


def sum_forms() -> tuple[Form, ...]:
    """Cross-entropy as a sum over units, with the remark's range and with that of 3.1."""
    trial = EquationTrial(surprise, "the cross-entropy", names=("X", "W_out", "Y"), assumed=one_class_per_row)
    return (
        form(
            formulas.cross_entropy_of_units,
            trial,
            {**of_classes(formulas.cross_entropy_of_units), "mean": mean},
            reading="units over [n] × [d_voc], as the remark prints its sum",
        ),
        form(
            formulas.cross_entropy_of_rows,
            trial,
            {
                **of_classes(formulas.cross_entropy_of_rows),
                "one unit for each column": one_unit_for_all_columns,
            },
            reading="units over [n] × [d], as 3.1 has them: the first of a row is the row's sum over [d_voc], the"
            " others 0",
        ),
    )


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
                clashes_with="the linear and the squared loss",
                forms=(
                    form(
                        formulas.linear_loss,
                        EquationTrial(inner_product, "⟨C, T⟩", names=("X", "G")),
                        LINEAR,
                        reading="ℓ_{j,k} = C_{j,k} T_{j,k}",
                    ),
                    form(
                        formulas.squared_loss,
                        EquationTrial(half_squared_distance, "½‖T − target‖²", names=("X", "G")),
                        SQUARED,
                        reading="ℓ_{j,k} = ½(T_{j,k} − target_{j,k})²",
                    ),
                ),
            ),
        ),
        note="Any differentiable L is such a sum: take ℓ_{1,1} = L and the other units 0. Nothing is said of how long"
        " a unit or its gradient takes to compute, nor that unit (j,k) depends on one entry only.",
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
                clashes_with="minus the log of the probability that softmax(T W_out) gives to the class of each row",
                forms=(
                    form(
                        formulas.cross_entropy,
                        EquationTrial(
                            surprise, "the cross-entropy", names=("X", "W_out", "Y"), assumed=one_class_per_row
                        ),
                        {**of_classes(formulas.cross_entropy), "mean": mean, "no logarithm": probabilities},
                    ),
                ),
            ),
            Part(
                kind="identity",
                name="sum",
                claim="the cross-entropy loss, after a linear layer d → d_voc, is a sum of one-unit losses as in 3.1",
                forms=sum_forms(),
            ),
        ),
        assumes=("d_voc is a constant", "(Y_gt)_{j,k} = 1 for the class of row j and 0 otherwise"),
        uses=("3.1",),
        note="Here k runs to d_voc, in Definition 3.1 to d: the terms are not the units, but sums of them are. Y_pred"
        " is called the probability tensor; the softmax between the linear layer and it is not printed, and is taken"
        " for granted here.",
    ),
)
