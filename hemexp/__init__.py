"""Predict hematoma expansion after intracerebral hemorrhage, and report how far the prediction can be trusted.

The names in `__init__.pyi` are the public interface. Each is imported when it is first used, so ``import hemexp`` is
fast.

Example:
    >>> import hemexp
    >>> cfg = hemexp.load_config(hemexp.TrainConfig, ["model.kernel_size=5"])
    >>> result = hemexp.train(cfg, "outputs/first")
"""

import lazy_loader

__version__ = "0.2.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
