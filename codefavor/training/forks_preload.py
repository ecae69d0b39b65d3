"""What `forks.py` imports once: what a launch imports before Axolotl patches anything.

Nothing else of Axolotl or TRL: their trainers take what the recipe's plugins and Axolotl's patches
have left when they are imported.
"""

from __future__ import annotations

import gc
import logging
from importlib import import_module

from codefavor.training.stand_in import hide_gpu_kernels

hide_gpu_kernels()
logging.disable(logging.WARNING)  # about GPU kernels that do not load
for _name in (
    "axolotl.cli.args",
    "axolotl.cli.checks",
    "axolotl.cli.config",
    "axolotl.integrations.base",
    "axolotl.common.datasets",
    "axolotl.train",
    # Other packages that come later, and are patched by nobody.
    "evaluate",
    "mistral_common.tokens.tokenizers.base",
    "torch.distributed.optim",
    "trackio",
    "wandb",
    "codefavor.sandbox",
):
    import_module(_name)
logging.disable(logging.NOTSET)
# Trainers collect garbage at every step, most of which would be these modules, looked at in vain.
gc.freeze()
