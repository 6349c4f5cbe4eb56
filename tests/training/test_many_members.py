"""The first weights and the histories of many members."""

from collections.abc import Callable
from dataclasses import asdict

import pytest
import torch
from test_loop import Make

from hemexp.config import AttentionConfig, CNNConfig, MLPConfig, NetConfig, SACNNConfig
from hemexp.models.registry import build_network, reset_network
from hemexp.training.loop import fit_group
from hemexp.training.task import ExpansionTask


@pytest.mark.parametrize(
    "model",
    [
        SACNNConfig("sacnn"),
        CNNConfig("cnn"),
        AttentionConfig("attention"),
        AttentionConfig("attention", embedding="per_feature"),
        MLPConfig("mlp"),
        SACNNConfig("sacnn", init="zeros"),
        SACNNConfig("sacnn", init="all_zeros"),
    ],
    ids=lambda model: f"{model.name} {model.init}",
)
def test_a_reset_network_has_the_weights_of_a_new_one(model: NetConfig):
    net = build_network(13, **asdict(model))
    for seed in (0, 5, 2**40):
        torch.manual_seed(seed)
        new = build_network(13, **asdict(model))
        reset_network(net, seed, model.init)
        assert all(one.equal(other) for one, other in zip(net.parameters(), new.parameters(), strict=True))


def test_building_a_task_leaves_the_global_generator_as_it_was(members: Make, trainer: Callable):
    before = torch.get_rng_state()
    ExpansionTask(members(range(2)), trainer())
    assert torch.get_rng_state().equal(before)


def test_the_histories_of_members_that_leave_the_group_are_cut_out_of_one_table(members: Make, trainer: Callable):
    """Members leave at different epochs; each has the history that it has alone."""
    group, cfg = members(range(6)), trainer(max_epochs=200, patience=5)
    together = fit_group(group, cfg)
    assert len({result.epochs for result in together}) > 2
    for member, result in zip(group, together, strict=True):
        (alone,) = fit_group([member], cfg)
        assert len(result.history) == result.epochs
        assert result.history.equals(alone.history)
        assert list(result.history["epoch"]) == list(range(result.epochs))
