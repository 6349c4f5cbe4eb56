"""Every configuration key, its type and its rules, checked before anything heavy is imported.

The classes are the schema of ``conf/``: a wrong type or an unknown key is refused when Hydra composes, a broken rule
when `OmegaConf.to_object` builds the objects. Nothing here imports pandas or torch.
"""

from hemexp.config.cohort import (
    TIDY_FILES,
    WORKBOOKS,
    DataConfig,
    FeaturesConfig,
    FractionSplitConfig,
    KFoldSplitConfig,
    LabelConfig,
    SplitConfig,
    SyntheticDataConfig,
    resolve_data,
)
from hemexp.config.commands import (
    NOT_HASHED,
    EvaluationConfig,
    OptimizerConfig,
    PredictConfig,
    PrepareConfig,
    ReportConfig,
    ReportOptions,
    TrainConfig,
    TrainerConfig,
    config_hash,
)
from hemexp.config.debug import DebugConfig
from hemexp.config.models import (
    BASELINES,
    AttentionConfig,
    BaselineConfig,
    BoostingConfig,
    CNNConfig,
    EstimatorConfig,
    FirthConfig,
    ForestConfig,
    LogisticConfig,
    MLPConfig,
    ModelConfig,
    NetConfig,
    Ridge2Config,
    SACNNConfig,
    SelfAttentionConfig,
    TabularConfig,
)
from hemexp.config.sweeps import (
    LOWER_IS_BETTER,
    GPUsConfig,
    LocalConfig,
    LoggerConfig,
    RayConfig,
    SearchConfig,
    SlurmConfig,
    WhereConfig,
)

__all__ = [
    "BASELINES", "LOWER_IS_BETTER", "NOT_HASHED", "TIDY_FILES", "WORKBOOKS", "AttentionConfig", "BaselineConfig",
    "BoostingConfig", "CNNConfig", "DataConfig", "DebugConfig", "EstimatorConfig", "EvaluationConfig",
    "FeaturesConfig", "FirthConfig", "ForestConfig", "FractionSplitConfig", "GPUsConfig", "KFoldSplitConfig",
    "LabelConfig", "LocalConfig", "LoggerConfig", "LogisticConfig", "MLPConfig", "ModelConfig", "NetConfig",
    "OptimizerConfig", "PredictConfig", "PrepareConfig", "RayConfig", "ReportConfig", "ReportOptions",
    "Ridge2Config", "SACNNConfig", "SearchConfig", "SelfAttentionConfig", "SlurmConfig", "SplitConfig",
    "SyntheticDataConfig", "TabularConfig", "TrainConfig", "TrainerConfig", "WhereConfig", "config_hash",
    "resolve_data",
]  # fmt: skip
