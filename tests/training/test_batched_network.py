"""A batched network computes the outputs and gradients of the single networks."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hemexp.models.registry import build_network
from hemexp.training import batched_network
from hemexp.training.batched_network import BatchedNetwork

CONV = {"kernel_size": 3, "channels": [16, 32]}
ATTENTION = {"num_heads": 4, "embed_dim": 16}
SIZES = {"sacnn": {**CONV, **ATTENTION}, "cnn": CONV, "attention": ATTENTION, "mlp": {}}


def build_nets(count: int, num_features: int, name: str, **changes: object) -> list[nn.Module]:
    nets = []
    for seed in range(count):
        torch.manual_seed(seed)
        nets.append(build_network(num_features, name=name, **{"hidden_dim": 64, **SIZES[name], **changes}).double())
    return nets


def outputs_and_gradients(nets: list[nn.Module], x: torch.Tensor) -> tuple[torch.Tensor, list[dict[str, torch.Tensor]]]:
    """Return logits and gradients of a loss of the single networks."""
    labels = torch.arange(x.shape[1]) % 2
    logits = torch.stack([net(rows) for net, rows in zip(nets, x, strict=True)])
    for net, rows in zip(nets, logits, strict=True):
        net.zero_grad()
        F.cross_entropy(rows, labels).backward(retain_graph=True)
    return logits, [{name: p.grad.clone() for name, p in net.named_parameters()} for net in nets]


def batched_outputs_and_gradients(nets: list[nn.Module], x: torch.Tensor, collapse: bool):
    batched = BatchedNetwork(nets, collapse)
    labels = torch.arange(x.shape[1]) % 2
    logits = batched(batched.prepare(x))
    sum(F.cross_entropy(rows, labels) for rows in logits).backward()
    return logits, [batched.get_state(row) for row in batched.weights.grad]


@pytest.mark.parametrize(
    ("name", "num_features", "changes"),
    [
        ("sacnn", 72, {}),
        ("sacnn", 67, {"kernel_size": 5, "channels": [7, 13], "num_heads": 3, "embed_dim": 9, "hidden_dim": 37}),
        ("sacnn", 2, {"kernel_size": 1}),
        ("sacnn", 1, {}),
        ("sacnn", 5, {"kernel_size": 11, "channels": [1, 1], "num_heads": 1, "embed_dim": 1, "hidden_dim": 1}),
        ("cnn", 6, {}),
        ("mlp", 72, {}),
        ("mlp", 1, {"hidden_dim": 1}),
        ("attention", 6, {"num_heads": 1}),
        ("attention", 6, {"num_heads": 16}),
        ("sacnn", 72, {"embedding": "per_feature"}),
        ("attention", 5, {"embedding": "per_feature", "num_heads": 2}),
    ],
)
def test_logits_and_gradients_equal_those_of_single_networks(name: str, num_features: int, changes: dict[str, object]):
    nets = build_nets(3, num_features, name, **changes)
    x = torch.randn(3, 16, num_features, dtype=torch.float64)
    x[:, 2:5] = 0.0  # equal inputs: pooling chooses the first of two equal neighbors
    logits, gradients = outputs_and_gradients(nets, x)
    for collapse in {changes.get("embedding") != "per_feature", False}:
        ours, our_gradients = batched_outputs_and_gradients(nets, x, collapse)
        torch.testing.assert_close(ours, logits, rtol=0, atol=1e-12)
        for expected, result in zip(gradients, our_gradients, strict=True):
            assert expected.keys() == result.keys()
            for key in expected:
                torch.testing.assert_close(result[key], expected[key], rtol=0, atol=1e-12)


@pytest.mark.parametrize("spread", [0.01, 1.0, 30.0])
def test_collapsed_attention_equals_plain_attention(spread: float):
    """Within 1e-10 in float64, gradients included, even if a softmax gives all its weight to one input."""
    nets = build_nets(2, 40, "attention")
    with torch.no_grad():
        for net in nets:
            net.branches["attention"].query.weight *= spread
    x = 10 * torch.rand(2, 16, 40, dtype=torch.float64) - 5
    (plain, expected), (collapsed, result) = (
        batched_outputs_and_gradients(nets, x, collapse) for collapse in (False, True)
    )
    torch.testing.assert_close(collapsed, plain, rtol=0, atol=1e-10)
    for one, other in zip(expected, result, strict=True):
        for key in one:
            torch.testing.assert_close(other[key], one[key], rtol=0, atol=1e-10)


def test_the_derivative_of_the_tilted_mean_is_the_tilted_variance():
    from hemexp.training.batched_functions import tilted_mean

    t = torch.randn(2, 3, 2, 5, dtype=torch.float64, requires_grad=True)
    x = torch.randn(2, 3, 5, dtype=torch.float64)
    powers = torch.stack([torch.ones_like(x), x, x * x, torch.zeros_like(x)], dim=2)
    assert torch.autograd.gradcheck(lambda t: tilted_mean(t, powers), t)
    weights = torch.softmax(t.unsqueeze(-1) * x[:, :, None, None], dim=-1)
    torch.testing.assert_close(tilted_mean(t, powers), (weights * x[:, :, None, None]).sum(-1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("num_inputs", "num_heads"), [(67, 4), (11, 1), (72, 4)])
def test_the_bits_of_a_tilted_mean_do_not_depend_on_where_blocks_end(
    num_inputs: int, num_heads: int, dtype: torch.dtype
):
    """PyTorch computes exp2 of the last elements of a block by another routine, with other last bits."""
    from hemexp.training.batched_functions import tilted_mean

    draw = torch.Generator().manual_seed(0)
    t = torch.randn(9, 48, num_heads, num_inputs, dtype=dtype, generator=draw)
    x = torch.randn(9, 48, num_inputs, dtype=dtype, generator=draw)
    powers = torch.stack([torch.ones_like(x), x, x * x, torch.zeros_like(x)], dim=2)
    threads = torch.get_num_threads()
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            together = tilted_mean(t, powers)
            torch.set_num_threads(1)
            for member in range(9):
                one = slice(member, member + 1)
                assert torch.equal(tilted_mean(t[one], powers[one]), together[one]), (number, member)
    finally:
        torch.set_num_threads(threads)


def test_attention_with_separate_embeddings_does_not_collapse():
    nets = build_nets(1, 6, "attention", embedding="per_feature")
    with pytest.raises(ValueError, match="share one embedding"):
        BatchedNetwork(nets, collapse=True)
    shared = build_nets(1, 6, "attention")[0].state_dict()
    separate = nets[0].state_dict()
    assert shared["branches.attention.embed.weight"].shape == (16, 1)
    assert separate["branches.attention.embed.weight"].shape == (6, 16)


def test_a_row_of_weights_restores_its_network():
    nets = build_nets(3, 11, "sacnn", channels=[3, 5])
    batched = BatchedNetwork(nets)
    for net, row in zip(nets, batched.weights.detach(), strict=True):
        state = batched.get_state(row)
        assert state.keys() == net.state_dict().keys()
        assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
        net.load_state_dict(state)


def test_padding_and_its_gradient_are_zero():
    batched = BatchedNetwork(build_nets(2, 11, "sacnn", channels=[3, 5], hidden_dim=7))
    batched(batched.prepare(torch.randn(2, 16, 11, dtype=torch.float64))).sum().backward()
    named = sum(value.numel() for value in batched.get_state(batched.weights[0]).values())
    assert batched.weights.shape[1] % 64 == 0
    assert (batched.weights.detach() == 0).sum() >= 2 * (batched.weights.shape[1] - named) > 0
    assert (batched.weights.grad[batched.weights.detach() == 0] == 0).all()


def test_attention_over_many_patients_is_computed_in_parts(monkeypatch: pytest.MonkeyPatch):
    """A GPU raises an error for more than 65,535 of them in one call."""
    nets = build_nets(3, 7, "attention", embedding="per_feature")
    x = torch.randn(3, 16, 7, dtype=torch.float64)
    whole = batched_outputs_and_gradients(nets, x, collapse=False)
    sizes = []

    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        sizes.append(len(q))
        return scaled_dot_product_attention(q, k, v)

    scaled_dot_product_attention = F.scaled_dot_product_attention
    monkeypatch.setattr(batched_network, "_MOST_ATTENTION", 20)
    monkeypatch.setattr(F, "scaled_dot_product_attention", attend)
    parts = batched_outputs_and_gradients(nets, x, collapse=False)
    assert sizes == [20, 20, 8]
    torch.testing.assert_close(whole, parts, rtol=0, atol=1e-12)
