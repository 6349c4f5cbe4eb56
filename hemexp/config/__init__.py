"""The configuration: each key with its type, default, help and legal values.

The classes are the schema of ``conf/``. Hydra refuses an unknown key or a wrong type when it composes a configuration;
a section refuses an illegal value when `OmegaConf.to_object` builds it. Nothing here imports pandas or torch.
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
from hemexp.config.commands import PredictConfig, PrepareConfig, ReportConfig, ReportOptions, TrainConfig
from hemexp.config.debug import DebugConfig
from hemexp.config.hashing import config_hash, hashed_values, list_differences
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
from hemexp.config.training import EvaluationConfig, OptimizerConfig, TrainerConfig

__all__ = [
    "BASELINES", "LOWER_IS_BETTER", "TIDY_FILES", "WORKBOOKS", "AttentionConfig", "BaselineConfig", "BoostingConfig",
    "CNNConfig", "DataConfig", "DebugConfig", "EstimatorConfig", "EvaluationConfig", "FeaturesConfig", "FirthConfig",
    "ForestConfig", "FractionSplitConfig", "GPUsConfig", "KFoldSplitConfig", "LabelConfig", "LocalConfig",
    "LoggerConfig", "LogisticConfig", "MLPConfig", "ModelConfig", "NetConfig", "OptimizerConfig", "PredictConfig",
    "PrepareConfig", "RayConfig", "ReportConfig", "ReportOptions", "Ridge2Config", "SACNNConfig", "SearchConfig",
    "SelfAttentionConfig", "SlurmConfig", "SplitConfig", "SyntheticDataConfig", "TabularConfig", "TrainConfig",
    "TrainerConfig", "WhereConfig", "config_hash", "hashed_values", "list_differences", "resolve_data",
]  # fmt: skip
