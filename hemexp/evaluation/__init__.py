"""Evaluation of a model: scores with intervals, resampling, and the measures that TRIPOD+AI asks for."""
