"""The one exception family of the suite."""


class AltgradError(ValueError):
    """A refused input. The message names the function, the operand, what it got and what it needs."""
