"""`python -m proofs_checks` is the command `altgrad`."""

from proofs_checks.command_line import main

if __name__ == "__main__":
    main()
