"""The commands: one file for each, with `add(subparsers)` and `run(args) -> int`."""
