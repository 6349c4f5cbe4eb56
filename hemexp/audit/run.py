"""Fit the members of all protocols together, and keep the scores of each seed in a file."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hemexp.audit.table import AuditData, Table
from hemexp.audit.trials import Scores, Trial, build_tables, build_trial
from hemexp.config import ModelConfig, NetConfig, OptimizerConfig, ProtocolConfig, TrainerConfig
from hemexp.errors import UserError
from hemexp.files.writing import write_csv
from hemexp.training.fit import fit

log = logging.getLogger(__name__)

SCORES = "scores.csv"  # a row a seed
HONEST = "honest_60_40"
COLUMNS = [  # of audit.csv
    "protocol", "leak", "model", "accuracy", "accuracy_sd", "auroc", "auroc_sd", "majority_accuracy", "inflation",
    "num_seeds",
]  # fmt: skip
_KEYS = ["protocol", "model", "seed"]
_BLOCK = 5  # seeds that are fitted together, after which the scores are written


@dataclass(frozen=True)
class Row:
    """The scores of a protocol and a model, one for each seed."""

    protocol: ProtocolConfig
    model: str
    scores: list[Scores]

    def mean(self, name: str) -> float:
        """Return the mean of a score over the seeds."""
        return float(np.mean([getattr(each, name) for each in self.scores]))

    def spread(self, name: str) -> float:
        """Return the standard deviation of a score over the seeds; 0 for one seed."""
        values = [getattr(each, name) for each in self.scores]
        return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


@dataclass(frozen=True)
class Audit:
    """The rows of an audit, and the protocols that the cohort cannot have, with the reason."""

    rows: list[Row]
    skipped: dict[str, str]

    def find(self, protocol: str, model: str) -> Row | None:
        """Return a row; None if it was not run."""
        return next((row for row in self.rows if (row.protocol.name, row.model) == (protocol, model)), None)

    def find_control(self, row: Row) -> Row | None:
        """Return the row of the control with the same model, or of the honest protocol; None without both."""
        found = (self.find(name, row.model) for name in (row.protocol.control, HONEST) if name)
        return next((control for control in found if control), None)

    def inflation(self, row: Row) -> float:
        """Return the AUROC minus that of `find_control`; NaN without one."""
        control = self.find_control(row)
        return row.mean("auroc") - control.mean("auroc") if control else float("nan")

    def frame(self) -> pd.DataFrame:
        """Return ``audit.csv``."""
        rows = [
            {
                "protocol": row.protocol.name,
                "leak": int(row.protocol.leak),
                "model": row.model,
                "accuracy": row.mean("accuracy"),
                "accuracy_sd": row.spread("accuracy"),
                "auroc": row.mean("auroc"),
                "auroc_sd": row.spread("auroc"),
                "majority_accuracy": row.mean("majority_accuracy"),
                "inflation": self.inflation(row),
                "num_seeds": len(row.scores),
            }
            for row in self.rows
        ]
        return pd.DataFrame(rows, columns=COLUMNS).round(6)


def run_audit(
    data: AuditData,
    protocols: Sequence[ProtocolConfig],
    models: Sequence[ModelConfig],
    trainer: TrainerConfig,
    num_seeds: int,
    directory: Path,
    must_run: bool = False,
    optimizer: OptimizerConfig | None = None,
    **options: Any,
) -> Audit:
    """Fit every protocol with its models and every seed. What `directory` already holds is not fitted again.

    Args:
        data: the cohort.
        protocols: to run.
        models: that protocols may name.
        trainer: of the networks; a protocol sets its own ``stop_loss``.
        num_seeds: trials of each protocol and model.
        directory: for ``scores.csv`` and the states of unfinished networks.
        must_run: whether a protocol that the cohort cannot have is an error, not skipped.
        optimizer: of the networks; by default Adam.
        options: schedule and loss of the networks; see `Member`.

    Raises:
        UserError: see `must_run`.
    """
    done, optimizer = _read_scores(directory / SCORES), optimizer or OptimizerConfig()
    skipped: dict[str, str] = {}

    def skip(protocol: ProtocolConfig, error: UserError) -> None:
        if must_run:
            raise UserError(f"only={protocol.name}: {error}; leave this protocol out of only=")
        skipped[protocol.name] = str(error)
        log.warning("%s is left out: %s", protocol.name, error)

    tables: dict[str, list[Table]] = {}
    for protocol in protocols:
        try:
            tables[protocol.name] = build_tables(data, protocol)
        except UserError as error:
            skip(protocol, error)
    order = [(each, model) for each in protocols for model in models if model.name in each.models]
    for first in range(0, num_seeds, _BLOCK):
        trials: list[Trial] = []
        for protocol, model in order:
            seeds = range(first, min(first + _BLOCK, num_seeds))
            missing = [seed for seed in seeds if (protocol.name, model.name, seed) not in done]
            if protocol.name in skipped:
                continue
            try:
                built = tables[protocol.name]
                trials += [build_trial(built, protocol, model, optimizer, seed, **options) for seed in missing]
            except UserError as error:
                skip(protocol, error)
        if trials:
            log.info("seeds %d to %d of %d", first + 1, min(first + _BLOCK, num_seeds), num_seeds)
        for batch in _batches(trials):
            scores = _fit_batch(batch, trainer, directory / "checkpoints")
            done |= {(trial.protocol.name, trial.model, trial.seed): scores[trial] for trial in batch}
            _write_scores(done, directory / SCORES)
    rows = [
        Row(protocol, model.name, [done[protocol.name, model.name, seed] for seed in range(num_seeds)])
        for protocol, model in order
        if protocol.name not in skipped
    ]
    return Audit(rows, skipped)


def _fit_batch(batch: Sequence[Trial], trainer: TrainerConfig, directory: Path) -> dict[Trial, Scores]:
    """Fit the members of some trials together. The same call continues with what `directory` holds of networks."""
    members = [candidate.member for trial in batch for candidate in trial.candidates]
    keys = repr([(trial.protocol.name, trial.model, trial.seed) for trial in batch])
    stop = replace(trainer, stop_loss=batch[0].protocol.stop_loss)
    results = iter(fit(members, stop, directory=directory / hashlib.sha256(keys.encode()).hexdigest()[:16]))
    return {trial: trial.score([next(results) for _ in trial.candidates]) for trial in batch}


def _batches(trials: Sequence[Trial]) -> list[list[Trial]]:
    """Return the trials that are fitted in one call: estimators, then networks that stop alike."""
    groups: dict[tuple[bool, float | None], list[Trial]] = {}
    for trial in trials:
        is_network = isinstance(trial.candidates[0].member.model, NetConfig)
        groups.setdefault((is_network, trial.protocol.stop_loss if is_network else None), []).append(trial)
    return [groups[key] for key in sorted(groups, key=lambda key: (key[0], key[1] or 0.0))]


def _read_scores(path: Path) -> dict[tuple[str, str, int], Scores]:
    """Return the scores of an earlier call.

    Raises:
        UserError: the file was changed or damaged.
    """
    if not path.is_file():
        return {}
    found = {}
    try:
        names = [item.name for item in fields(Scores)]
        table = pd.read_csv(path, dtype={"protocol": str, "model": str})[[*_KEYS, *names]]
        for number, row in enumerate(table.to_dict("records"), start=2):
            scores = Scores(**{name: row[name] for name in names})
            key = str(row["protocol"]), str(row["model"]), int(row["seed"])
            if key in found or key[2] != row["seed"] or not scores.is_possible:
                raise ValueError(f"row {number}")
            found[key] = scores
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise UserError(
            f"{path}: cannot be used ({error}); it was changed or damaged; remove it to start again"
        ) from None
    return found


def _write_scores(done: dict[tuple[str, str, int], Scores], path: Path) -> None:
    write_csv(
        pd.DataFrame([{**dict(zip(_KEYS, key, strict=True)), **asdict(each)} for key, each in done.items()]), path
    )
