"""What a trainer loads when it starts."""

import subprocess
import sys

import torch

LOADED = "import sys, trainer_core.training.run; print('bitsandbytes' in sys.modules); import bitsandbytes"


def test_bitsandbytes_is_loaded_where_it_can_be_used_only():
    """And anyone may still import it afterwards."""
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(torch.cuda.is_available())
