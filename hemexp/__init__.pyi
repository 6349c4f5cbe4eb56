from .commands.one_patient import predict_patient as predict_patient
from .commands.predict import predict as predict
from .commands.prepare import prepare as prepare
from .commands.train import train as train
from .commands.update import update as update
from .config import PredictConfig as PredictConfig
from .config import PrepareConfig as PrepareConfig
from .config import TrainConfig as TrainConfig
from .config import UpdateConfig as UpdateConfig
from .config.compose import load_config as load_config
from .config.custom import register_estimator as register_estimator
from .config.custom import register_network as register_network
from .data.datamodule import ExpansionDataModule as ExpansionDataModule
from .data.training_set import build_training_set as build_training_set
from .metrics.own import register_metric as register_metric
from .training.classifiers import AttentionClassifier as AttentionClassifier
from .training.classifiers import CNNClassifier as CNNClassifier
from .training.classifiers import MLPClassifier as MLPClassifier
from .training.classifiers import SACNNClassifier as SACNNClassifier
from .training.fit import fit as fit
from .training.member import FitResult as FitResult
from .training.member import Member as Member

__version__: str
