"""Fuzzing: a coverage-guided engine looks for instances that break what the record holds for true.

`make fuzz` runs it, and `docs/testers.md` says how.
"""
