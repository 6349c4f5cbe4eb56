"""The commands, one function each; the command line, tests and notebooks call the same functions."""
