"""Cross-validate the best job again on new folds, which were not used to choose it.

The difference from the first score shows how much of the lead was due to the folds.
"""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hemexp.config import TrainConfig
from hemexp.files.result import RunResult, Score
from hemexp.files.run_directory import RunDirectory
from hemexp.files.writing import write_json
from hemexp.sweep.plan.job import SweepJob

if TYPE_CHECKING:
    from hemexp.data.datamodule import ExpansionDataModule
    from hemexp.evaluation.folds import Fold
    from hemexp.evaluation.pipeline import Pipeline

REEVALUATION = "reevaluation.json"


@dataclass(frozen=True)
class Reevaluation:
    """The content of ``reevaluation.json``.

    Attributes:
        config_hash: of the job that was evaluated again.
        data_hash: of its cohort.
        fold_seed: seed of the new folds.
        metrics: the scores on the new folds, such as ``cv/auroc``.
    """

    config_hash: str
    data_hash: str
    fold_seed: int
    metrics: Mapping[str, Score]


def plan_reevaluation(cfg: TrainConfig, data: "ExpansionDataModule") -> tuple["Pipeline", list["Fold"]]:
    """Return the pipeline of a run and the new folds of its patients; `data` is after `setup`."""
    from hemexp.evaluation.folds import evaluated_indices, repeated_folds
    from hemexp.evaluation.pipeline import build_pipeline

    pipeline, settings = build_pipeline(cfg, data), cfg.evaluation
    indices, seed = evaluated_indices(settings, data), _get_seed(cfg)
    num_folds, num_repeats = settings.num_folds, settings.num_repeats
    return pipeline, repeated_folds(pipeline.labels, indices, num_folds, num_repeats, seed, data.groups)


def _get_seed(cfg: TrainConfig) -> int:
    import numpy as np

    return int(np.random.SeedSequence([cfg.seed, 1]).generate_state(1)[0])


def reevaluate(job: SweepJob) -> None:
    """Cross-validate the settings of a finished job on new folds of the same patients, and write the scores.

    Fits that were trained elsewhere are found in the directory of the job.

    Raises:
        UserError: the cohort cannot be read any more.
    """
    from hemexp.data.datamodule import ExpansionDataModule
    from hemexp.evaluation.cross_validation import score_folds
    from hemexp.training.fit_store import FitStore, fit_missing

    cfg, fits = job.cfg, RunDirectory(job.directory).fits
    data = ExpansionDataModule.from_config(cfg)
    data.setup()
    pipeline, folds = plan_reevaluation(cfg, data)
    members = [pipeline.member(fold.train.tolist(), fold.seed) for fold in folds]
    validated = score_folds(pipeline, folds, fit_missing(members, cfg.trainer, FitStore(fits)))
    assert data.cohort is not None
    reevaluation = Reevaluation(job.config_hash, data.cohort.data_hash, _get_seed(cfg), validated.score_all())
    write_json(job.directory.parent / REEVALUATION, asdict(reevaluation))
    shutil.rmtree(fits, ignore_errors=True)


def read_reevaluation(directory: Path, result: RunResult | None) -> Reevaluation | None:
    """Return the reevaluation of a run.

    Args:
        directory: of the sweep.
        result: of the run.

    Returns:
        None where there is no file, or where it is for another configuration or another cohort.
    """
    from pydantic import TypeAdapter

    try:
        reevaluation = TypeAdapter(Reevaluation).validate_json((directory / REEVALUATION).read_bytes())
    except (OSError, ValueError):
        return None
    is_same = result and (reevaluation.config_hash, reevaluation.data_hash) == (result.config_hash, result.data_hash)
    return reevaluation if is_same else None
