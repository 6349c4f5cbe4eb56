"""The main job: cohort → features and split → network → task → evaluation → run directory."""

import logging
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.loggers import Logger

from hemexp.commands.debug import check_overfit, get_verdict
from hemexp.commands.log_result import log_result
from hemexp.commands.run_metadata import collect_metadata, get_training_outcome, log_start, print_end, write_cohort
from hemexp.config import NetConfig, TrainConfig
from hemexp.config.compose import label_definitions
from hemexp.data.datamodule import ExpansionDataModule
from hemexp.errors import RESUMES, CheckFailed, Interrupted, Pruned, UserError
from hemexp.evaluation.cross_validation import ScoreCallback
from hemexp.evaluation.evaluate import evaluate
from hemexp.evaluation.folds import check_folds
from hemexp.evaluation.metrics import prevalence_scores, score_predictions
from hemexp.figures.gallery import attention_figures, evaluation_figures
from hemexp.figures.run import run_figures
from hemexp.files.run_directory import RunDirectory
from hemexp.files.writing import write_csv
from hemexp.models.network import FittedNetwork
from hemexp.models.predictor import save_predictor
from hemexp.training.checkpoint import SHARED_SECONDS, CheckpointMismatch, load_checkpoint
from hemexp.training.fit import fit
from hemexp.training.loggers import open_loggers
from hemexp.training.member import Member

log = logging.getLogger(__name__)


def train(cfg: TrainConfig, directory: Path | str, callback: ScoreCallback | None = None) -> dict[str, Any]:
    """Train and evaluate one model; everything it leaves is in `directory`.

    An unfinished run of the same config is resumed, a finished one is left as it is.

    Args:
        cfg: as `hemexp.config.compose.load_config` returns it.
        directory: new, or of a run of the same config.
        callback: is told ``search.score`` after every repeat of cross-validation, and may end the run.

    Returns:
        The content of result.json.

    Raises:
        UserError: the cohort, the split or the directory is not usable.
        Interrupted: a signal came; the same call resumes.
        Pruned: `callback` ended it.
        CheckFailed: debug=overfit found that the model does not learn.
    """
    run = RunDirectory(directory)
    state = run.open(cfg)
    if state == "done":
        log.info("%s: already done; nothing was read or rewritten", run.path)
        return run.result()
    threads = torch.get_num_threads()
    # for predicting too, which on two busy threads took 30 times as long
    torch.set_num_threads(cfg.trainer.num_threads)
    try:
        return _train(cfg, run, resume=state == "resume", callback=callback)
    except (Interrupted, KeyboardInterrupt) as stop:
        why = str(stop) or "interrupted outside training"
        run.fail("interrupted", why)
        raise Interrupted(f"{why}{RESUMES}{run.path} resumes") from None
    except Pruned as end:
        run.fail("pruned", str(end))
        raise
    except BaseException as error:
        told = isinstance(error, UserError | CheckFailed)
        run.fail("failed", str(error) if told else f"{type(error).__name__}: {error}")
        raise
    finally:
        torch.set_num_threads(threads)


def _train(cfg: TrainConfig, run: RunDirectory, resume: bool, callback: ScoreCallback | None) -> dict[str, Any]:
    lightning.seed_everything(cfg.seed, workers=True, verbose=False)

    data = ExpansionDataModule.from_config(cfg)
    data.setup()
    check_folds(cfg, data)
    facts = collect_metadata(cfg, data)
    if resume and run.result().get("data_hash") != facts["data_hash"]:
        raise UserError(
            f"output_dir={run.path}: the cohort has changed since this run began (data_hash "
            f"{run.result().get('data_hash')} then, {facts['data_hash']} now); choose a new directory"
        )
    batched = load_checkpoint(run.last).get(SHARED_SECONDS, 0.0) if run.last.is_file() and not resume else 0.0
    run.begin(cfg, facts, resume, batched)
    write_cohort(run, data)
    log_start(cfg, data, facts, resume)

    resumed_at = None
    if resume:
        resumed_at = load_checkpoint(run.last)["num_epochs"] if isinstance(cfg.model, NetConfig) else 0
    with open_loggers(cfg, run.path, resumed_at) as loggers:
        result = _fit_and_evaluate(cfg, run, data, facts, loggers, callback, resume)
    if cfg.debug.name == "off":
        print_end(result, run)
    else:
        log.info("%s; files in %s", result["verdict"], run.path)
    if cfg.trainer.profiler is not None:
        log.info("where training spends its time: %s", run.path / "profile")
    return result


def _fit_and_evaluate(
    cfg: TrainConfig,
    run: RunDirectory,
    data: ExpansionDataModule,
    facts: Mapping[str, Any],
    loggers: list[Logger],
    callback: ScoreCallback | None,
    resume: bool,
) -> dict[str, Any]:
    labels = data.labels["expansion"].to_numpy(dtype=float)
    member = Member(cfg.model, cfg.optimizer, data.training_set, cfg.seed)
    places = {"directory": run.last.parent, "loggers": loggers, "history": run.path / "history.csv"}
    try:
        (fitted,) = fit([member], cfg.trainer, **places)
    except CheckpointMismatch:
        if resume:
            raise
        run.last.unlink()  # of a batch that knew the cohort as it was then
        (fitted,) = fit([member], cfg.trainer, **places)
    if fitted.stopped_by == "diverged":
        raise UserError(
            f"optimizer.lr={cfg.optimizer.lr}: the training loss is no number from epoch {fitted.epochs - 1} on; "
            "choose a lower rate"
        )
    predictor = fitted.predictor()
    save_predictor(predictor, run.best)
    write_csv(fitted.history, run.path / "history.csv")
    risks = predictor.predict(data.raw)
    predictions = data.labels[["patient_id"]].assign(
        role=data.split.roles, label=data.labels["expansion"], probability=risks
    )
    write_csv(predictions, run.path / "predictions.csv")
    if cfg.debug.num_patients:
        check_overfit(cfg.debug, labels[data.fitted_indices], risks[data.fitted_indices])
    test = data.split.indices("test")
    metrics = score_predictions(labels[test], risks[test], majority=facts["majority"])

    others = label_definitions().items()
    definitions = {name: replace(label, no_scan_in_window=cfg.label.no_scan_in_window) for name, label in others}
    definitions[cfg.label.name] = cfg.label
    found = evaluate(cfg, data, risks, definitions, run.path / "checkpoints" / "evaluation", callback)
    metrics |= found.metrics
    for name, table in found.tables.items():
        write_csv(table, run.path / f"{name}.csv")
    figures = run_figures(fitted.history, fitted.best_epoch, labels[test], risks[test], metrics)
    figures |= evaluation_figures(found)
    if isinstance(predictor, FittedNetwork):
        figures |= attention_figures(predictor, data.raw[test])
        board: Any = loggers[0]
        board.experiment.add_graph(predictor, torch.zeros(1, len(data.features), dtype=predictor.dtype))
    else:
        save_predictor(predictor, run.last)
    baseline = prevalence_scores(labels[test], data.prevalence)
    caveats = [*facts["caveats"], *found.caveats]
    outcome = {"metrics": metrics, "caveats": caveats, "prevalence_baseline": baseline, **get_training_outcome(fitted)}
    log_result(cfg, run.path, loggers, figures, metrics, {"verdict": get_verdict(cfg), **outcome})
    result = run.finish(get_verdict(cfg), {**outcome, **found.blocks})
    shutil.rmtree(run.path / "checkpoints" / "evaluation", ignore_errors=True)
    return result
