"""The models: networks, baselines and other estimators, each fitted to a training set."""
