"""The main command: cohort, features and split, model, evaluation, run directory."""

import logging
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import lightning
import torch
from lightning.pytorch.loggers import Logger
from matplotlib.figure import Figure

from hemexp.commands.console import print_summary
from hemexp.commands.debug import check_overfit, get_verdict
from hemexp.commands.log_result import log_graph, log_result
from hemexp.commands.model_card import write_model_folder
from hemexp.commands.run_metadata import log_start, start_result, write_cohort
from hemexp.config import TrainConfig, get_choice_name
from hemexp.config.target import TargetConfig
from hemexp.data.datamodule import ExpansionDataModule
from hemexp.data.recognition import digest_file
from hemexp.errors import RESUMES, CheckFailed, Interrupted, Pruned, UserError
from hemexp.evaluation.case_mix import FEWEST_TESTED, describe_logits
from hemexp.evaluation.comparison import conclude
from hemexp.evaluation.cross_validation import ScoreCallback
from hemexp.evaluation.evaluate import evaluate
from hemexp.evaluation.folds import check_folds, find_leak
from hemexp.evaluation.metrics import prevalence_scores, score_predictions
from hemexp.evaluation.plan import list_definitions, own_member
from hemexp.figures.gallery import evaluation_figures
from hemexp.figures.run import run_figures
from hemexp.files.result import LinearPredictor, RunResult
from hemexp.files.run_directory import RunDirectory
from hemexp.files.writing import write_csv
from hemexp.metrics.own import get_metrics
from hemexp.models.ensemble import FittedEnsemble
from hemexp.models.network import FittedNetwork
from hemexp.models.predictor import Predictor, build_predictor, compute_digest, save_predictor
from hemexp.training.checkpoint import load_state
from hemexp.training.fit import check_member, fit
from hemexp.training.fit_store import FitStore
from hemexp.training.loggers import open_loggers
from hemexp.training.member import FitResult
from hemexp.training.recorder import log_epoch

log = logging.getLogger(__name__)


def train(
    cfg: TrainConfig,
    directory: Path | str,
    callback: ScoreCallback | None = None,
    swept: Mapping[str, str] | None = None,
) -> RunResult:
    """Train and evaluate one model and write all files of the run into `directory`.

    An unfinished run of the same config is resumed; a finished run is left as it is.

    Args:
        cfg: as `hemexp.config.compose.load_config` returns it.
        directory: new, or of a run of the same config.
        callback: called with ``search.score`` after every repeat of cross-validation; it may end the run.
        swept: in a job of a sweep, the swept keys and their values, for TensorBoard.

    Raises:
        UserError: the cohort, the split or the directory cannot be used.
        Interrupted: a signal came; the same call resumes the run.
        Pruned: `callback` ended the run.
        CheckFailed: debug=overfit found that the model does not learn.
    """
    run = RunDirectory(directory)
    state = run.open(cfg)
    if state == "done":
        log.info("%s: already done; nothing was read or rewritten", run.path)
        return run.result()
    num_threads = torch.get_num_threads()
    # also for predicting, which took 30 times as long on two busy threads
    torch.set_num_threads(cfg.trainer.num_threads)
    try:
        return _train(cfg, run, state == "resume", callback, swept)
    except (Interrupted, KeyboardInterrupt) as stop:
        reason = str(stop) or "interrupted outside training"
        run.fail("interrupted", reason)
        raise Interrupted(f"{reason}{RESUMES}{run.path} resumes") from None
    except Pruned as end:
        run.fail("pruned", str(end))
        raise
    except BaseException as error:
        is_message = isinstance(error, UserError | CheckFailed)
        run.fail("failed", str(error) if is_message else f"{type(error).__name__}: {error}")
        raise
    finally:
        torch.set_num_threads(num_threads)


def _train(
    cfg: TrainConfig, run: RunDirectory, resume: bool, callback: ScoreCallback | None, swept: Mapping[str, str] | None
) -> RunResult:
    lightning.seed_everything(cfg.seed, workers=True, verbose=False)

    data = ExpansionDataModule.from_config(cfg)
    data.setup()
    check_folds(cfg, data)
    check_member(own_member(cfg, data), cfg.trainer)

    result = start_result(cfg, data)
    if resume and run.result().data_hash != result.data_hash:
        raise UserError(
            f"output_dir={run.path}: the cohort has changed since this run began (data_hash "
            f"{run.result().data_hash} then, {result.data_hash} now); choose a new directory"
        )
    state, trained = load_state(run.last) if cfg.model.is_network else None, FitStore(run.fits)
    run.begin(result, resume, trained.seconds)
    assert data.cohort is not None
    write_cohort(run, data.cohort, data.labels["expansion"], data.split, data.learned_roles)
    log_start(cfg, result, resume and run.last.is_file())

    resumed_at = None
    if resume or (run.path / "tensorboard").is_dir():  # of an earlier process
        resumed_at = state["num_epochs"] if state else 0
    with open_loggers(cfg, run.path, resumed_at) as loggers:
        fitted, predictor = _fit(cfg, run, data, loggers, trained)
        result, figures = _evaluate(cfg, run, data, fitted, predictor, result, callback, trained)
        if isinstance(predictor, FittedNetwork) and cfg.model.has_batched_form:  # others may not be traceable
            log_graph(loggers[0], predictor)
        if fitted.last is None:
            save_predictor(predictor, run.last)
        result = replace(result, model_digest=compute_digest(predictor.content()))
        result = replace(result, recognition_digest=digest_file(run.path))
        log_result(cfg, run.path, loggers, figures, result, swept)
        learned, logits = data.raw[data.fitted_indices], _describe_logits(data, predictor)
        write_model_folder(run, result, data.cohort.scans.columns, predictor, learned, logits)
        result = run.finish(result)
    for folder in (run.evaluation, run.fits):
        shutil.rmtree(folder, ignore_errors=True)

    if cfg.debug.name == "off":
        print_summary(result, run.path)
    else:
        log.info("%s; files in %s", result.verdict, run.path)
    if cfg.trainer.profiler is not None:
        log.info("time spent in training: %s", run.path / "profile")
    return result


def _fit(
    cfg: TrainConfig, run: RunDirectory, data: ExpansionDataModule, loggers: list[Logger], trained: FitStore
) -> tuple[FitResult, Predictor]:
    """Fit the model to the training part, or find it trained; write its checkpoints and ``history.csv``."""
    member = own_member(cfg, data)
    fitted, is_logged = trained.get(member, cfg.trainer), False
    if fitted is None:
        history, is_logged = run.path / "history.csv", not member.is_composite
        directory = run.fits if member.is_composite else run.last.parent
        (fitted,) = fit([member], cfg.trainer, directory=directory, loggers=loggers, history=history)
    if fitted.last is not None and not is_logged:
        save_predictor(build_predictor(fitted.last), run.last)
        for epoch, scores in enumerate(fitted.history.drop(columns="epoch").to_dict("records")):
            for logger in loggers:
                log_epoch(logger, {str(name): score for name, score in scores.items()}, epoch)
    if fitted.stopped_by == "diverged":
        raise UserError(
            f"optimizer.lr={cfg.optimizer.lr}: the training loss is NaN or infinite from epoch {fitted.epochs - 1}; "
            f"choose a lower rate{_list_own_parts(cfg)}"
        )
    predictor = fitted.predictor()
    save_predictor(predictor, run.best)
    write_csv(fitted.history, run.path / "history.csv")
    return fitted, predictor


def _list_own_parts(cfg: TrainConfig) -> str:
    """Return in words the parts of the user that may make a loss NaN; empty without any."""
    sections = (cfg.model, cfg.loss, cfg.optimizer, cfg.scheduler)
    parts = [f"{each.PREFIX}.target={each.target}" for each in sections if isinstance(each, TargetConfig)]
    parts += [f"callbacks.{name}" for name in cfg.callbacks]
    return f", or look for the reason in {', '.join(parts)}" if parts else ""


def _describe_logits(data: ExpansionDataModule, predictor: Predictor) -> LinearPredictor | None:
    """Return the logits in the test part, or, where it is small or was learned from, in the training part."""
    test, part = data.split.indices("test"), "test"
    if len(test) < FEWEST_TESTED or set(test) & set(data.fitted_indices):
        test, part = data.fitted_indices, "train"
    return describe_logits(predictor.predict(data.raw[test]), part)


def _is_constant(predictor: Predictor) -> bool:
    """Return whether the recalibration gives every patient the same risk."""
    return isinstance(predictor, FittedEnsemble) and (predictor.recalibration or (0, 1))[1] == 0


def _evaluate(
    cfg: TrainConfig,
    run: RunDirectory,
    data: ExpansionDataModule,
    fitted: FitResult,
    predictor: Predictor,
    result: RunResult,
    callback: ScoreCallback | None,
    trained: FitStore,
) -> tuple[RunResult, dict[str, Figure]]:
    """Score the model, write ``predictions.csv`` and the tables, and return the completed result and the figures."""
    risks = predictor.predict(data.raw)
    outcomes = data.labels["expansion"].to_numpy(dtype=float)
    predictions = data.labels[["patient_id"]].assign(role=data.split.roles, label=outcomes, probability=risks)
    write_csv(predictions, run.path / "predictions.csv")
    if cfg.debug.num_patients:
        check_overfit(cfg.debug, outcomes[data.fitted_indices], risks[data.fitted_indices])

    test = data.split.indices("test")
    metrics = score_predictions(outcomes[test], risks[test], majority=result.majority, metrics=get_metrics(cfg.metrics))
    evaluation = evaluate(cfg, data, risks, list_definitions(cfg), run.evaluation, callback, trained)
    for name, table in evaluation.tables.items():
        write_csv(table, run.path / f"{name}.csv")

    loss = get_choice_name(vars(cfg.loss)).replace("_", " ")
    name = get_choice_name(vars(cfg.model))
    figures = run_figures(fitted.history, fitted.best_epoch, outcomes[test], risks[test], metrics, name, loss)
    figures |= evaluation_figures(evaluation)
    result = replace(
        result,
        **vars(evaluation.blocks),
        conclusion=conclude(evaluation.blocks.comparison),
        verdict=get_verdict(cfg, find_leak(cfg, data)),
        caveats=[*result.caveats, *evaluation.caveats, *["equal_risks"] * _is_constant(predictor)],
        metrics=metrics | evaluation.metrics,
        prevalence_baseline=prevalence_scores(outcomes[test], data.prevalence),
        epochs=fitted.epochs,
        best_epoch=fitted.best_epoch,
        best_loss=fitted.best_loss,
        stopped_by=fitted.stopped_by,
    )
    return result, figures
