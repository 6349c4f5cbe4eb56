"""The models and their settings."""

from copy import deepcopy
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, ClassVar, Optional

from hemexp.config.registry import MODELS, register
from hemexp.config.section import REQUIRED, Section, key
from hemexp.config.target import TargetConfig
from hemexp.errors import UserError

_NUM_INPUTS = 72  # of the paper; the size of a network is checked before the inputs of the cohort are known
_MOST_GIB, _BYTES_PER_WEIGHT = 4, 16  # a weight, its gradient and the two moments of Adam, of 4 bytes each
_SIZES = ("hidden_dim", "channels", "kernel_size", "embed_dim")


@dataclass
class ModelConfig(Section):
    """A model.

    Attributes:
        INPUTS: by name, the inputs of a model that does not use the inputs of `features`.
    """

    PREFIX: ClassVar[str] = "model"
    INPUTS: ClassVar[dict[str, tuple[str, ...]]] = {}
    name: str = key(REQUIRED, "name of the model; it is set by model=NAME")

    def list_code_names(self) -> list[str]:
        """Return the module that registered the model, for a model of another package."""
        return [MODELS[self.name].plugin] if self.name in MODELS and MODELS[self.name].plugin else []

    @property
    def inputs(self) -> tuple[str, ...] | None:
        """Names of the model's fixed inputs; None if it uses the inputs of `features`."""
        return self.INPUTS.get(self.name)

    @property
    def is_network(self) -> bool:
        """Whether the model is trained epoch by epoch with `optimizer` and `trainer`."""
        return False

    @property
    def has_batched_form(self) -> bool:
        """Whether many networks of this kind can be trained together by ``engine=batched``."""
        return False

    def is_batched(self, engine: str, *parts: Section) -> bool:
        """Return whether the model is trained together with others.

        Args:
            engine: the key `engine`.
            parts: optimizer, schedule and loss; one of another package needs an ordinary Trainer.
        """
        is_known = all(getattr(part, "name", "") != "custom" for part in parts)
        return self.has_batched_form and engine != "lightning" and is_known


@dataclass
class NetworkConfig(ModelConfig):
    """A network: any `torch.nn.Module` that returns one or two logits for each patient."""

    _: KW_ONLY
    init_from: Optional[str] = key(
        None,
        "begin from the weights of another run, where names, shapes and inputs agree: its directory, its folder model, "
        "or a checkpoint; null: from the seed",
        is_file=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.init_from is not None:
            self.init_from = str(self._find_checkpoint(Path(self.init_from)))

    def _find_checkpoint(self, path: Path) -> Path:
        """Return the checkpoint in a run directory or in a folder model; a file is the checkpoint itself."""
        self.require(path.exists(), "init_from", "there is no such folder or file; give the directory of a run")
        places = [path, path / "checkpoints" / "best.ckpt", path / "best.ckpt"]
        found = next((place for place in places if place.is_file()), None)
        rule = "does not hold a trained model; give the directory of a finished run, its folder model, or a checkpoint"
        if (path / "leaderboard.csv").is_file():
            rule = "is a sweep; give the directory of one of its jobs"
        self.require(found is not None, "init_from", rule)
        return (found or path).resolve()

    @property
    def is_network(self) -> bool:
        """True."""
        return True


@dataclass
class NetConfig(NetworkConfig):
    """Settings of every network of this package."""

    hidden_dim: int = key(64, "width of the first fully connected layer", at_least=1, at_most=65536)
    dropout: float = key(0.0, "dropout rate before the last fully connected layer", at_least=0, below=1)
    init: str = key(
        "default", "first weights; zeros: convolutions at 0, as in the paper; all_zeros: all at 0; these never learn",
        choices=("default", "zeros", "all_zeros"),
    )  # fmt: skip

    @property
    def has_batched_form(self) -> bool:
        """True."""
        return True

    def __post_init__(self) -> None:
        super().__post_init__()
        needed = _BYTES_PER_WEIGHT * self._count_weights() / 2**30  # GiB
        if needed > _MOST_GIB:
            sizes = ", ".join(f"model.{name}={getattr(self, name)}" for name in _SIZES if hasattr(self, name))
            raise UserError(
                f"{sizes}: the weights of this network need {needed:,.0f} GiB of memory to train; rule: at most "
                f"{_MOST_GIB} GiB; choose smaller numbers"
            )

    def _count_weights(self) -> int:
        """Return the number of weights with the 72 inputs of the paper, without offsets."""
        convolution = attention = 0
        joined = _NUM_INPUTS
        if isinstance(self, ConvolutionConfig | SelfAttentionConfig):
            joined = 0
        if isinstance(self, ConvolutionConfig):
            first, second = (*self.channels, 0, 0)[:2]  # their number is checked later
            convolution = self.kernel_size * first * (1 + second)
            joined += second * _NUM_INPUTS // 4
        if isinstance(self, SelfAttentionConfig):
            attention = 4 * self.embed_dim**2
            joined += self.embed_dim * _NUM_INPUTS
        return convolution + attention + joined * self.hidden_dim


@dataclass
class ConvolutionConfig(Section):
    """The convolution branch."""

    kernel_size: int = key(3, "width of both convolutions; must be odd", at_least=1, at_most=999)
    channels: list[int] = key([16, 32], "channels of the first and the second convolution", at_least=1, at_most=65536)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.kernel_size % 2 == 1, "kernel_size", "must be odd")
        self.require(len(self.channels) == 2, "channels", "must be two numbers, one for each convolution")


@dataclass
class SelfAttentionConfig(Section):
    """The attention branch."""

    num_heads: int = key(4, "attention heads; the number must divide model.embed_dim", at_least=1)
    embed_dim: int = key(16, "width of a token", at_least=1, at_most=65536)
    embedding: str = key(
        "shared", "vectors of a token: the same for all inputs, or one each", choices=("shared", "per_feature")
    )

    @property
    def collapses(self) -> bool:
        """Whether attention has the closed form of docs/attention.md. No other key decides it."""
        return self.embedding == "shared"

    def __post_init__(self) -> None:
        super().__post_init__()
        divides = self.embed_dim % self.num_heads == 0
        self.require(divides, "num_heads", f"must divide model.embed_dim={self.embed_dim}")


@register(
    "mlp", "multilayer perceptron", "Ablation: neither branch; two fully connected layers over the inputs.", "sacnn:MLP"
)
@dataclass
class MLPConfig(NetConfig):
    """Two fully connected layers, without convolutions and attention."""


@register("cnn", "convolution branch alone", "Ablation: the convolution branch alone.", "sacnn:CNN")
@dataclass
class CNNConfig(ConvolutionConfig, NetConfig):
    """The convolution branch alone."""


@register("attention", "attention branch alone", "Ablation: the attention branch alone.", "sacnn:Attention")
@dataclass
class AttentionConfig(SelfAttentionConfig, NetConfig):
    """The attention branch alone."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.init != "zeros", "init", "sets convolutions to zero, but model=attention has none")


@register(
    "sacnn",
    "SACNN",
    "The network of the paper: convolutions and self-attention in parallel over the same inputs.",
    "sacnn:SACNN",
)
@dataclass
class SACNNConfig(SelfAttentionConfig, ConvolutionConfig, NetConfig):
    """The network of the paper: both branches in parallel."""


@dataclass
class EstimatorConfig(ModelConfig):
    """A model that is not one of the networks and is fitted in one call."""


@register(
    "brain",
    "BRAIN score",
    "Baseline: the BRAIN score (Wang et al. 2015) of the items that the cohort has; not fitted.",
    "baselines:Brain",
)
@register(
    "hours",
    "hours from onset alone",
    "Baseline: logistic regression on the log of the hours from onset.",
    "linear:Ridge",
)
@register(
    "volume", "hematoma volume alone", "Baseline: logistic regression on the log of the first volume.", "linear:Ridge"
)
@register(
    "prevalence",
    "same risk for every patient",
    "Baseline: the share of expansion in the training part, the same for every patient.",
    "baselines:Prevalence",
)
@dataclass
class BaselineConfig(EstimatorConfig):
    """The baselines without settings: prevalence, first volume, hours from onset, BRAIN score.

    The BRAIN score also uses its other items where the cohort has them; see `hemexp.data.features.fixed_inputs`.
    """

    INPUTS: ClassVar[dict[str, tuple[str, ...]]] = {
        "prevalence": (),
        "volume": ("log_volume",),
        "hours": ("log_hours",),
        "brain": ("HM_volume", "onset_to_first_scan", "stroke_history"),
    }


@register(
    "ridge2",
    "volume and hours alone",
    "Baseline: ridge regression on the log of the volume and the log of the hours from onset.",
    "linear:Ridge",
)
@dataclass
class Ridge2Config(EstimatorConfig):
    """Ridge regression on the log volume and the log hours."""

    INPUTS: ClassVar[dict[str, tuple[str, ...]]] = {"ridge2": ("log_volume", "log_hours")}
    C: float = key(1.0, "inverse strength of the penalty", above=0, at_most=10**9)


@register("logistic", "logistic regression", "Penalized logistic regression.", "linear:Logistic")
@dataclass
class LogisticConfig(EstimatorConfig):
    """Penalized logistic regression. Null values are chosen by cross-validation within the training part."""

    C: Optional[float] = key(None, "inverse penalty; null: chosen by cross-validation in the training part", above=0)
    l1_ratio: Optional[float] = key(
        0.0, "0 ridge, 1 lasso, between them elastic net; null: chosen together with model.C", at_least=0, at_most=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        together = self.l1_ratio is not None or self.C is None
        self.require(together, "l1_ratio", f"null needs model.C=null too, but model.C is {self.C}")


@register(
    "firth",
    "Firth's logistic regression",
    "Logistic regression with Firth's correction for few events; for few inputs, such as features=minimal.",
    "linear:Firth",
)
@dataclass
class FirthConfig(EstimatorConfig):
    """Logistic regression with Firth's correction. It needs fewer inputs than patients."""


@register("random_forest", "random forest", "Random forest of scikit-learn.", "trees:RandomForest")
@dataclass
class ForestConfig(EstimatorConfig):
    """A random forest."""

    num_trees: int = key(500, "number of trees", at_least=1, at_most=100_000)
    min_samples_leaf: int = key(1, "fewest patients in a leaf of a tree", at_least=1)
    max_features: Optional[float] = key(
        None, "share of the inputs tried at each split; null: the square root of their number", above=0, at_most=1
    )


@register(
    "catboost", "CatBoost", 'Gradient-boosted trees of CatBoost: pip install "hemexp[boosting]".', "boosting:CatBoost"
)
@register(
    "lightgbm", "LightGBM", 'Gradient-boosted trees of LightGBM: pip install "hemexp[boosting]".', "boosting:LightGBM"
)
@register(
    "xgboost", "XGBoost", 'Gradient-boosted trees of XGBoost: pip install "hemexp[boosting]".', "boosting:XGBoost"
)
@register("gradient_boosting", "gradient boosting", "Gradient-boosted trees of scikit-learn.", "trees:GradientBoosting")
@dataclass
class BoostingConfig(EstimatorConfig):
    """Gradient-boosted trees of scikit-learn, XGBoost, LightGBM or CatBoost."""

    num_trees: int = key(100, "number of trees", at_least=1, at_most=100_000)
    learning_rate: float = key(0.05, "weight of each new tree", above=0, at_most=1)
    max_depth: int = key(2, "largest depth of a tree", at_least=1, at_most=16)


@register(
    "ft_transformer",
    "FT-Transformer",
    'FT-Transformer network (Gorishniy et al. 2021): pip install "hemexp[tabular]".',
    "tabular:FTTransformer",
)
@register("tabm", "TabM", 'TabM network (Gorishniy et al. 2025): pip install "hemexp[tabular]".', "tabular:TabM")
@dataclass
class TabularConfig(EstimatorConfig):
    """A tabular network from the package of its authors."""

    lr: float = key(0.002, "learning rate of AdamW", above=0, at_most=1e30)
    weight_decay: float = key(0.0003, "weight decay of AdamW", at_least=0, at_most=1000)
    max_epochs: int = key(200, "longest training", at_least=1, unit="epochs")
    patience: int = key(16, "training stops after this long without a lower validation loss", at_least=1, unit="epochs")
    val_fraction: float = key(0.2, "share of the training part that decides when training stops", above=0, below=1)


@register("custom", "own model", "Your own network or scikit-learn classifier: model.target=my_package.MyNet.")
@dataclass
class CustomConfig(TargetConfig, NetworkConfig):
    """A `torch.nn.Module`, or a classifier with scikit-learn's interface."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_call(*["the number of inputs"] * (self.target is not None and self.is_network))
        rule = f"{self.target} is not a network; only a network begins from other weights; remove the key"
        self.require(self.init_from is None or self.is_network, "init_from", rule)

    @property
    def is_network(self) -> bool:
        """Whether the target has no method `fit`, which a classifier has."""
        return not hasattr(self.function, "fit")

    def build(self, num_features: int) -> Any:
        """Return a new network or classifier."""
        return self.call(*[num_features] * self.is_network)


def list_settings(model: ModelConfig) -> dict[str, Any]:
    """Return name and settings of a model, as its checkpoint holds them: without the place of its first weights."""
    return {name: deepcopy(value) for name, value in vars(model).items() if name != "init_from"}


BASELINES: tuple[EstimatorConfig, ...] = (
    *(BaselineConfig(name) for name in BaselineConfig.NAMES),
    Ridge2Config("ridge2"),
)  # every run compares its model with them
