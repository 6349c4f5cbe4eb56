"""Save and load a fitted model, network or estimator, as one checkpoint file."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from hemexp.errors import UserError
from hemexp.files.writing import write_bytes
from hemexp.models.fitted_estimator import FittedEstimator
from hemexp.models.network import FittedNetwork

Predictor = FittedNetwork | FittedEstimator


def build_predictor(content: Mapping[str, Any]) -> Predictor:
    """Return the predictor of a checkpoint's content."""
    kind = FittedEstimator if "estimator" in content else FittedNetwork
    return kind.from_content(content)


def save_predictor(predictor: Predictor, path: Path) -> None:
    """Write a checkpoint for `load_predictor`, completely or not at all."""
    save_checkpoint({"networks": [predictor.content()]}, path)


def save_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Write a file for `torch.load`, completely or not at all."""
    content = io.BytesIO()
    torch.save(state, content)
    write_bytes(path, content.getvalue())


def load_predictor(path: Path | str) -> Predictor:
    """Return the predictor of a checkpoint: ``best.ckpt``, or ``last.ckpt`` of a run with one model.

    Raises:
        UserError: the file is not a checkpoint of this version.
    """
    try:
        (content,) = torch.load(path, weights_only=True, map_location="cpu")["networks"]
        return build_predictor(content)
    except UserError:
        raise
    except Exception as error:  # torch.load raises many types for a file that is not a checkpoint
        raise UserError(f"{path}: cannot be loaded as a checkpoint of this version: {error}") from error
