"""Settings and paths that several test files share."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
QUIET = ["trainer.progress_bar=false", "evaluation=off"]
FAST = ["trainer.max_epochs=3", *QUIET]
PLUGIN = """
import hemexp
from torch import nn


@hemexp.register_network("of_a_plugin")
def build(num_features):
    return nn.Linear(num_features, 1)
"""  # a module of a user
STANDARD = ["trainer.max_epochs=30", "evaluation.num_repeats=1", "evaluation.threshold_repeats=1"]  # of finished_run
