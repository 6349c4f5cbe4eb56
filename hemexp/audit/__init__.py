"""The audit: flawed protocols beside honest ones, on one cohort, with one engine.

- `table` builds the rows, inputs and outcomes that a protocol starts from.
- `trials` turns a protocol, a model and a seed into members to fit and a way to score them.
- `run` fits the members of all protocols together and averages their scores.
"""
