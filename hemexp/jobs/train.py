"""The main job: cohort → features and split → network → task → evaluation → run directory."""

import logging
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

import lightning
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from matplotlib.figure import Figure
from omegaconf import OmegaConf

from hemexp import __version__
from hemexp.compose import label_definitions
from hemexp.config import NetConfig, TrainConfig, config_hash
from hemexp.datamodule import ExpansionDataModule
from hemexp.errors import Interrupted, UserError
from hemexp.evaluation.evaluate import evaluate, rehearse
from hemexp.evaluation.recipe import recipe_of
from hemexp.evaluation.sample_size import num_fitted_inputs
from hemexp.evaluation.scores import Score, prevalence_scores, score_predictions
from hemexp.features import feature_caveats
from hemexp.figures.gallery import attention_figures, evaluation_figures
from hemexp.figures.run import run_figures
from hemexp.files import write_csv, write_json
from hemexp.nets.expansion import ExpansionNet
from hemexp.predictor import save_predictor
from hemexp.report.characteristics import characteristics
from hemexp.run_directory import RunDirectory
from hemexp.split import patient_keys
from hemexp.summary import explain, judge, print_comparison, print_scores, say_claim, say_stability
from hemexp.training import FitResult, fit
from hemexp.training.group import load_checkpoint

log = logging.getLogger(__name__)


def train(cfg: TrainConfig, directory: Path | str) -> dict[str, Any]:
    """Train and evaluate one model; everything it leaves is in `directory`.

    An unfinished run of the same config is resumed, a finished one is left as it is.

    Args:
        cfg: as `hemexp.compose.load_config` returns it.
        directory: new, or of a run of the same config.

    Returns:
        The content of result.json.

    Raises:
        UserError: the cohort, the split or the directory is not usable.
        Interrupted: a signal came; the same call resumes.
    """
    run = RunDirectory(directory)
    state = run.open(cfg)
    if state == "done":
        log.info("%s: already done; nothing was read or rewritten", run.path)
        return run.result()
    threads = torch.get_num_threads()
    torch.set_num_threads(
        cfg.trainer.num_threads
    )  # for predicting too, which on two busy threads took 30 times as long
    try:
        return _train(cfg, run, resume=state == "resume")
    except (Interrupted, KeyboardInterrupt) as stop:
        why = str(stop) or "interrupted outside training"
        run.fail("interrupted", why)
        raise Interrupted(f"{why}; the same command with output_dir={run.path} resumes") from None
    except BaseException as error:
        run.fail("failed", f"{type(error).__name__}: {error}" if not isinstance(error, UserError) else str(error))
        raise
    finally:
        torch.set_num_threads(threads)


def _train(cfg: TrainConfig, run: RunDirectory, resume: bool) -> dict[str, Any]:
    lightning.seed_everything(cfg.seed, workers=True, verbose=False)

    data = ExpansionDataModule(
        cfg.data, cfg.label, cfg.features, cfg.split, cfg.seed, cfg.trainer.batch_size, cfg.model.inputs
    )
    data.setup()
    rehearse(cfg, data)
    facts = _facts(cfg, data)
    if resume and run.result().get("data_hash") != facts["data_hash"]:
        raise UserError(
            f"output_dir={run.path}: the cohort has changed since this run began (data_hash "
            f"{run.result().get('data_hash')} then, {facts['data_hash']} now); choose a new directory"
        )
    run.begin(cfg, facts, resume)
    _write_cohort(run, data)
    _say_start(cfg, data, facts, resume)

    board = TensorBoardLogger(
        run.path,
        name="",
        version="tensorboard",
        default_hp_metric=False,
        purge_step=load_checkpoint(run.last)["num_epochs"] if resume and isinstance(cfg.model, NetConfig) else None,
    )
    recipe = recipe_of(cfg, data)
    member = recipe.member(data.split.positions("train") + data.split.positions("val"), cfg.seed)
    (fitted,) = fit([member], cfg.trainer, directory=run.last.parent, loggers=[board], history=run.path / "history.csv")
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
    test = data.split.positions("test")
    metrics = score_predictions(recipe.labels[test], risks[test], majority=facts["majority"])

    others = label_definitions().items()
    definitions = {name: replace(label, no_scan_in_window=cfg.label.no_scan_in_window) for name, label in others}
    definitions[cfg.label.name] = cfg.label
    found = evaluate(cfg, data, risks, definitions, run.path / "checkpoints" / "evaluation")
    metrics |= found.metrics
    for name, table in found.tables.items():
        write_csv(table, run.path / f"{name}.csv")
    figures = run_figures(fitted.history, fitted.best_epoch, recipe.labels[test], risks[test], metrics)
    figures |= evaluation_figures(found)
    if isinstance(predictor, ExpansionNet):
        figures |= attention_figures(predictor, data.raw[test])
        if not resume:
            board.experiment.add_graph(predictor, torch.zeros(1, len(data.features), dtype=predictor.dtype))
    else:
        save_predictor(predictor, run.last)
    _show(cfg, run, board, figures, metrics)

    baseline = prevalence_scores(recipe.labels[test], data.prevalence)
    caveats = [*facts["caveats"], *found.caveats]
    outcome = {"metrics": metrics, "caveats": caveats, "prevalence_baseline": baseline, **_outcome(fitted)}
    result = run.finish("HONEST", {**outcome, **found.blocks})
    shutil.rmtree(run.path / "checkpoints" / "evaluation", ignore_errors=True)
    _say_end(result, run)
    return result


def _show(
    cfg: TrainConfig,
    run: RunDirectory,
    board: TensorBoardLogger,
    figures: Mapping[str, Figure],
    metrics: Mapping[str, Score],
) -> None:
    """Leave the figures as files, and them, the config and the scores in TensorBoard."""
    (run.path / "figures").mkdir(exist_ok=True)
    for name, figure in figures.items():
        figure.savefig(run.path / "figures" / f"{name}.png")
        board.experiment.add_figure(f"visual/{name}", figure)
    board.experiment.add_text("config", f"```yaml\n{OmegaConf.to_yaml(asdict(cfg))}```")
    scores = {key: score["value"] for key, score in metrics.items() if score["value"] is not None}
    board.log_hyperparams(_hparams(cfg), scores)
    board.finalize("success")
    (run.path / "tensorboard" / "hparams.yaml").unlink(missing_ok=True)  # Lightning's, empty; .hydra/ has the config


def _facts(cfg: TrainConfig, data: ExpansionDataModule) -> dict[str, Any]:
    """What is known of a run before it trains."""
    assert data.cohort is not None
    labels = data.labels["expansion"].to_numpy()
    parts = {part: labels[data.split.positions(part)] for part in ("train", "test")}
    caveats = feature_caveats(data.features)
    if parts["test"].min() == parts["test"].max():
        caveats.append("one_outcome_in_test")
    if min(parts["train"].sum(), (1 - parts["train"]).sum()) < 10 * num_fitted_inputs(cfg.model, data.features):
        caveats.append("few_events_per_input")
    if isinstance(cfg.model, NetConfig) and cfg.model.init != "default":
        caveats.append("inert_init")
    if cfg.data.kind == "synthetic":
        caveats.append("synthetic_cohort")
    packages = ("torch", "lightning", "hydra-core", "pandas", "numpy", "scikit-learn")
    return {
        "caveats": caveats,
        "config_hash": config_hash(cfg),
        "data_hash": data.cohort.data_hash,
        "data": {
            "kind": cfg.data.kind,
            "root": cfg.data.root,
            "num_patients": len(labels),
            "findings": data.cohort.findings.counts(),
        },
        "seed": cfg.seed,
        "versions": {"python": python_version(), "hemexp": __version__, **{name: version(name) for name in packages}},
        "label_definition": cfg.label.describe(),
        "flow": _flow(data),
        "input_group": cfg.features.name
        if cfg.model.inputs is None
        else f"of the model: {', '.join(data.features) or 'none'}",
        "num_features": len(data.features),
        "num_train": len(parts["train"]),
        "num_val": len(data.split.positions("val")),
        "num_test": len(parts["test"]),
        "events_train": int(parts["train"].sum()),
        "events_test": int(parts["test"].sum()),
        "majority": int(parts["train"].mean() > 0.5),
        "best_possible_auroc": data.cohort.best_auroc_under(cfg.label),
    }


def _flow(data: ExpansionDataModule) -> dict[str, Any]:
    """Return how many patients there are, and what became of them."""
    unlabelled = data.labels.loc[data.labels["expansion"].isna(), "reason"].value_counts()
    counts = {part: len(data.split.positions(part)) for part in ("unused", "train", "val", "test")}
    return {
        "patients": len(data.labels),
        "unlabelled": {str(reason): int(count) for reason, count in unlabelled.items()},
        **counts,
    }


def _hparams(cfg: TrainConfig) -> dict[str, Any]:
    """What TensorBoard's HPARAMS tab compares runs by; the whole config stands under TEXT."""
    names = {
        "data.kind": cfg.data.kind,
        "label": cfg.label.describe(),
        "features": cfg.features.name if cfg.model.inputs is None else cfg.model.name,
        "split": cfg.split.describe(),
    }
    sizes = {
        f"model.{key}": str(value) if isinstance(value, list) else value for key, value in asdict(cfg.model).items()
    }
    training = {f"optimizer.{key}": value for key, value in asdict(cfg.optimizer).items()}
    training["trainer.batch_size"] = cfg.trainer.batch_size or "full"
    return {**names, **sizes, **training, "trainer.max_epochs": cfg.trainer.max_epochs, "seed": cfg.seed}


def _outcome(fitted: FitResult) -> dict[str, Any]:
    return {
        "epochs": fitted.epochs,
        "best_epoch": fitted.best_epoch,
        "best_loss": fitted.best_loss,
        "stopped_by": fitted.stopped_by,
    }


def _write_cohort(run: RunDirectory, data: ExpansionDataModule) -> None:
    """Leave who is in which part, what was noted in the files, and table one."""
    assert data.cohort is not None
    write_json(run.path / "splits.json", data.split.ids())
    write_csv(data.cohort.findings.frame(), run.path / "quality.csv")
    table = characteristics(data.cohort.patients, data.labels["expansion"], data.split.parts)
    write_csv(table, run.path / "characteristics.csv")
    keys = zip(patient_keys(data.cohort.patients), data.split.roles, strict=True)
    write_json(run.path / "fingerprint.json", {key: role for both, role in keys for key in both})


def _say_start(cfg: TrainConfig, data: ExpansionDataModule, facts: dict[str, Any], resume: bool) -> None:
    source = "a synthetic cohort" if cfg.data.root is None else f"{cfg.data.root} ({cfg.data.kind})"
    counts = facts["data"]["findings"]
    log.info("expansion: %s; split: %s", cfg.label.describe(), cfg.split.describe())
    log.info(
        "%s: %d patients, %d inputs; train %d (%d events), test %d (%d events), unused %d, unlabelled %d",
        source,
        facts["data"]["num_patients"],
        facts["num_features"],
        facts["num_train"],
        facts["events_train"],
        facts["num_test"],
        facts["events_test"],
        len(data.split.positions("unused")),
        len(data.split.positions("unlabelled")),
    )
    if counts:
        log.info("%d data-quality warnings of %d kinds: prepare.py lists each cell", sum(counts.values()), len(counts))
    if resume:
        log.info("resuming from checkpoints/last.ckpt")


def _say_end(result: dict[str, Any], run: RunDirectory) -> None:
    notes = judge(result["metrics"], result["prevalence_baseline"])
    if result["best_possible_auroc"] is not None:
        notes.append(f"the best possible AUROC in this synthetic population is {result['best_possible_auroc']:.3f}")
    notes += say_stability(result)
    notes += explain(result["verdict"], result["caveats"])
    trained = "" if result["stopped_by"] == "fitted" else f"{result['epochs']} epochs, best {result['best_epoch']}; "
    notes.append(f"{trained}{result['seconds']:.0f} s in all")
    notes.append(f"files in {run.path}; report.py run_dir={run.path} writes a page of them")
    title = f"{result['verdict']}: {result['num_test']} test patients, {result['events_test']} with expansion"
    if result.get("claim"):
        print_comparison(result["verdict"], result["comparison"], say_claim(result["claim"]))
    print_scores(title, result["metrics"], notes)
