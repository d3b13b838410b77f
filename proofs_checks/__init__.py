"""The checks behind every verdict: ground truth, record, trials, evidence, verdicts, command line."""
