"""Log the figures, the settings and the scores of a finished run."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger
from matplotlib.figure import Figure
from omegaconf import OmegaConf
from tensorboard.compat.proto.summary_pb2 import Summary

from hemexp.config import TrainConfig
from hemexp.evaluation.metrics import Score
from hemexp.figures.style import save_png, stamp
from hemexp.formatting import interval_text


def log_result(
    cfg: TrainConfig,
    directory: Path,
    loggers: list[Logger],
    figures: Mapping[str, Figure],
    metrics: Mapping[str, Score],
    result: Mapping[str, Any],
) -> None:
    """Leave the figures as files, and hand every logger what it can take of them, the config and the scores.

    Args:
        cfg: of the run.
        directory: the run's.
        loggers: as `open_loggers` gives them.
        figures: by file name.
        metrics: those of result.json.
        result: ``verdict``, ``caveats``, ``epochs`` of result.json.
    """
    scores = {key: score["value"] for key, score in metrics.items() if score["value"] is not None}
    # TensorBoard sorts the names and shows the first five: a verdict must be among them
    settings = {"_verdict": result["verdict"], **hparams(cfg)}
    board, *others = loggers
    assert isinstance(board, TensorBoardLogger)
    for name, figure in figures.items():
        stamp(figure, f"verdict: {result['verdict']}")
        height, width = save_png(figure, directory / "figures" / f"{name}.png")
        png = (directory / "figures" / f"{name}.png").read_bytes()  # not to be encoded twice
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=png)
        board.experiment.file_writer.add_summary(Summary(value=[Summary.Value(tag=f"visual/{name}", image=image)]))
    board.experiment.add_text("config", f"```yaml\n{OmegaConf.to_yaml(asdict(cfg))}```")
    board.experiment.add_text("scores", _scores_text(metrics, result))
    if cfg.tags:
        board.experiment.add_text("tags", ", ".join(cfg.tags))
    board.log_hyperparams(settings, scores)
    board.finalize("success")
    # Lightning's, empty; .hydra/ has the config
    (directory / "tensorboard" / "hparams.yaml").unlink(missing_ok=True)
    for logger in others:
        logger.log_hyperparams(settings)
        logger.log_metrics(scores, step=result["epochs"])
        if isinstance(logger, MLFlowLogger):
            logger.experiment.set_tag(logger.run_id, "verdict", result["verdict"])
            logger.experiment.set_tag(logger.run_id, "caveats", ", ".join(result["caveats"]))
        logger.finalize("success")


def _scores_text(metrics: Mapping[str, Score], result: Mapping[str, Any]) -> str:
    """Return every score with its interval, below the verdict and the caveats, as Markdown."""
    rows = [f"| {key} | {interval_text(score, 3)} |" for key, score in metrics.items()]
    said = [f"**{result['verdict']}**", *(f"caveat {code}" for code in result["caveats"])]
    table = "\n".join(["| score | 95 % interval |", "| --- | --- |", *rows])
    return "\n\n".join([*said, table])


def hparams(cfg: TrainConfig) -> dict[str, Any]:
    """Return what loggers compare runs by; the whole config stands under TensorBoard's TEXT."""
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
    stops = {f"trainer.{key}": getattr(cfg.trainer, key) for key in ("max_epochs", "stop_loss", "patience")}
    training |= {key: "never" if value is None else value for key, value in stops.items()}
    return {**training, **sizes, "seed": cfg.seed, "split.val_fraction": cfg.split.val_fraction, **names}
