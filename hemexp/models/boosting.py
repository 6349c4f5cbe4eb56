"""Gradient boosting with XGBoost, LightGBM and CatBoost. A checkpoint holds the package's model file without its logs.

The model file holds thresholds. A threshold is the midpoint of two neighboring training values of an input.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Self

import numpy as np

from hemexp.errors import UserError
from hemexp.models.estimator import Estimator, require, to_bytes, to_tensor
from hemexp.types import Array


@dataclass(kw_only=True, eq=False)
class Boosting(Estimator):
    """Settings of the three packages.

    Attributes:
        NAME: of the model and of its package.
        booster: the package's fitted model.
    """

    NAME: ClassVar[str]
    num_trees: int
    learning_rate: float
    max_depth: int
    booster: Any = field(init=False, default=None)

    @property
    def package(self) -> Any:
        """The package, which is imported here."""
        return require(self.NAME, self.NAME, "boosting")


@dataclass(kw_only=True, eq=False)
class XGBoost(Boosting):
    """XGBoost with exact splits. With histograms, thresholds in the file would be values of single patients."""

    NAME = "xgboost"

    def fit(self, X: Array, y: Array) -> Self:
        """Grow the trees."""
        settings = {
            "objective": "binary:logistic",
            "tree_method": "exact",
            "learning_rate": self.learning_rate,
            "max_depth": self.max_depth,
            "seed": self.seed,
            "nthread": 1,
            "verbosity": 0,
        }
        self.booster = self.package.train(settings, self.package.DMatrix(X, y, nthread=1), self.num_trees)
        return self

    def risk(self, X: Array) -> Array:
        """Return the booster's probabilities."""
        return np.asarray(self.booster.predict(self.package.DMatrix(X, nthread=1)), dtype=np.float64)

    def content(self) -> dict[str, Any]:
        """Return the model file."""
        return {"booster": to_tensor(self.booster.save_raw("ubj"))}

    def restore(self, content: Mapping[str, Any]) -> Self:
        """Read the model file."""
        self.booster = self.package.Booster({"nthread": 1}, model_file=bytearray(to_bytes(content["booster"])))
        return self


@dataclass(kw_only=True, eq=False)
class LightGBM(Boosting):
    """LightGBM with at least 5 patients a leaf, similar to XGBoost; its default of 20 would prevent most splits."""

    NAME = "lightgbm"

    def fit(self, X: Array, y: Array) -> Self:
        """Grow the trees."""
        settings = {
            "objective": "binary",
            "learning_rate": self.learning_rate,
            "max_depth": self.max_depth,
            "num_leaves": 2**self.max_depth,
            "min_data_in_leaf": 5,
            "seed": self.seed % 2**31,
            "num_threads": 1,
            "deterministic": True,
            "force_row_wise": True,  # otherwise it times two methods, which may sum in different orders
            "verbosity": -1,
        }
        self.booster = self.package.train(settings, self.package.Dataset(X, y), self.num_trees)
        return self

    def risk(self, X: Array) -> Array:
        """Return the booster's probabilities."""
        return np.asarray(self.booster.predict(X, num_threads=1))

    def content(self) -> dict[str, Any]:
        """Return the model's text without the range of each input: its ends are values of single patients."""
        ranges = " ".join(["[-inf:inf]"] * self.booster.num_feature())
        text = re.sub("^feature_infos=.*$", f"feature_infos={ranges}", self.booster.model_to_string(), flags=re.M)
        return {"booster": text}

    def restore(self, content: Mapping[str, Any]) -> Self:
        """Read the model file."""
        self.booster = self.package.Booster(model_str=content["booster"])
        return self


@dataclass(kw_only=True, eq=False)
class CatBoost(Boosting):
    """CatBoost, started from the prevalence like the others.

    Raises:
        UserError: all inputs are constant.
    """

    NAME = "catboost"

    def fit(self, X: Array, y: Array) -> Self:
        """Grow the trees."""
        package = self.package  # the error of a missing package comes first
        if not (X.max(axis=0) > X.min(axis=0)).any():
            raise UserError("model=catboost: inputs that vary=0; rule: at least 1")
        self.booster = package.CatBoost(
            {
                "loss_function": "Logloss",
                "boost_from_average": True,
                "iterations": self.num_trees,
                "learning_rate": self.learning_rate,
                "depth": self.max_depth,
                "random_seed": self.seed,
                "thread_count": 1,
                "logging_level": "Silent",
                "allow_writing_files": False,
            }
        ).fit(X, y)
        notes = self.booster.get_metadata()
        for name in list(notes.keys()):  # time, place and a random id of the training, which would differ each time
            del notes[name]
        return self

    def risk(self, X: Array) -> Array:
        """Return the booster's probabilities."""
        return np.asarray(self.booster.predict(X, prediction_type="Probability", thread_count=1)[:, 1])

    def content(self) -> dict[str, Any]:
        """Return the model file."""
        with TemporaryDirectory() as folder:  # CatBoost can save only to a file
            path = Path(folder) / "booster.cbm"
            self.booster.save_model(str(path))
            return {"booster": to_tensor(path.read_bytes())}

    def restore(self, content: Mapping[str, Any]) -> Self:
        """Read the model file."""
        self.booster = self.package.CatBoost().load_model(blob=to_bytes(content["booster"]))
        return self
