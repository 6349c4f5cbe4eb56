"""Fit the members of all protocols together, and average their scores over the seeds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from hemexp.audit.table import AuditData
from hemexp.audit.trials import Scores, Trial, build_trial
from hemexp.config import ModelConfig, OptimizerConfig, ProtocolConfig, TrainerConfig
from hemexp.training.fit import fit

COLUMNS = ["protocol", "leak", "model", "accuracy", "accuracy_sd", "auroc", "auroc_sd", "majority_accuracy", "inflation"]


@dataclass(frozen=True)
class Row:
    """The scores of a protocol and a model over the seeds."""

    protocol: ProtocolConfig
    model: str
    scores: list[Scores]


def run_protocols(
    data: AuditData,
    protocols: Sequence[ProtocolConfig],
    models: Sequence[ModelConfig],
    trainer: TrainerConfig,
    num_seeds: int,
    directory: Path | None = None,
) -> list[Row]:
    """Fit every protocol with its models and every seed; networks that stop alike are fitted in one call of `fit`.

    Args:
        data: the cohort.
        protocols: to run.
        models: that protocols may name.
        trainer: of the networks; a protocol sets its own ``stop_loss``.
        num_seeds: trials of each protocol and model.
        directory: for the states of unfinished networks.
    """
    trials = [
        build_trial(data, protocol, model, OptimizerConfig(), seed)
        for protocol in protocols
        for model in models
        if model.name in protocol.models
        for seed in range(num_seeds)
    ]
    scores: dict[int, Scores] = {}
    for stop_loss in dict.fromkeys(trial.protocol.stop_loss for trial in trials):
        numbers = [number for number, trial in enumerate(trials) if trial.protocol.stop_loss == stop_loss]
        members = [candidate.member for number in numbers for candidate in trials[number].candidates]
        place = directory and directory / f"stop_loss-{stop_loss}"
        results = iter(fit(members, replace(trainer, stop_loss=stop_loss), directory=place))
        for number in numbers:
            scores[number] = trials[number].score([next(results) for _ in trials[number].candidates])
    return _group(trials, scores)


def _group(trials: Sequence[Trial], scores: dict[int, Scores]) -> list[Row]:
    rows: dict[tuple[str, str], Row] = {}
    for number, trial in enumerate(trials):
        row = rows.setdefault((trial.protocol.name, trial.model), Row(trial.protocol, trial.model, []))
        row.scores.append(scores[number])
    return list(rows.values())


def build_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """Return ``audit.csv``: mean and standard deviation over the seeds, and the inflation of the AUROC."""
    means = {(row.protocol.name, row.model): float(np.mean([each.auroc for each in row.scores])) for row in rows}
    table = []
    for row in rows:
        accuracy, auroc, majority = (
            np.array([getattr(each, name) for each in row.scores]) for name in ("accuracy", "auroc", "majority_accuracy")
        )
        control = means.get((row.protocol.control or "", row.model), means.get(("honest_60_40", row.model), np.nan))
        table.append(
            {
                "protocol": row.protocol.name,
                "leak": int(row.protocol.leak),
                "model": row.model,
                "accuracy": accuracy.mean(),
                "accuracy_sd": accuracy.std(ddof=1) if len(accuracy) > 1 else 0.0,
                "auroc": auroc.mean(),
                "auroc_sd": auroc.std(ddof=1) if len(auroc) > 1 else 0.0,
                "majority_accuracy": majority.mean(),
                "inflation": auroc.mean() - control,
                "num_seeds": len(row.scores),
            }
        )
    return pd.DataFrame(table)
