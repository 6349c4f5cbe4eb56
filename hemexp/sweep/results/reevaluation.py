"""The best job once more on folds that did not choose it: how much of its lead was the luck of the folds."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hemexp.files.writing import write_json
from hemexp.sweep.plan.job import SweepJob

FRESH = "fresh.json"


def evaluate_afresh(job: SweepJob) -> None:
    """Cross-validate a finished job's settings with another division of the same patients; leave ``fresh.json``.

    Raises:
        UserError: the cohort is not usable any more.
    """
    from hemexp.data.datamodule import ExpansionDataModule
    from hemexp.evaluation.cross_validation import MEASURED, cross_validate
    from hemexp.evaluation.folds import evaluated_indices, repeated_folds
    from hemexp.evaluation.pipeline import build_pipeline

    cfg = job.cfg
    data = ExpansionDataModule.from_config(cfg)
    data.setup()
    pipeline = build_pipeline(cfg, data)
    seed = fresh_seed(cfg.seed)
    indices = evaluated_indices(cfg, data)
    parts = repeated_folds(pipeline.labels, indices, cfg.evaluation.num_folds, cfg.evaluation.num_repeats, seed)
    (validated,) = cross_validate([pipeline], parts, cfg.trainer)
    scores = {f"cv/{measure}": validated.score(measure) for measure in MEASURED}
    assert data.cohort is not None
    whose = {"config_hash": job.key, "data_hash": data.cohort.data_hash, "fold_seed": seed}
    write_json(job.folder.parent / FRESH, {**whose, "metrics": scores})


def fresh_seed(seed: int) -> int:
    """Return the seed of the fresh folds of a run with this seed."""
    import numpy as np

    return int(np.random.SeedSequence([seed, 1]).generate_state(1)[0])


def read_reevaluation(directory: Path, result: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what ``fresh.json`` says of the run with this result.json, if it is of that configuration and cohort."""
    try:
        content = json.loads((directory / FRESH).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    same = all(content.get(key) == result.get(key) for key in ("config_hash", "data_hash"))
    return dict(content) if same else None
