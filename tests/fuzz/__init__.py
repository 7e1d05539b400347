"""Coverage-guided fuzzing: `make fuzz`, and how to go on from a finding, are in CONTRIBUTING.md.

`targets` names what is fuzzed. A target is a plain function of bytes that raises when the code
breaks a promise; nothing but `worker` knows atheris, so tests/system/test_fuzz.py runs the same
functions over every seed and every finding of the past in the ordinary suite.
"""
