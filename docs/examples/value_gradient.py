"""A record of one statement, for the page on how to add one: the gradient of ⟨G, f h⟩ on the values h."""

from proofs_checks.equation import EquationTrial, derivative_forms
from proofs_checks.falsify import wrong_sign_or_factor
from proofs_checks.record import Part, Statement
from proofs_checks.symbols import Symbols, table, total
from proofs_checks.weight_gradient import ds_dh
from reference.softmax_attention import Array


# the claim
def as_printed(f: Array, G: Array) -> Array:
    """f G, a transpose short."""
    return f @ G


def repaired(f: Array, G: Array) -> Array:
    """fᵀ G. Shapes: f (n, n), G (n, d) -> (n, d)."""
    return f.T @ G


# the truth
def dL_dh(symbols: Symbols) -> Array:
    """Σ_{i} G(i,c) ds_{i,c}/dh_{k,c}, with a derivative that knows no formula for it. (n, d)."""
    n, d, G, derivative = symbols.n, symbols.d, symbols.G, ds_dh(symbols)  # (n, d), (n, d, n)
    return table(lambda k, c: total(G[i, c] * derivative[i, c, k] for i in range(n)), n, d)


# the false variants
def one_query(f: Array, G: Array) -> Array:
    """False: each value is moved by the query of its own row only."""
    return G * f.diagonal()[:, None]


FALSE = {"its own query only": one_query, **wrong_sign_or_factor(repaired)}

# the statement
TRIAL = EquationTrial(dL_dh, "dL/dh", names=("X", "W", "G"))
RECORD = (
    Statement(
        id="example/values",
        kind="lemma",
        title="The gradient on the values",
        locus="an example of these pages",
        parts=(
            Part(
                kind="identity",
                claim="dL/dh = f G",
                fault="misprint",
                consequence="The gradient would read weights of keys for those of queries.",
                forms=derivative_forms(
                    TRIAL,
                    printed=as_printed,
                    repaired=repaired,
                    change="fᵀ for f",
                    false=FALSE,
                ),
            ),
        ),
    ),
)
# the end
