"""Settings and paths that several test files share."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
QUIET = ["trainer.progress_bar=false", "evaluation=off"]
FAST = ["trainer.max_epochs=3", *QUIET]
STANDARD = ["trainer.max_epochs=30", "evaluation.num_repeats=1", "evaluation.threshold_repeats=1"]  # of finished_run
