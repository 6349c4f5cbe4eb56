"""Cross-validate the best job again on new folds, which were not used to choose it.

The difference from the first score shows how much of the lead was due to the folds.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from hemexp.files.result import RunResult, Score
from hemexp.files.writing import write_json
from hemexp.sweep.plan.job import SweepJob

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


def reevaluate(job: SweepJob) -> None:
    """Cross-validate the settings of a finished job on new folds of the same patients, and write the scores.

    Raises:
        UserError: the cohort cannot be read any more.
    """
    import numpy as np

    from hemexp.data.datamodule import ExpansionDataModule
    from hemexp.evaluation.cross_validation import MEASURED, cross_validate
    from hemexp.evaluation.folds import evaluated_indices, repeated_folds
    from hemexp.evaluation.pipeline import build_pipeline

    cfg = job.cfg
    data = ExpansionDataModule.from_config(cfg)
    data.setup()
    pipeline = build_pipeline(cfg, data)
    seed = int(np.random.SeedSequence([cfg.seed, 1]).generate_state(1)[0])
    indices = evaluated_indices(cfg.evaluation, data)
    folds = repeated_folds(pipeline.labels, indices, cfg.evaluation.num_folds, cfg.evaluation.num_repeats, seed)
    (validated,) = cross_validate([pipeline], folds, cfg.trainer)
    scores = {f"cv/{measure}": validated.score(measure) for measure in MEASURED}
    assert data.cohort is not None
    reevaluation = Reevaluation(job.config_hash, data.cohort.data_hash, seed, scores)
    write_json(job.directory.parent / REEVALUATION, asdict(reevaluation))


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
