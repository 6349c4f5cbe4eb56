"""What a fit leaves, network or not, as one file: raw values in, probabilities of expansion out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from hemexp.errors import UserError
from hemexp.models.fitted_estimator import FittedEstimator
from hemexp.models.network import FittedNetwork

Predictor = FittedNetwork | FittedEstimator


def build_predictor(content: Mapping[str, Any]) -> Predictor:
    """Return the predictor that a checkpoint's content describes."""
    kind = FittedEstimator if "estimator" in content else FittedNetwork
    return kind.from_content(content)


def save_predictor(predictor: Predictor, path: Path) -> None:
    """Write a checkpoint that `load_predictor` reads, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save({"networks": [predictor.content()]}, partial)
    partial.replace(path)


def load_predictor(path: Path | str) -> Predictor:
    """Return the predictor of a checkpoint: of ``best.ckpt``, or of a single run's ``last.ckpt``.

    Raises:
        UserError: the file is no checkpoint of this version.
    """
    try:
        (content,) = torch.load(path, weights_only=True, map_location="cpu")["networks"]
        return build_predictor(content)
    except UserError:
        raise
    except Exception as error:  # whatever torch makes of another file
        raise UserError(f"{path}: cannot be loaded as a checkpoint of this version: {error}") from error
