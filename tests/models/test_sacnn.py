import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hemexp.data.imputation import Preprocessing, fit_preprocessing
from hemexp.errors import UserError
from hemexp.models.input_layer import InputLayer
from hemexp.models.registry import build_network
from hemexp.models.sacnn import AttentionBranch, ConvolutionBranch

CONV = {"kernel_size": 3, "channels": [16, 32]}
ATTENTION = {"num_heads": 4, "embed_dim": 16}
SIZES = {"sacnn": {**CONV, **ATTENTION}, "cnn": CONV, "attention": ATTENTION, "mlp": {}}


def build(name: str, num_features: int = 72, **changes: object) -> nn.Module:
    torch.manual_seed(0)
    return build_network(num_features, name=name, **{"hidden_dim": 64, **SIZES[name], **changes})


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("num_features", [1, 2, 66, 72, 104])
@pytest.mark.parametrize("batch", [0, 1, 5])
def test_the_output_is_two_logits_for_each_patient(name: str, num_features: int, batch: int):
    logits = build(name, num_features)(torch.randn(batch, num_features))
    assert logits.shape == (batch, 2)
    assert logits.isfinite().all()


@pytest.mark.parametrize("kernel_size", [1, 5, 7, 11])
@pytest.mark.parametrize("num_heads", [1, 2, 8])
def test_networks_of_swept_sizes_have_the_right_output_shape(kernel_size: int, num_heads: int):
    assert build("sacnn", kernel_size=kernel_size, num_heads=num_heads)(torch.randn(3, 72)).shape == (3, 2)


def test_the_papers_network_has_113538_parameters():
    assert sum(parameter.numel() for parameter in build("sacnn").parameters()) == 113_538


def test_attention_is_equation_8():
    torch.manual_seed(0)
    branch = AttentionBranch(num_features=9, num_heads=2, embed_dim=6).double()
    x = torch.randn(4, 9, dtype=torch.float64)
    tokens = branch.embed(x[..., None])
    heads = []
    for h in range(2):
        part = slice(3 * h, 3 * h + 3)
        q, k, v = (layer(tokens)[..., part] for layer in (branch.query, branch.key, branch.value))
        heads.append(torch.softmax(q @ k.transpose(1, 2) / math.sqrt(3), dim=-1) @ v)
    expected = branch.out(torch.cat(heads, dim=-1)).flatten(1)
    torch.testing.assert_close(branch(x), expected)


def test_convolution_is_equations_1_to_3():
    torch.manual_seed(0)
    branch = ConvolutionBranch(num_features=7, kernel_size=3, channels=[1, 1])
    x = torch.randn(7)
    row = x
    for conv in (branch.conv1, branch.conv2):
        padded = F.pad(row, (1, 1))
        sums = [(padded[i : i + 3] * conv.weight[0, 0]).sum() + conv.bias[0] for i in range(len(row))]
        relu = torch.stack(sums).clamp(min=0)
        row = torch.stack([relu[i : i + 2].max() for i in range(0, len(relu), 2)])
    torch.testing.assert_close(branch(x[None])[0], row)


@pytest.mark.parametrize("name", SIZES)
def test_a_prediction_is_reproducible_and_does_not_depend_on_the_other_patients(name: str):
    net = build(name, dropout=0.5).eval()
    x = torch.randn(6, 72)
    torch.testing.assert_close(net(x), net(x), rtol=0, atol=0)
    torch.testing.assert_close(net(x)[2:3], net(x[2:3]))


def test_dropout_changes_the_output_in_training_mode():
    net, x = build("sacnn", dropout=0.5).train(), torch.randn(6, 72)
    assert not torch.equal(net(x), net(x))


def train_a_little(net: nn.Module, steps: int = 20) -> torch.Tensor:
    torch.manual_seed(1)
    x, y = torch.randn(30, 72), (torch.arange(30) % 3 == 0).long()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    return net(x).detach()


def test_zeroed_convolutions_stay_zero_and_only_attention_learns():
    net = build("sacnn", init="zeros")
    before = [parameter.clone() for parameter in net.branches["attention"].parameters()]
    train_a_little(net)
    assert all((parameter == 0).all() for parameter in net.branches["conv"].parameters())
    assert any(not torch.equal(a, b) for a, b in zip(before, net.branches["attention"].parameters(), strict=True))


@pytest.mark.parametrize("name", SIZES)
def test_a_network_of_zeros_predicts_one_constant(name: str):
    net = build(name, init="all_zeros")
    assert all((parameter == 0).all() for parameter in net.parameters())
    logits = train_a_little(net, steps=100)
    assert (logits == logits[0]).all()
    assert torch.softmax(logits[0], 0)[1] == pytest.approx(1 / 3, abs=0.05)  # the prevalence


def test_convolutions_with_the_default_init_learn():
    net = build("sacnn")
    before = net.branches["conv"].conv1.weight.clone()
    train_a_little(net, steps=1)
    assert not torch.equal(before, net.branches["conv"].conv1.weight)


def test_an_unknown_network_is_refused():
    with pytest.raises(UserError, match=r"model\.name=resnet.*sacnn"):
        build_network(72, name="resnet")


def test_the_input_layer_fills_scales_and_clips():
    rows = torch.tensor([[1.0, 7.0], [3.0, 7.0]])
    layer = InputLayer(2)
    layer.set(fit_preprocessing(rows.numpy().astype(float), clip=10)[0])
    raw = torch.tensor([[3.0, 7.0], [torch.nan, 1e9], [1e9, torch.nan]])
    torch.testing.assert_close(layer(raw), torch.tensor([[1.0, 0.0], [0.0, 0.0], [10.0, 0.0]]))


def test_the_state_of_the_input_layer_holds_its_statistics():
    layer, other = InputLayer(2), InputLayer(2)
    ones = torch.ones(2).numpy()
    layer.set(Preprocessing(ones, 2 * ones, 3 * ones, 4.0))
    other.load_state_dict(layer.state_dict())
    torch.testing.assert_close(other(torch.tensor([[50.0, torch.nan]])), torch.tensor([[4.0, -1 / 3]]))


@pytest.mark.parametrize("embedding", ["shared", "per_feature"])
def test_attention_weights_reproduce_the_output_of_the_branch(embedding: str):
    torch.manual_seed(0)
    branch, x = AttentionBranch(9, num_heads=2, embed_dim=8, embedding=embedding), torch.randn(4, 9)
    weights = branch.attention(x)
    assert weights.shape == (4, 2, 9, 9)
    torch.testing.assert_close(weights.sum(-1), torch.ones(4, 2, 9))
    values = branch._heads(branch.value(branch.embed(x.unsqueeze(-1))))
    torch.testing.assert_close(branch.out((weights @ values).transpose(1, 2).flatten(2)).flatten(1), branch(x))
