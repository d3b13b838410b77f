"""How fast altgrad is, beside what else there is: `python -m benchmarks run`, then `python -m benchmarks report`.

`contenders` holds what is timed, baselines included; `harness` times it; `comparisons` says at which sizes; `targets`
what is to be reached; `report` writes the tables of docs/speed.md. Names for shapes: n tokens, d dimensions of a head,
k = binom(d + g, g) monomials of degree at most g.
"""
