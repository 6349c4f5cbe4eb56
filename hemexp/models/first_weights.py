"""First weights of a network that are those of another run, where names, shapes and inputs agree."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hemexp.config import ModelConfig, list_settings
from hemexp.errors import UserError
from hemexp.models.ensemble import FittedEnsemble
from hemexp.models.network import FittedNetwork
from hemexp.models.predictor import read_predictor
from hemexp.models.sacnn import (
    CNN,
    MLP,
    SACNN,
    Attention,
    AttentionBranch,
    ConvolutionBranch,
    FeatureEmbedding,
    ParallelNetwork,
)

State = dict[str, Tensor]
_Change = tuple[Tensor, Tensor, int]  # a tensor of the new state, what it becomes, and how many values are taken over


@dataclass(frozen=True)
class FirstWeights:
    """The weights of the network of another run.

    Attributes:
        path: of the checkpoint.
        network: of the other run.
        digest: of the checkpoint's content.
    """

    path: str
    network: FittedNetwork
    digest: str

    def take_over(self, net: nn.Module, features: Sequence[str], dtype: torch.dtype) -> tuple[State, int, int]:
        """Return the state of a network with the other run's weights, how many they are, and how many it has.

        A tensor is taken over if its name and shape agree. In the networks of this package, the part of a tensor that
        belongs to an input is taken over if the other run has an input of this name. The convolution branch sees
        several inputs at once: for each of its outputs, all of them must have the same names at the same places. In a
        network from outside, a tensor that has a dimension of the number of inputs is taken over only if all inputs
        have the same names in the same order.

        Args:
            net: with its weights from the seed; it is not changed.
            features: names of its inputs, in order.
            dtype: of the state.

        Raises:
            UserError: no weight fits.
        """
        state, other = _copy_state(net, dtype), _copy_state(self.network.net, dtype)
        if type(net) in _OWN and type(self.network.net) in _OWN:
            pairs = _match_parts(net, state, features, self.network.net, other, self.network.features)
        else:
            pairs = _match_tensors(state, features, other, self.network.features)
        taken = 0
        for target, source, count in pairs:
            target.copy_(source)
            taken += count if target.is_floating_point() else 0
        if not taken:
            raise UserError(
                f"model.init_from={self.path}: no weight fits: the names and shapes of its network "
                f"(model={self.network.model['name']}) are others; rule: a network with layers of the same sizes"
            )
        return state, taken, sum(value.numel() for value in state.values() if value.is_floating_point())

    def describe(self, model: ModelConfig, features: Sequence[str]) -> str:
        """Return in words what a new network takes over.

        Args:
            model: settings of the network.
            features: names of its inputs, in order.

        Raises:
            UserError: no weight fits.
        """
        with torch.random.fork_rng(devices=[]):
            network = FittedNetwork(list_settings(model), features, {})
        network.predict(np.full((1, len(features)), np.nan))  # a network from outside may need it to know its sizes
        net = network.net
        _, taken, total = self.take_over(net, features, torch.float32)
        shared, count = set(features) & set(self.network.features), len(features)
        text = (
            f"first weights: {taken:,} of {total:,} are those of {self.path}, the others are drawn from the seed; "
            f"{len(shared)} of {count} inputs agree by name"
        )
        if list(features) != self.network.features and not {type(net), type(self.network.net)} <= set(_OWN):
            text += "; as not all inputs agree in their order, a tensor with a dimension of their number is not taken"
        return text


def read_first_weights(model: ModelConfig) -> FirstWeights | None:
    """Return the weights that ``model.init_from`` names; None without it.

    Raises:
        UserError: the file is damaged, needs code that the user has not named, or is not of a network.
    """
    path = getattr(model, "init_from", None)
    if path is None:
        return None
    try:
        predictor, digest = read_predictor(path, check_risks=False)  # an edited network may begin from them
    except UserError as error:
        raise UserError(f"model.init_from={error}") from None
    if not isinstance(predictor, FittedNetwork):
        problem = f"is of model={predictor.model['name']}, not a network"
        if isinstance(predictor, FittedEnsemble):
            number = len(predictor.members)
            problem = f"holds {number} networks" if number > 1 else "holds a recalibration"
        rule = "rule: the run of one network (ensemble=1 calibrate=none)"
        raise UserError(f"model.init_from={path}: {problem}; {rule}")
    return FirstWeights(path, predictor, digest)


def _copy_state(net: nn.Module, dtype: torch.dtype) -> State:
    state = {name: value.detach().cpu().clone() for name, value in net.state_dict().items()}
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in state.items()}


def _match_tensors(
    new: State, features: Sequence[str], other: State, other_features: Sequence[str]
) -> Iterator[_Change]:
    """Yield the tensors of a network from outside that are taken over."""
    of_inputs = set() if list(features) == list(other_features) else {len(features), len(other_features)}
    for name, target in new.items():
        source = other.get(name)
        if source is not None and source.shape == target.shape and not of_inputs & set(target.shape):
            yield target, source, source.numel()


# networks of this package


@dataclass(frozen=True)
class _Part:
    """A view of a tensor in the state of a network, or of the columns of a branch in its hidden layer.

    Attributes:
        values: changing them changes the state.
        axis: of the inputs; None if there is none.
        window: smallest and largest input, beside 4 p, that position p of the axis depends on; None for the input p.
    """

    values: Tensor
    axis: int | None = None
    window: tuple[int, int] | None = None


def _match_parts(
    net: nn.Module,
    state: State,
    features: Sequence[str],
    other_net: nn.Module,
    other_state: State,
    other_features: Sequence[str],
) -> Iterator[_Change]:
    """Yield the parts of a network of this package that are taken over."""
    new, other = _split(net, state), _split(other_net, other_state)
    for name, part in new.items():
        source = other.get(name)
        if source is None or (part.axis, part.window) != (source.axis, source.window):
            continue
        axis, shapes = part.axis, (list(part.values.shape), list(source.values.shape))
        lengths = [shape.pop(axis) for shape in shapes if axis is not None]
        if shapes[0] != shapes[1]:
            continue
        if axis is None:
            yield part.values, source.values, source.values.numel()
            continue
        pairs = torch.tensor(list(_pair_inputs(features, other_features, part.window, min(lengths))), dtype=torch.long)
        here, there = pairs.view(-1, 2).T
        chosen = source.values.index_select(axis, there)
        yield part.values, part.values.index_copy(axis, here, chosen), chosen.numel()


def _pair_inputs(
    features: Sequence[str], others: Sequence[str], window: tuple[int, int] | None, length: int
) -> Iterator[tuple[int, int]]:
    """Yield the positions of an axis that depend on the same inputs."""
    if window is None:
        places = {name: place for place, name in enumerate(others)}
        yield from ((place, places[name]) for place, name in enumerate(features) if name in places)
        return
    for position in range(length):
        seen = range(max(0, 4 * position + window[0]), 4 * position + window[1] + 1)
        names = [[inputs[i] if i < len(inputs) else None for i in seen] for inputs in (features, others)]
        if names[0] == names[1]:
            yield position, position


def _split(net: Any, state: State) -> dict[str, _Part]:
    """Return the parts of the state of a network, by name."""
    parts = {name: _Part(value) for name, value in state.items() if name != "hidden.weight"}
    branches = dict(net.branches.items())
    columns = torch.split(state["hidden.weight"], [branch.out_features for branch in branches.values()], dim=1)
    for (name, branch), part in zip(branches.items(), columns, strict=True):
        place = f"hidden.weight.{name}"
        if isinstance(branch, ConvolutionBranch):
            channels, reach = branch.conv2.out_channels, branch.conv1.kernel_size[0] // 2
            # each position of the second pool depends on inputs up to 3 `reach` beside its own four
            parts[place] = _Part(part.view(len(part), channels, -1), 2, (-3 * reach, 3 + 3 * reach))
        elif isinstance(branch, AttentionBranch):
            parts[place] = _Part(part.view(len(part), -1, branch.query.in_features), 1)
            if isinstance(branch.embed, FeatureEmbedding):
                for each in ("weight", "bias"):
                    parameter = f"branches.{name}.embed.{each}"
                    parts[parameter] = _Part(state[parameter], 0)
        else:
            parts[place] = _Part(part, 1)
    return parts


_OWN: tuple[type[ParallelNetwork], ...] = (SACNN, CNN, Attention, MLP)
