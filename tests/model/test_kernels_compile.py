"""Triton compiles every kernel for the cards that people own, without one at hand."""

import inspect
import os
from pathlib import Path

import pytest

from trainer_core.planning.shapes import Dimensions

triton = pytest.importorskip("triton", reason="Triton's wheels are for Linux")
if "TRITON_INTERPRET" in os.environ:
    pytest.skip("nothing is compiled where Triton interprets", allow_module_level=True)

from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from trainer_core.model import kernels  # noqa: E402

# RTX 20 (which has no bf16 of its own, and trains in it all the same), 30, 40, H100, RTX 50.
CARDS = ((75, "fp16"), (75, "bf16"), (86, "bf16"), (89, "bf16"), (90, "bf16"), (120, "bf16"))
DIMS = Dimensions()
CONSTANTS = {
    "MODE": 2, "ADD": True, "SUM": True, "ROWS": kernels.ROWS, "HEADS": DIMS.n_heads, "KV_HEADS": DIMS.n_kv_heads,
    "PAIRS": DIMS.head_dim // 2, "GROUP": kernels.GROUP,
}  # fmt: skip
BLOCKS = {"rms": 4096, "modulation": kernels.COLUMNS, "heads": 64, "gate": kernels.ELEMENTS, "masked": kernels.ELEMENTS}
TYPES = {"inverse": "*fp32", "parts": "*fp32", "table": "*fp32", "kept": "*u8", "eps": "fp32", "factor": "fp32"}
WHOLE = ("tokens", "width", "stride", "programs", "count")
ALL = [name for name, value in vars(kernels).items() if name.startswith("_") and hasattr(value, "arg_names")]


def test_no_kernel_is_forgotten() -> None:
    jitted = inspect.getsource(kernels).count("@triton.jit")
    # Two are only called by others.
    assert len(ALL) == jitted == 10 and {"_tanh", "_rms_root"} < set(ALL)


@pytest.mark.parametrize(("card", "numbers"), CARDS)
@pytest.mark.parametrize("name", [name for name in ALL if name not in ("_tanh", "_rms_root")])
def test_it_compiles(name: str, card: int, numbers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    kernel = getattr(kernels, name)
    constants = {**CONSTANTS, "BLOCK": BLOCKS[name.split("_")[1]]}
    strides = {argument: "i64" for argument in kernel.arg_names if argument.startswith(("q_", "k_", "v_"))}
    strides = {argument: kind for argument, kind in strides.items() if not argument.endswith("weight")}
    types = {**{argument: "i32" for argument in WHOLE}, **TYPES, **strides}
    signature = {
        argument: "constexpr" if argument.isupper() else types.get(argument, f"*{numbers}")
        for argument in kernel.arg_names
    }
    given = {argument: constants[argument] for argument in kernel.arg_names if argument.isupper()}
    made = triton.compile(
        ASTSource(fn=kernel, signature=signature, constexprs=given), target=GPUTarget("cuda", card, 32)
    )
    assert made.asm["cubin"]
