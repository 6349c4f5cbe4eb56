"""A checkpoint file that is cut, changed, of another program or of another version is refused, each with its reason."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fitted_models import model

from hemexp.config import MLPConfig
from hemexp.data.training_set import build_training_set
from hemexp.errors import UserError
from hemexp.models.fitted_estimator import fit_estimator
from hemexp.models.network import FittedNetwork
from hemexp.models.predictor import FORMAT, Predictor, _check_numbers, load_predictor, read_checkpoint, save_predictor

NAMES = ("age", "volume", "hours")


def fit(name: str) -> Predictor:
    rng = np.random.default_rng(0)
    fold = build_training_set(
        rng.normal(size=(40, 3)), np.arange(40) % 2, range(40), features=NAMES, label={"name": "x"}
    )
    if name == "mlp":
        torch.manual_seed(0)
        net = FittedNetwork(vars(MLPConfig("mlp")), NAMES, {"name": "x"})
        net.inputs.set(fold.preprocessing)
        return net.eval()
    return fit_estimator(model(name), fold, 0)


@pytest.fixture(params=["logistic", "random_forest", "mlp"])
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    save_predictor(fit(request.param), tmp_path / "best.ckpt")
    return tmp_path / "best.ckpt"


def weights(content: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the dictionary that holds a floating-point tensor of the model, and its name."""
    place = content.get("state_dict") or content["estimator"]
    return place, next(name for name in ("net.output.weight", "coefficients", "values") if name in place)


def change(path: Path, edit: Callable[[dict[str, Any], dict[str, Any]], None]) -> None:
    state = torch.load(path, weights_only=True)
    edit(state, state["networks"][0])
    torch.save(state, path)


def set_weights(content: dict[str, Any], edit: Callable[[torch.Tensor], Any]) -> None:
    place, name = weights(content)
    place[name] = edit(place[name])


def set_scale(content: dict[str, Any], value: float) -> None:
    place = content.get("preprocessing") or content["state_dict"]
    name = "scale" if "scale" in place else "inputs.scale"
    place[name] = place[name] * 0 + value


CHANGES: dict[str, tuple[Callable[[dict[str, Any], dict[str, Any]], Any], str]] = {
    "sparse weight": (lambda s, c: set_weights(c, lambda w: w.to_sparse()), "is damaged"),
    "meta weight": (lambda s, c: set_weights(c, lambda w: w.to("meta")), "is damaged"),
    "NaN weight": (lambda s, c: set_weights(c, lambda w: w * float("nan")), "holds NaN"),
    "infinite weight": (lambda s, c: set_weights(c, lambda w: w + float("inf")), "holds an infinite number"),
    "other weight": (lambda s, c: set_weights(c, lambda w: w + 1), "was changed after hemexp wrote it"),
    "scale of zero": (lambda s, c: set_scale(c, 0.0), "scale: holds NaN, zero or a negative number"),
    "exchanged names": (lambda s, c: c["features"].reverse(), "was changed after hemexp wrote it"),
    "doubled name": (lambda s, c: c["features"].__setitem__(0, "volume"), "features: volume occurs more than once"),
    "name of a number": (lambda s, c: c["features"].__setitem__(0, 7), "features: input 1 is 7"),
    "missing names": (lambda s, c: c.pop("features"), "features: is missing"),
    "unknown key": (lambda s, c: c.update(mistake=1), "mistake: is not known"),
    "missing label": (lambda s, c: c.pop("label"), "label: is missing"),
    "model of another type": (lambda s, c: c.update(model="logistic"), "model: is str, not dict"),
    "unknown model": (lambda s, c: c["model"].update(name="oracle"), "changed|oracle"),
    "newer version": (
        lambda s, c: s.update(format=FORMAT + 1),
        f"format is {FORMAT + 1}; this version .* reads {FORMAT}",
    ),
    "two models": (lambda s, c: s["networks"].append(c), "holds 2 models"),
    "no model": (lambda s, c: s.pop("networks"), "does not hold a model"),
}


@pytest.mark.parametrize(("edit", "message"), CHANGES.values(), ids=CHANGES)
def test_a_changed_checkpoint_is_refused_with_its_reason(edit: Any, message: str, saved: Path):
    change(saved, edit)
    with pytest.raises(UserError, match=rf"best\.ckpt: .*({message})"):
        load_predictor(saved)


def test_a_tensor_of_another_shape_is_named_where_the_file_has_no_digest(tmp_path: Path):
    save_predictor(fit("mlp"), tmp_path / "best.ckpt")

    def cut(state: dict[str, Any], content: dict[str, Any]) -> None:
        del state["digest"], state["format"]
        set_weights(content, lambda w: w[:, :-1])

    change(tmp_path / "best.ckpt", cut)
    with pytest.raises(UserError, match=r"do not fit together \(size mismatch for net\.output\.weight"):
        load_predictor(tmp_path / "best.ckpt")


FILES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut": (lambda content: content[: len(content) // 2], "is cut, or is not a checkpoint"),
    "empty": (lambda content: b"", "is cut, or is not a checkpoint"),
    "of another program": (lambda content: b"PK\x03\x04 nonsense", "is cut, or is not a checkpoint"),
    "a pickle": (lambda content: pickle.dumps({"networks": []}), "is cut, or is not a checkpoint"),
}


@pytest.mark.parametrize(("damage", "message"), FILES.values(), ids=FILES)
@pytest.mark.parametrize("load", [load_predictor, read_checkpoint], ids=["best", "last"])
def test_a_damaged_file_is_refused(load: Any, damage: Any, message: str, tmp_path: Path):
    path = tmp_path / "best.ckpt"
    save_predictor(fit("logistic"), path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=rf"best\.ckpt: {message}"):
        load(path)


@pytest.mark.parametrize("load", [load_predictor, read_checkpoint], ids=["best", "last"])
def test_python_objects_are_not_loaded_and_no_message_advises_to_load_them(load: Any, tmp_path: Path):
    torch.save({"networks": [Path("a")]}, tmp_path / "best.ckpt")
    with pytest.raises(UserError, match="holds Python objects, which could run a program; it is not loaded") as error:
        load(tmp_path / "best.ckpt")
    assert "weights_only" not in str(error.value)


def test_a_checkpoint_of_an_earlier_version_without_a_digest_is_read(saved: Path):
    expected = load_predictor(saved).predict(np.zeros((2, 3)))

    def make_old(state: dict[str, Any], content: dict[str, Any]) -> None:
        del state["digest"], state["format"]

    change(saved, make_old)
    assert load_predictor(saved).predict(np.zeros((2, 3))).tolist() == expected.tolist()


def test_a_dictionary_that_holds_itself_is_refused():
    content: dict[str, object] = {"weights": torch.zeros(2)}
    content["again"] = content
    with pytest.raises(UserError, match="is damaged: again"):
        _check_numbers(content, "best.ckpt")


def test_weights_of_a_network_may_be_called_scale_and_clip():
    weights = torch.tensor([-1.0, 0.0])
    _check_numbers({"state_dict": {"net.scale": weights, "net.layer.clip": weights}}, "best.ckpt")
    with pytest.raises(UserError, match=r"state_dict\.inputs\.scale: holds NaN, zero or a negative number"):
        _check_numbers({"state_dict": {"inputs.scale": weights}}, "best.ckpt")


def test_the_depth_of_a_changed_forest_does_not_keep_it_running(tmp_path: Path):
    save_predictor(fit("random_forest"), tmp_path / "best.ckpt")
    expected = load_predictor(tmp_path / "best.ckpt").predict(np.zeros((2, 3)))

    def deepen(state: dict[str, Any], content: dict[str, Any]) -> None:
        del state["digest"], state["format"]
        content["estimator"]["depth"] = 2**40

    change(tmp_path / "best.ckpt", deepen)
    assert load_predictor(tmp_path / "best.ckpt").predict(np.zeros((2, 3))).tolist() == expected.tolist()
