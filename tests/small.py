"""What several test files share."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FAST = ["trainer.max_epochs=3", "trainer.progress_bar=false"]
