"""A training that begins from the weights of another one, where names, shapes and inputs agree."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from test_loop import Make, equal

from hemexp.config import CustomConfig, OptimizerConfig
from hemexp.config.plugins import import_plugins
from hemexp.errors import UserError
from hemexp.models.first_weights import read_first_weights
from hemexp.models.predictor import load_predictor, save_predictor
from hemexp.training.fit import fit
from hemexp.training.member import Member

NAMES = tuple(f"x{number}" for number in range(11))
DTYPE = torch.float64


@pytest.fixture(autouse=True)
def own_networks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    import_plugins(["own_networks"])
    yield
    sys.modules["own_networks"].StopAfter.seen = []


@pytest.fixture
def trained(trainer: Callable, tmp_path: Path) -> Callable[[Member], str]:
    """Train a member for five epochs in 64 bits, and return the path of its checkpoint."""

    def train(member: Member) -> str:
        (result,) = fit([member], trainer(max_epochs=5, precision=64))
        path = tmp_path / "other" / "best.ckpt"
        save_predictor(result.predictor(), path)
        return str(path)

    return train


def begin(member: Member, path: str, **changes: Any) -> Member:
    return replace(member, model=replace(member.model, init_from=path), **changes)


def own(folds: list[Any], seed: int = 0, target: str = "Linear", **args: Any) -> Member:
    model = CustomConfig("custom", f"own_networks.{target}", args)
    return Member(model, OptimizerConfig(0.01), replace(folds[0], val_inputs=folds[0].val_inputs[:0],
                  val_labels=folds[0].val_labels[:0]), seed)  # fmt: skip


def states(member: Member, features: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], int]:
    """Return the state with the seed's weights, the state with those taken over, the other run's, and the number."""
    from hemexp.config import list_settings
    from hemexp.models.registry import build_network

    torch.manual_seed(member.seed)
    net = build_network(len(features), **list_settings(member.model))
    weights = read_first_weights(member.model)
    assert weights is not None
    taken, number, _ = weights.take_over(net, features, DTYPE)
    return (
        {name: value.to(DTYPE) for name, value in net.state_dict().items()},
        taken,
        weights.network.net.state_dict(),
        number,
    )


@pytest.mark.parametrize("engine", ["batched", "lightning"])
@pytest.mark.parametrize("model", ["sacnn", "cnn", "attention", "mlp"])
def test_the_first_training_loss_is_that_of_the_other_network(
    model: str, engine: str, members: Make, trainer: Callable, trained: Callable
):
    first, second = members(range(2), model=model, validation=False)
    second = replace(second, training_set=first.training_set)
    path = trained(first)
    risks = load_predictor(path).predict(first.training_set.inputs)
    (result,) = fit([begin(second, path, engine=engine)], trainer(max_epochs=2, precision=64))
    assert result.history["train/loss"][0] == pytest.approx(log_loss(first.training_set.labels, risks), abs=1e-12)
    assert result.history["train/loss"][1] < result.history["train/loss"][0]


def test_a_network_from_outside_continues_too(folds: list[Any], trainer: Callable, trained: Callable):
    member = own(folds)
    path = trained(member)
    risks = load_predictor(path).predict(member.training_set.inputs)
    (result,) = fit([begin(own(folds, seed=5), path)], trainer(max_epochs=2, precision=64))
    assert result.history["train/loss"][0] == pytest.approx(log_loss(member.training_set.labels, risks), abs=1e-12)


@pytest.mark.parametrize("model", ["sacnn", "mlp"])
def test_the_engines_agree_from_other_weights_and_with_other_inputs(
    model: str, members: Make, trainer: Callable, trained: Callable
):
    first, second = members(range(2), model=model)
    renamed = replace(second.training_set, features=(*NAMES[1:4], "new", *NAMES[4:]))
    path, cfg = trained(first), trainer(max_epochs=100, precision=64)
    second = begin(second, path, training_set=renamed)
    (batched,), (ordinary,) = fit([second], cfg), fit([replace(second, engine="lightning")], cfg)
    assert np.abs(batched.history["train/loss"] - ordinary.history["train/loss"]).max() < 1e-8
    a, b = (result.content["state_dict"] for result in (batched, ordinary))
    assert max(float((a[name] - b[name]).abs().max()) for name in a if name != "inputs.clip") < 1e-8


def test_members_that_begin_from_other_weights_have_the_same_bits_alone_and_in_a_group(
    members: Make, trainer: Callable, trained: Callable
):
    first, *others = members(range(4))
    others = [begin(member, path) for path in [trained(first)] for member in others]
    group = fit(others, trainer(), num_workers=1)
    for member, result in zip(others, group, strict=True):
        (alone,) = fit([member], trainer())
        assert equal(alone, result)
        assert torch.equal(
            alone.content["state_dict"]["inputs.mean"],
            torch.tensor(member.training_set.preprocessing.mean, dtype=torch.float32),
        )


def test_the_columns_of_an_input_follow_its_name(members: Make, trained: Callable):
    (member,) = members([0], model="mlp", validation=False)
    features = ("x3", "new", "x0")
    before, taken, other, number = states(begin(member, trained(member), seed=9), features)
    assert torch.equal(taken["hidden.weight"][:, 0], other["hidden.weight"][:, 3])
    assert torch.equal(taken["hidden.weight"][:, 2], other["hidden.weight"][:, 0])
    assert torch.equal(taken["hidden.weight"][:, 1], before["hidden.weight"][:, 1])
    assert torch.equal(taken["output.weight"], other["output.weight"])
    assert number == 2 * 12 + 12 + 2 * 12 + 2


def test_tokens_and_rows_of_an_embedding_follow_the_name_of_their_input(members: Make, trained: Callable):
    (member,) = members([0], "model.embedding=per_feature", model="attention", validation=False)
    before, taken, other, _ = states(begin(member, trained(member), seed=9), ("x3", "new", "x0"))
    for new, old in ((0, 3), (2, 0)):
        assert torch.equal(
            taken["hidden.weight"].view(12, 3, 8)[:, new], other["hidden.weight"].view(12, 11, 8)[:, old]
        )
        for name in ("branches.attention.embed.weight", "branches.attention.embed.bias"):
            assert torch.equal(taken[name][new], other[name][old])
            assert torch.equal(taken[name][1], before[name][1])
    assert torch.equal(taken["branches.attention.query.weight"], other["branches.attention.query.weight"])


def test_a_column_of_a_convolution_is_taken_over_where_all_inputs_that_it_sees_agree(members: Make, trained: Callable):
    """With kernels of 3, the positions 0, 1 and 2 see the inputs 0 to 6, 1 to 10, and 5 to the end."""
    (member,) = members([0], model="cnn", validation=False)
    path = trained(member)
    for place, kept in ((0, [1, 2]), (3, [2]), (10, [0]), (5, []), (4, [2])):
        features = tuple("new" if number == place else name for number, name in enumerate(NAMES))
        before, taken, other, _ = states(begin(member, path, seed=9), features)
        drawn = [position for position in range(3) if position not in kept]
        columns, old, new = (state["hidden.weight"].view(12, 6, 3) for state in (taken, other, before))
        assert torch.equal(columns[..., kept], old[..., kept]), place
        assert torch.equal(columns[..., drawn], new[..., drawn]), place
    longer = (*NAMES, "x11", "x12")
    _, taken, other, _ = states(begin(member, path), longer)
    assert torch.equal(taken["hidden.weight"].view(12, 6, 4)[..., 0], other["hidden.weight"].view(12, 6, 3)[..., 0])
    assert not torch.equal(taken["hidden.weight"].view(12, 6, 4)[..., 2], other["hidden.weight"].view(12, 6, 3)[..., 2])


def test_the_papers_network_begins_from_one_of_its_branches(members: Make, trained: Callable):
    (cnn,), (sacnn,) = members([0], model="cnn", validation=False), members([1], validation=False)
    before, taken, other, _ = states(begin(sacnn, trained(cnn)), NAMES)
    assert torch.equal(taken["hidden.weight"][:, :18], other["hidden.weight"])
    assert torch.equal(taken["hidden.weight"][:, 18:], before["hidden.weight"][:, 18:])
    assert torch.equal(taken["branches.conv.conv2.weight"], other["branches.conv.conv2.weight"])


def test_a_network_from_outside_takes_no_tensor_of_the_inputs_where_they_differ(folds: list[Any], trained: Callable):
    member = own(folds, outputs=2)
    begun = begin(member, trained(member), seed=9)
    before, taken, other, number = states(begun, (*NAMES[1:], "x0"))
    assert torch.equal(taken["layer.weight"], before["layer.weight"])
    assert torch.equal(taken["layer.bias"], other["layer.bias"])
    assert number == 2
    weights = read_first_weights(begun.model)
    assert "2 of 24 are those of" in weights.describe(begun.model, (*NAMES[1:], "x0"))
    assert weights.describe(begun.model, (*NAMES[1:], "x0")).endswith("of their number is not taken")
    assert weights.describe(begun.model, NAMES).endswith("11 of 11 inputs agree by name")


def test_weights_of_which_none_fits_are_refused(members: Make, folds: list[Any], trainer: Callable, trained: Callable):
    (member,) = members([0], model="mlp", validation=False)
    path = trained(own(folds))
    for engine in ("batched", "lightning"):
        with pytest.raises(UserError, match=r"model\.init_from=.*no weight fits.*model=custom"):
            fit([begin(member, path, engine=engine)], trainer())
