"""The configuration: each key with its type, default, help and legal values.

The classes are the schema of ``conf/``. Hydra refuses an unknown key or a wrong type when it composes a configuration;
a section refuses an illegal value when `OmegaConf.to_object` builds it. Nothing here imports pandas or torch.
"""
# ruff: noqa: F403 - the public names of these modules are the names of the package

from hemexp.config.audit import *
from hemexp.config.cohort import *
from hemexp.config.commands import *
from hemexp.config.custom import *
from hemexp.config.debug import *
from hemexp.config.hashing import *
from hemexp.config.models import *
from hemexp.config.optimization import *
from hemexp.config.privacy import *
from hemexp.config.registry import *
from hemexp.config.sweeps import *
from hemexp.config.training import *
