"""What the paper's authors told their reviewers, as conditions on what an experiment measured.

Each takes the figures of one repetition in the order in which n, d or m grows. `altgrad reproduce` measures them, and
`proofs_checks/claims.py` says which figures are put to which condition.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import geometric_mean

__all__ = [
    "at_least_as_printed",
    "close_to_printed",
    "exact_columns",
    "faster_and_faster",
    "faster_than_all",
    "few_are_necessary",
    "full_rank_approximated",
    "grows_with_depth",
    "halved",
    "never_pays",
    "pays",
    "smaller_part",
    "within_a_tenth",
]

Figures = Sequence[float]


def close_to_printed(ratios: Figures) -> bool:
    r"""Measured over printed is between 2/3 and 3/2 in the geometric mean over all sizes (claim 1).

    .. math:: \tfrac23 \le \Bigl(\prod_{d} \frac{\mathrm{measured}_d}{\mathrm{printed}_d}\Bigr)^{1/9} \le \tfrac32

    >>> close_to_printed([0.7, 1.3]), close_to_printed([1.9, 2.7])
    (True, False)
    """
    return 2 / 3 <= geometric_mean(ratios) <= 3 / 2


def at_least_as_printed(ratios: Figures) -> bool:
    r"""Measured over printed is at least 1 at every size (claim 1).

    .. math:: \frac{\mathrm{measured}_d}{\mathrm{printed}_d} \ge 1

    >>> at_least_as_printed([1.2, 3]), at_least_as_printed([1.2, 0.3])
    (True, False)
    """
    return min(ratios) >= 1


def faster_and_faster(speed_ups: Figures) -> bool:
    r"""More than as fast at the longest, and by more there than at the shortest (claims 1 and 8).

    .. math:: \frac{t_\text{exact}}{t_\text{fast}}(n_\text{last}) > \max\Bigl(1,
              \frac{t_\text{exact}}{t_\text{fast}}(n_\text{first})\Bigr)

    >>> faster_and_faster([0.4, 70]), faster_and_faster([2, 1.5])
    (True, False)
    """
    return speed_ups[-1] > max(1, speed_ups[0])


def exact_columns(shares: Figures) -> bool:
    r"""The rank equals the number of columns at every size (claim 1).

    .. math:: \operatorname{rank} U_0 = k

    >>> exact_columns([1, 1]), exact_columns([1, 0.7])
    (True, False)
    """
    return set(shares) == {1}


def halved(errors: Figures) -> bool:
    r"""The last third of the errors is at most half of the first third, in the geometric mean (claim 2).

    .. math:: \prod_{j \le k} e(n_{N+1-j}) \le 2^{-k} \prod_{j \le k} e(n_j), \qquad k = \lceil N/3 \rceil

    >>> halved([4.0, 3.0, 1.5]), halved([4.0, 3.9, 3.8])
    (True, False)
    """
    third = -(-len(errors) // 3)
    return geometric_mean(errors[-third:]) <= geometric_mean(errors[:third]) / 2


def full_rank_approximated(figures: Figures) -> bool:
    r"""f is regular, and a matrix of at most half its rank has every weight within a tenth of itself (claim 3).

    .. math:: \det f \ne 0, \qquad \operatorname{rank} \tilde f \le \tfrac n2, \qquad
              |\tilde f - f|_{ij} \le \tfrac1{10} f_{ij}

    Figures: 1 if f is regular, rank/n, and the largest |f̃ − f|_ij/f_ij, unless the rank is that of any such f̃.

    >>> full_rank_approximated([1, 0.3, 0.02]), full_rank_approximated([1, 0.9])
    (True, False)
    """
    regular, share, *error = figures
    return bool(regular) and share <= 0.5 and max(error, default=0) <= 0.1


def few_are_necessary(powers: Figures) -> bool:
    r"""Fewer than √n columns are necessary, at the largest n (claim 3).

    .. math:: \frac{\log \operatorname{rank}}{\log n_\text{last}} < \tfrac12

    Figures: of a rank that no matrix is below which is close enough.

    >>> few_are_necessary([0.6, 0.3]), few_are_necessary([0.4, 0.9])
    (True, False)
    """
    return powers[-1] < 1 / 2


def grows_with_depth(factors: Figures) -> bool:
    r"""From each model to the one of twice its layers, a further layer multiplies by 1.1 or more (claim 5).

    .. math:: \Bigl(\frac{e_{2m}}{e_m}\Bigr)^{1/m} \ge 1.1 \quad\text{for every } m

    >>> grows_with_depth([30, 100]), grows_with_depth([1.2, 1.01])
    (True, False)
    """
    return min(factors) >= 1.1


def within_a_tenth(errors: Figures) -> bool:
    r"""No error is above 10 % (claim 6).

    .. math:: \frac{\|\tilde g - g\|_F}{\|g\|_F} \le \tfrac1{10}

    >>> within_a_tenth([3.0, 9.9]), within_a_tenth([3.0, 60.0])
    (True, False)
    """
    return max(errors) <= 10


def smaller_part(shares: Figures) -> bool:
    r"""The error with one layer replaced, whichever, is smaller than with all (claim 6).

    .. math:: \max_i \frac{e_i}{e_\text{all}} < 1

    >>> smaller_part([0.1, 0.7]), smaller_part([0.1, 1.2])
    (True, False)
    """
    return max(shares) < 1


def pays(shares: Figures) -> bool:
    r"""Fewer operations than exact attention at every n (claim 7).

    .. math:: \frac{\mathrm{operations}_\text{fast}(n)}{\mathrm{operations}_\text{exact}(n)} < 1

    >>> pays([0.4, 0.02]), pays([0.4, 24])
    (True, False)
    """
    return max(shares) < 1


def never_pays(shares: Figures) -> bool:
    r"""More operations than exact attention at every n (claim 7).

    .. math:: \frac{\mathrm{operations}_\text{fast}(n)}{\mathrm{operations}_\text{exact}(n)} > 1

    >>> never_pays([2, 24]), never_pays([2, 0.4])
    (True, False)
    """
    return min(shares) > 1


def faster_than_all(ratios: Figures) -> bool:
    r"""The other method takes longer (claim 8).

    .. math:: \frac{t_\text{other}}{t_\text{altgrad}} > 1

    >>> faster_than_all([2.6, 41]), faster_than_all([0.8, 41])
    (True, False)
    """
    return min(ratios) > 1
