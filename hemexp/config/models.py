"""The models and their settings."""

from dataclasses import dataclass
from typing import ClassVar, Optional

from hemexp.config.section import REQUIRED, Section, key
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

    @property
    def inputs(self) -> tuple[str, ...] | None:
        """Names of the model's fixed inputs; None if it uses the inputs of `features`."""
        return self.INPUTS.get(self.name)


@dataclass
class NetConfig(ModelConfig):
    """Settings of every network of this package."""

    hidden_dim: int = key(64, "width of the first fully connected layer", at_least=1, at_most=65536)
    dropout: float = key(0.0, "dropout rate before the last fully connected layer", at_least=0, below=1)
    init: str = key(
        "default", "first weights; zeros: convolutions at 0, as in the paper; all_zeros: all at 0; these never learn",
        choices=("default", "zeros", "all_zeros"),
    )  # fmt: skip

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


@dataclass
class MLPConfig(NetConfig):
    """Two fully connected layers, without convolutions and attention."""

    NAMES: ClassVar[tuple[str, ...]] = ("mlp",)


@dataclass
class CNNConfig(ConvolutionConfig, NetConfig):
    """The convolution branch alone."""

    NAMES: ClassVar[tuple[str, ...]] = ("cnn",)


@dataclass
class AttentionConfig(SelfAttentionConfig, NetConfig):
    """The attention branch alone."""

    NAMES: ClassVar[tuple[str, ...]] = ("attention",)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.init != "zeros", "init", "sets convolutions to zero, but model=attention has none")


@dataclass
class SACNNConfig(SelfAttentionConfig, ConvolutionConfig, NetConfig):
    """The network of the paper: both branches in parallel."""

    NAMES: ClassVar[tuple[str, ...]] = ("sacnn",)


@dataclass
class EstimatorConfig(ModelConfig):
    """A model of `hemexp.models` that is not one of the networks and is fitted in one call."""


@dataclass
class BaselineConfig(EstimatorConfig):
    """The baselines without settings: prevalence, first volume, hours from onset, BRAIN score.

    The BRAIN score also uses its other items where the cohort has them; see `hemexp.data.features.fixed_inputs`.
    """

    NAMES: ClassVar[tuple[str, ...]] = ("prevalence", "volume", "hours", "brain")
    INPUTS: ClassVar[dict[str, tuple[str, ...]]] = {
        "prevalence": (),
        "volume": ("log_volume",),
        "hours": ("log_hours",),
        "brain": ("HM_volume", "onset_to_first_scan", "stroke_history"),
    }


@dataclass
class Ridge2Config(EstimatorConfig):
    """Ridge regression on the log volume and the log hours."""

    NAMES: ClassVar[tuple[str, ...]] = ("ridge2",)
    INPUTS: ClassVar[dict[str, tuple[str, ...]]] = {"ridge2": ("log_volume", "log_hours")}
    C: float = key(1.0, "inverse strength of the penalty", above=0, at_most=10**9)


@dataclass
class LogisticConfig(EstimatorConfig):
    """Penalized logistic regression. Null values are chosen by cross-validation within the training part."""

    NAMES: ClassVar[tuple[str, ...]] = ("logistic",)
    C: Optional[float] = key(None, "inverse penalty; null: chosen by cross-validation in the training part", above=0)
    l1_ratio: Optional[float] = key(
        0.0, "0 ridge, 1 lasso, between them elastic net; null: chosen together with model.C", at_least=0, at_most=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        together = self.l1_ratio is not None or self.C is None
        self.require(together, "l1_ratio", f"null needs model.C=null too, but model.C is {self.C}")


@dataclass
class FirthConfig(EstimatorConfig):
    """Logistic regression with Firth's correction. It needs fewer inputs than patients."""

    NAMES: ClassVar[tuple[str, ...]] = ("firth",)


@dataclass
class ForestConfig(EstimatorConfig):
    """A random forest."""

    NAMES: ClassVar[tuple[str, ...]] = ("random_forest",)
    num_trees: int = key(500, "number of trees", at_least=1, at_most=100_000)
    min_samples_leaf: int = key(1, "fewest patients in a leaf of a tree", at_least=1)
    max_features: Optional[float] = key(
        None, "share of the inputs tried at each split; null: the square root of their number", above=0, at_most=1
    )


@dataclass
class BoostingConfig(EstimatorConfig):
    """Gradient-boosted trees of scikit-learn, XGBoost, LightGBM or CatBoost."""

    NAMES: ClassVar[tuple[str, ...]] = ("gradient_boosting", "xgboost", "lightgbm", "catboost")
    num_trees: int = key(100, "number of trees", at_least=1, at_most=100_000)
    learning_rate: float = key(0.05, "weight of each new tree", above=0, at_most=1)
    max_depth: int = key(2, "largest depth of a tree", at_least=1, at_most=16)


@dataclass
class TabularConfig(EstimatorConfig):
    """A tabular network from the package of its authors."""

    NAMES: ClassVar[tuple[str, ...]] = ("tabm", "ft_transformer")
    lr: float = key(0.002, "learning rate of AdamW", above=0, at_most=1e30)
    weight_decay: float = key(0.0003, "weight decay of AdamW", at_least=0, at_most=1000)
    max_epochs: int = key(200, "longest training", at_least=1, unit="epochs")
    patience: int = key(16, "training stops after this long without a lower validation loss", at_least=1, unit="epochs")
    val_fraction: float = key(0.2, "share of the training part that decides when training stops", above=0, below=1)


BASELINES: tuple[EstimatorConfig, ...] = (
    *(BaselineConfig(name) for name in BaselineConfig.NAMES),
    Ridge2Config("ridge2"),
)  # every run compares its model with them
