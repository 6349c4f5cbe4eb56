"""Save and load a fitted model, network or estimator, as one checkpoint file."""

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import logit
from torch import Tensor

from hemexp.config.registry import describe_setting
from hemexp.errors import UserError
from hemexp.files.writing import write_with
from hemexp.models.ensemble import FittedEnsemble, get_recalibration
from hemexp.models.external import trust_classifier
from hemexp.models.fitted_estimator import FittedEstimator
from hemexp.models.network import FittedNetwork
from hemexp.models.registry import check_source

Predictor = FittedNetwork | FittedEstimator | FittedEnsemble
FORMAT = 1  # of best.ckpt; a changed meaning raises it
_DEEPEST = 50  # levels of a checkpoint
_MAY_BE_INFINITE = ("scale", "clip")  # an input that is constant in training; no limit
_PROBES, _GOLDEN = 8, 0.6180339887498949  # made-up patients, with multiples of the golden ratio as values
# Difference of a logit, relative to 1 + |logit|. Another machine, or another number of threads, adds the same numbers
# in another order: with 32 bits this changes a logit by about 1e-5 of its size. At a risk of 0.3 the limit is 0.0004.
_SAME = 1e-3
_CLIP = 1e-12  # below, 64 bits do not tell risks near 1 apart
_RULE = "rule: a file as hemexp wrote it; restore it from a copy, or train again in a new directory"


def build_predictor(content: Mapping[str, Any], is_own: bool = False) -> Predictor:
    """Return the predictor of a checkpoint's content.

    Args:
        content: of the checkpoint.
        is_own: whether a process of this command has fitted the model, by code that its user has named.

    Raises:
        UserError: it needs code that the user has not named or installed.
    """
    if "members" in content:
        members: list[Any] = [build_predictor(each, is_own) for each in content["members"]]
        return FittedEnsemble(members, get_recalibration(content))
    if is_own:
        trust_classifier(content)
    else:
        check_source(content)
    kind = FittedEstimator if "estimator" in content else FittedNetwork
    return kind.from_content(content)


def save_predictor(predictor: Predictor, path: Path) -> str:
    """Write a checkpoint for `load_predictor`, completely or not at all; return its digest.

    For a model from outside it also holds the risks of made-up patients, by which edited code is noticed.

    Raises:
        UserError: the risks of a model from outside differ between two calls.
    """
    content = predictor.content()
    digest = compute_digest(content)
    state = {"format": FORMAT, "networks": [content], "digest": digest}
    if "requires" in content:
        state["probe"] = _probe(predictor)
        if other := _find_other_risk(state["probe"], _probe(predictor)):
            source, risks = describe_setting("model", predictor.model), f"{other[0]:.6g}, and {other[1]:.6g}"
            rule = "rule: a fitted model predicts without random draws; give it a random_state"
            raise UserError(f"{source}: gives a patient the risk {risks} in a second call; {rule}")
    save_checkpoint(state, path)
    return digest


def save_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Write a file for `torch.load`, completely or not at all."""
    write_with(path, lambda file: torch.save(state, file))


def compute_digest(content: Mapping[str, Any]) -> str:
    """Return a digest over the names, the settings, the preprocessing and the weights of a model."""
    digest = hashlib.sha256()
    for place, value in _list_leaves(content):
        if isinstance(value, Tensor):
            array = value.detach().cpu().contiguous().numpy()
            digest.update(f"{place} {array.dtype} {array.shape}".encode() + array.tobytes())
        else:
            digest.update(json.dumps([place, value]).encode())
    return digest.hexdigest()


def read_checkpoint(path: Path | str) -> dict[str, Any]:
    """Return the content of a checkpoint file; nothing but plain values and tensors is loaded from it.

    Raises:
        UserError: the file is missing, cut, of another program, or holds other objects.
    """
    try:
        if not zipfile.is_zipfile(path):
            problem = "is cut, or is not a checkpoint" if Path(path).is_file() else "does not exist"
            raise UserError(f"{path}: {problem}; {_RULE}")
        state = torch.load(path, weights_only=True, map_location="cpu")
    except (UserError, OSError, MemoryError):  # after an error of the system, the file may be complete
        raise
    except Exception as error:  # torch.load raises many types; its texts advise to load without a check
        if "weights_only" in str(error):
            problem = "holds Python objects, which could run a program; it is not loaded"
        else:
            problem = "is damaged, or is not a checkpoint"
        raise UserError(f"{path}: {problem}; {_RULE}") from None
    if not isinstance(state, dict):
        raise UserError(f"{path}: does not hold a dictionary; {_RULE}")
    return state


def load_predictor(path: Path | str) -> Predictor:
    """Return the predictor of a checkpoint: ``best.ckpt``, or ``last.ckpt`` of a run with one model.

    Raises:
        UserError: the file is not a checkpoint of this version, was changed, or its values cannot give a probability.
    """
    return read_predictor(path)[0]


def read_predictor(
    path: Path | str,
    check_settings: Callable[[Mapping[str, Any]], None] | None = None,
    check_risks: bool = True,
) -> tuple[Predictor, str]:
    """Return the predictor of a checkpoint and its digest; see `load_predictor`.

    Args:
        path: of the checkpoint.
        check_settings: compares features, model and label with those of another file, and raises an error.
        check_risks: refuse a model from outside whose code gives other risks now than when the file was written.
    """
    state = read_checkpoint(path)
    content = _get_content(state, path)
    _check_keys(content, path)
    _check_names(content["features"], path)
    _check_numbers(content, path)
    if check_settings is not None:
        check_settings(content)
    if check_settings is None or "estimator" in content:  # a changed file could make other packages crash or hang
        _check_digest(state, content, path)
    predictor = _build_checked(content, path)  # names a shape that does not fit before the digest does
    digest = _check_digest(state, content, path)
    if check_risks and "probe" in state:  # earlier versions wrote none
        _check_risks(state["probe"], predictor, path, content.get("requires"))
    return predictor, digest


def _check_risks(before: Any, predictor: Predictor, path: Path | str, source: object) -> None:
    """Refuse a model whose risks of made-up patients are not those of the checkpoint."""
    is_complete = isinstance(before, list) and len(before) == _PROBES
    is_complete = is_complete and all(type(risk) is float and 0 <= risk <= 1 for risk in before)
    if not is_complete:
        raise UserError(f"{path}: probe: is damaged; {_RULE}")
    if other := _find_other_risk(before, _probe(predictor)):
        raise UserError(
            f"{path}: the code of {source} gives other risks than at the training: {other[0]:.6g} then and "
            f"{other[1]:.6g} now for the same made-up patient; rule: a model is used with the code that it was trained "
            "with; undo the edit, install the package versions of result.json, or train again in a new directory"
        )


def _probe(predictor: Predictor) -> list[float]:
    """Return the risks of made-up patients: one without values, and others near the mean and far away from it.

    Those near the mean keep a model visible whose risks are 0 or 1 further away; the last one is beyond any limit.
    """
    first = predictor.members[0] if isinstance(predictor, FittedEnsemble) else predictor
    statistics = first.inputs if isinstance(first, FittedNetwork) else first.preprocessing
    mean, scale = (np.asarray(values, dtype=np.float64) for values in (statistics.mean, statistics.scale))
    counts = np.arange(1, _PROBES * len(mean) + 1).reshape(_PROBES, -1)
    steps = (counts * _GOLDEN % 1 * 2 - 1) * np.geomspace(0.2, 20, _PROBES)[:, None]  # in standard deviations
    raw = np.where(np.isfinite(scale), mean + steps * np.where(np.isfinite(scale), scale, 0), np.nan)
    raw[0] = np.nan
    return [float(risk) for risk in predictor.predict(raw)]


def _find_other_risk(before: Any, now: Sequence[float]) -> tuple[float, float] | None:
    """Return the pair of risks that differs most by more than `_SAME`; None where all are the same."""
    pairs = np.array([before, now], dtype=np.float64)
    logits = logit(np.clip(pairs, _CLIP, 1 - _CLIP))
    excess = np.abs(logits[1] - logits[0]) - _SAME * (1 + np.abs(logits[0]))
    worst = int(excess.argmax())
    return (float(pairs[0, worst]), float(pairs[1, worst])) if not excess[worst] <= 0 else None  # also NaN


def read_digest(path: Path | str) -> str:
    """Return the digest of the model in a checkpoint, without the code that the model needs.

    Raises:
        UserError: the file is not a checkpoint with one model.
    """
    return compute_digest(_get_content(read_checkpoint(path), path))


def _get_content(state: Mapping[str, Any], path: Path | str) -> Any:
    """Return the content of the only model in a checkpoint."""
    version = state.get("format", FORMAT)
    if type(version) is not int or version < 1:
        raise UserError(f"{path}: format: is {version!r}; {_RULE}")
    if version > FORMAT:
        raise UserError(
            f"{path}: format is {version}; this version of hemexp reads {FORMAT}; use the version that wrote the file"
        )
    networks = state.get("networks")
    if not isinstance(networks, list) or len(networks) != 1:
        problem = f"holds {len(networks)} models" if isinstance(networks, list) else "does not hold a model"
        raise UserError(f"{path}: {problem}; rule: one model, as in best.ckpt")
    return networks[0]


def _check_digest(state: Mapping[str, Any], content: Mapping[str, Any], path: Path | str) -> str:
    """Return the digest of a content; refuse one that differs from the digest in the file."""
    try:
        digest = compute_digest(content)
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: holds a value that is not a number, a text or a tensor ({error}); {_RULE}") from None
    if state.get("digest", None if "format" in state else digest) != digest:  # earlier versions wrote neither
        raise UserError(
            f"{path}: was changed after hemexp wrote it: names, settings, preprocessing or weights do not fit its "
            f"digest; {_RULE}"
        )
    return digest


def _build_checked(content: Mapping[str, Any], path: Path | str) -> Predictor:
    """Return the predictor of a content, after a prediction for a patient without values."""
    try:
        predictor = build_predictor(content)
        with np.errstate(all="ignore"):
            probe = predictor.predict(np.full((1, len(predictor.features)), np.nan))
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except Exception as error:  # of torch, numpy or a package for boosting
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[1] if len(lines) > 1 and lines[0].endswith(":") else "".join(lines[:1]) or type(error).__name__
        what = f"the code of {content['requires']}" if "requires" in content else "its settings"
        raise UserError(f"{path}: {what} and its weights do not fit together ({reason}); {_RULE}") from None
    if probe.shape != (1,) or not 0 <= probe[0] <= 1:
        raise UserError(f"{path}: predicts {probe} for a patient without values, not a probability; {_RULE}")
    return predictor


def _check_keys(content: Any, path: Path | str) -> None:
    if not isinstance(content, dict):
        raise UserError(f"{path}: networks: does not hold a dictionary; {_RULE}")
    weights: dict[str, type] = {"state_dict": dict}
    if "members" in content:
        weights = {"members": list, "recalibration": list}
    elif "estimator" in content:
        weights = {"preprocessing": dict, "estimator": dict}
    expected = {"model": dict, "features": list, "label": dict, **weights}
    for name, kind in expected.items():
        if name not in content:
            raise UserError(f"{path}: {name}: is missing; {_RULE}")
        if not isinstance(content[name], kind):
            raise UserError(f"{path}: {name}: is {type(content[name]).__name__}, not {kind.__name__}; {_RULE}")
    unknown = [str(name) for name in content if name not in {*expected, "requires"}]
    if unknown:
        raise UserError(f"{path}: {', '.join(unknown)}: is not known; {_RULE}")
    for member in content.get("members", ()):
        if not isinstance(member, dict) or "members" in member:
            raise UserError(f"{path}: members: does not hold models; {_RULE}")
        _check_keys(member, path)


def _check_names(features: Sequence[Any], path: Path | str) -> None:
    for number, name in enumerate(features, 1):
        if not isinstance(name, str) or not name:
            raise UserError(f"{path}: features: input {number} is {name!r}; rule: the name of an input")
    doubled = sorted({name for name in features if features.count(name) > 1})
    if doubled:
        raise UserError(f"{path}: features: {', '.join(doubled)} occurs more than once; {_RULE}")


def _check_numbers(content: Mapping[str, Any], path: Path | str) -> None:
    """Refuse NaN and infinity, and a scale or limit that is not above zero."""
    for place, value in _list_leaves(content):
        last = "" if place.startswith("state_dict.net.") else place.rpartition(".")[2]
        is_plain = not isinstance(value, Tensor) or (value.layout is torch.strided and value.device.type != "meta")
        if not is_plain or isinstance(value, Mapping | list | tuple):
            raise UserError(f"{path}: is damaged: {place[:100]}: is not a number, a text or a plain tensor; {_RULE}")
        numbers = value if isinstance(value, Tensor) and value.is_floating_point() else None
        if isinstance(value, float):
            numbers = torch.tensor(value)
        if numbers is None or not numbers.numel():
            continue
        if last in _MAY_BE_INFINITE and not bool((numbers > 0).all()):  # also refuses NaN
            raise UserError(f"{path}: {place}: holds NaN, zero or a negative number; rule: above 0")
        if last not in _MAY_BE_INFINITE and not bool(numbers.isfinite().all()):
            what = "NaN" if bool(numbers.isnan().any()) else "an infinite number"
            count = int((~numbers.isfinite()).sum())
            raise UserError(f"{path}: {place}: holds {what} ({count} of {numbers.numel()} values); rule: finite")


def _list_leaves(node: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield place and value of everything in dictionaries, in the order of their keys, and in lists.

    What is deeper than any model, such as a dictionary that holds itself, is yielded as it is.
    """
    if place.count(".") > _DEEPEST:
        yield place, node
    elif isinstance(node, Mapping):
        for name in sorted(node, key=str):
            yield from _list_leaves(node[name], f"{place}.{name}".lstrip("."))
    elif isinstance(node, list | tuple):
        yield f"{place}.length", len(node)
        for number, child in enumerate(node):
            yield from _list_leaves(child, f"{place}.{number}")
    else:
        yield place, node
