"""What a trainer loads when it starts."""

import subprocess
import sys

import pytest
import torch

LOADED = "print('bitsandbytes' in sys.modules); import bitsandbytes"


def loaded_after(imports: str) -> bool:
    """Whether bitsandbytes is loaded then; anyone may still import it afterwards."""
    command = [sys.executable, "-c", f"import sys; {imports}; {LOADED}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "True"


def test_bitsandbytes_is_loaded_where_it_can_be_used_only() -> None:
    assert loaded_after("import trainer_core.training.run") == torch.cuda.is_available()


@pytest.mark.parametrize("first", ["trainer_core.training.optim", "diffusers.optimization, diffusers.utils"])
def test_whatever_is_imported_first(first: str) -> None:
    loaded_after(f"import {first}, trainer_core.training.adapters, trainer_core.model.vae")
