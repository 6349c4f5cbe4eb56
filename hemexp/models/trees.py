"""scikit-learn's tree ensembles, stored as arrays. Another release can read them, and nothing is unpickled.

A tree holds a threshold in each node and a number in each leaf. A threshold is the midpoint of two neighboring training
values of an input. A tree does not hold the values of a single patient.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from scipy.special import expit, logit
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

from hemexp.models.estimator import Estimator
from hemexp.types import Array

BATCH_SIZE = 256  # patients whose leaves are computed at once


@dataclass(kw_only=True, eq=False)
class TreeEnsemble(Estimator):
    """Binary trees as arrays over all their nodes. Both branches of a leaf point to the leaf itself.

    Attributes:
        num_trees: T, the number of trees.
        roots: (T,) first node of each tree.
        branches: (nodes, 2) next node for a value up to the threshold, and for a larger one.
        inputs: (nodes,) index of the input that is compared with the threshold.
        thresholds: (nodes,) in units of the scaled inputs.
        values: (nodes,) contribution of each leaf.
        depth: of the deepest tree.
        start: value before the first tree.
    """

    fitted_names: ClassVar[tuple[str, ...]] = ("roots", "branches", "inputs", "thresholds", "values", "depth", "start")
    num_trees: int
    roots: Array = field(init=False)
    branches: Array = field(init=False)
    inputs: Array = field(init=False)
    thresholds: Array = field(init=False)
    values: Array = field(init=False)
    depth: int = field(init=False)
    start: float = field(init=False, default=0.0)

    def store_trees(self, trees: Sequence[Any], column: int) -> None:
        """Convert scikit-learn's trees to arrays.

        Args:
            trees: with scikit-learn's attributes ``children_left``, ``feature`` and so on.
            column: of the leaves' values to store.
        """
        counts = [tree.node_count for tree in trees]
        roots = np.cumsum([0, *counts[:-1]])
        pairs = [np.column_stack([tree.children_left, tree.children_right]) for tree in trees]
        children = np.concatenate(pairs)  # (nodes, 2), -1 in leaves
        leaf = children[:, 0] < 0
        next_nodes = children + np.repeat(roots, counts)[:, None]
        self.roots = roots.astype(np.int32)
        self.branches = np.where(leaf[:, None], np.arange(len(leaf))[:, None], next_nodes).astype(np.int32)
        self.inputs = np.where(leaf, 0, np.concatenate([tree.feature for tree in trees])).astype(np.int32)
        self.thresholds = np.concatenate([tree.threshold for tree in trees])
        self.values = np.concatenate([tree.value[:, 0, column] for tree in trees])
        self.depth = int(max(tree.max_depth for tree in trees))

    def sum_trees(self, X: Array) -> Array:
        """Return the sum over trees of each patient's leaf values.

        Shape:
            X: (N, F). Output: (N,).
        """
        X = X.astype(np.float32)  # scikit-learn compares in single precision
        batches = (X[start : start + BATCH_SIZE] for start in range(0, len(X), BATCH_SIZE))
        return np.concatenate([self._sum_batch(batch) for batch in batches])

    def _sum_batch(self, X: Array) -> Array:
        nodes = np.tile(self.roots, (len(X), 1))  # (N, T)
        rows = np.arange(len(X))[:, None]
        for _ in range(min(self.depth, len(self.inputs))):  # a changed file may have any depth
            larger = X[rows, self.inputs[nodes]] > self.thresholds[nodes]
            nodes = self.branches[nodes, larger.astype(int)]
        return np.asarray(self.values[nodes].sum(axis=1))


@dataclass(kw_only=True, eq=False)
class RandomForest(TreeEnsemble):
    """A random forest; `max_features` is the share of inputs tried at a split, or None for the square root."""

    min_samples_leaf: int
    max_features: float | None

    def fit(self, X: Array, y: Array) -> Self:
        """Grow the trees."""
        model = RandomForestClassifier(
            self.num_trees,
            min_samples_leaf=self.min_samples_leaf,
            max_features="sqrt" if self.max_features is None else float(self.max_features),
            random_state=self.seed,
            n_jobs=1,
        ).fit(X, y)
        self.store_trees([tree.tree_ for tree in model.estimators_], column=1)
        return self

    def risk(self, X: Array) -> Array:
        """Return the mean over trees of the share of expansions in the patient's leaf."""
        return np.clip(self.sum_trees(X) / self.num_trees, 0, 1)  # rounding errors


@dataclass(kw_only=True, eq=False)
class GradientBoosting(TreeEnsemble):
    """Gradient boosting with exact splits.

    scikit-learn's histogram-based variant bins the values and needs 20 patients in a leaf. It is faster from about
    10,000 rows on; with 60 to 600 rows it loses thresholds and saves no time.
    """

    learning_rate: float
    max_depth: int

    def fit(self, X: Array, y: Array) -> Self:
        """Grow the trees."""
        model = GradientBoostingClassifier(
            n_estimators=self.num_trees,
            learning_rate=self.learning_rate,
            max_depth=self.max_depth,
            random_state=self.seed,
        ).fit(X, y)
        self.store_trees([tree.tree_ for tree in model.estimators_[:, 0]], column=0)
        self.start = float(logit(np.mean(y)))
        return self

    def risk(self, X: Array) -> Array:
        """Return ``expit`` of the prevalence's logit plus the sum of the trees' steps."""
        return np.asarray(expit(self.start + self.learning_rate * self.sum_trees(X)))
