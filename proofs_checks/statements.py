"""The record: every statement of the paper, in the paper's order, and after them altgrad's own findings and bounds."""

from proofs_checks import (
    certificate,
    claims,
    cost,
    error_bounds,
    fast_gradient,
    input_gradient,
    loss,
    low_rank,
    masked_product,
    polynomial,
    readings,
    softmax_attention,
    theorems,
    transformer,
    weight_gradient,
)
from proofs_checks.proof import with_proofs
from proofs_checks.record import Statement

_SECTIONS = ("1", "3", "4", "5", "Alg", *"BCDEFGHIJK", "claim")


def _place(statement: Statement) -> tuple[int, int, bool]:
    """Section, number, and whether it is a step: `G.2` comes before `G.2/step 3`, steps keep their own order."""
    section = statement.section
    item, slash, _ = statement.id.partition("/")
    number = "".join(filter(str.isdigit, item.removeprefix(section)))
    return _SECTIONS.index(section) if section in _SECTIONS else len(_SECTIONS), int(number or 0), bool(slash)


RECORD: tuple[Statement, ...] = tuple(
    sorted(
        map(
            with_proofs,
            (
                *softmax_attention.STATEMENTS,
                *input_gradient.STATEMENTS,
                *weight_gradient.STATEMENTS,
                *polynomial.STATEMENTS,
                *low_rank.STATEMENTS,
                *masked_product.STATEMENTS,
                *fast_gradient.STATEMENTS,
                *transformer.STATEMENTS,
                *loss.STATEMENTS,
                *claims.STATEMENTS,
                *readings.STATEMENTS,
                *certificate.STATEMENTS,
                *error_bounds.STATEMENTS,
                *theorems.STATEMENTS,
                *cost.STATEMENTS,
            ),
        ),
        key=_place,
    )
)
