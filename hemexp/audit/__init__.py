"""The audit: flawed protocols beside honest ones, on one cohort, with one engine.

- `table` builds the rows, inputs and outcomes that a protocol starts from.
- `trials` turns a protocol, a model and a seed into members to fit and a way to score them.
- `run` fits the members of all protocols together and averages their scores.
- `figure4` fits settings of the network to the loss curve of the paper.
- `predictions` reads a published table of predictions, and `published` scores it.
- `paper` computes the paper's tables from a cohort, and `contradictions` compares the paper with itself and with it.
"""
