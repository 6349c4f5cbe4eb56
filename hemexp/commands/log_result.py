"""Write the figures of a finished run, and log its settings and scores."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from matplotlib.figure import Figure
from omegaconf import OmegaConf
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard._pytorch_graph import graph

from hemexp.commands.hparams import (
    build_hparams_summaries,
    get_hparams,
    list_public_settings,
    rank_metrics,
    select_hparams,
)
from hemexp.config import TrainConfig
from hemexp.figures.gallery import save_figures
from hemexp.files.result import RunResult
from hemexp.formatting import interval_text
from hemexp.models.network import FittedNetwork
from hemexp.training.optional_logger import OptionalLogger

_last_graph: dict[str, Any] = {}  # at most one, by the shape of the network


def log_result(
    cfg: TrainConfig,
    directory: Path,
    loggers: list[Logger],
    figures: Mapping[str, Figure],
    result: RunResult,
    swept: Mapping[str, str] | None = None,
) -> None:
    """Write the figures, and log figures, settings, scores, conclusion, verdict and caveats.

    Args:
        cfg: of the run.
        directory: of the run.
        loggers: TensorBoard's first.
        figures: by file name.
        result: complete.
        swept: in a job of a sweep, the swept keys and their values.
    """
    board, *others = loggers
    assert isinstance(board, TensorBoardLogger)
    writer = board.experiment._get_file_writer()  # opened again after the training
    for name, (path, height, width) in save_figures(figures, directory, result).items():
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=path.read_bytes())
        writer.add_summary(Summary(value=[Summary.Value(tag=f"visual/{name}", image=image)]))
    board.experiment.add_text("config", f"```yaml\n{OmegaConf.to_yaml(list_public_settings(cfg))}```")
    board.experiment.add_text("scores", _scores_text(result))
    if cfg.tags:
        board.experiment.add_text("tags", ", ".join(cfg.tags))
    scores = rank_metrics(result.metrics)
    board.log_metrics(scores)
    for summary in build_hparams_summaries(select_hparams(cfg, result, swept or {}), list(scores)):
        writer.add_summary(summary)
    board.finalize("success")
    (directory / "tensorboard" / "hparams.yaml").unlink(missing_ok=True)  # Lightning's, empty; .hydra/ has the config

    texts = {"conclusion": result.conclusion, "verdict": result.verdict, "caveats": ", ".join(result.caveats)}
    for logger in others:
        assert isinstance(logger, OptionalLogger)
        logger.log_hyperparams({"_verdict": result.verdict, "_conclusion": result.conclusion, **get_hparams(cfg)})
        logger.log_metrics(scores, step=result.epochs)
        logger.complete(texts, (directory / "figures" / f"{name}.png" for name in figures))


def log_graph(logger: Logger, net: FittedNetwork) -> None:
    """Log the graph of a network to TensorBoard. It is traced once for networks of the same shape."""
    assert isinstance(logger, TensorBoardLogger)
    shape = repr((net.model, len(net.features), net.dtype))
    if shape not in _last_graph:
        inputs = torch.zeros(1, len(net.features), dtype=net.dtype)
        _last_graph.clear()
        _last_graph[shape] = graph(net, inputs, False, True)  # type: ignore[no-untyped-call] # torch gives it no types
    logger.experiment._get_file_writer().add_graph(_last_graph[shape])


def _scores_text(result: RunResult) -> str:
    """Return the conclusion, the verdict, the caveats, and every score with its interval as Markdown."""
    notes = [f"**conclusion: {result.conclusion}**", f"verdict: {result.verdict}"]
    notes += [f"caveat {code}" for code in result.caveats]
    rows = [f"| {key} | {interval_text(score, 3)} |" for key, score in result.metrics.items()]
    table = "\n".join(["| score | 95 % interval |", "| --- | --- |", *rows])
    return "\n\n".join([*notes, table])
