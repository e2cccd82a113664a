"""A VAE's tensors under diffusers' names, from diffusers' own or from FLUX's original naming, and its config."""

import re
from typing import Any

from torch import Tensor

from trainer_core.contracts.errors import UserError
from trainer_core.model.renamed import RenamedTensors
from trainer_core.model.weights import OpenFiles, refuse_quantised
from trainer_core.planning.tensor_names import bare_vae_names, looks_like
from trainer_core.planning.tensor_shapes import count_of, length_of, mismatch
from trainer_core.planning.vae_constants import SCALING_FACTOR, SHIFT_FACTOR

WHAT = "VAE"
GROUPS = 32
# For codecs whose channels 32 does not divide: the built-in base's.
NARROW_GROUPS = 8
ORIGINAL_MARK = re.compile(r"^(en|de)coder\.(down|up)\.\d+\.block\.")
_SIDE = r"((?:en|de)coder)"
RENAMES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^encoder\.down\.(\d+)\.block\.(\d+)\.", r"encoder.down_blocks.\1.resnets.\2."),
        (r"^encoder\.down\.(\d+)\.downsample\.", r"encoder.down_blocks.\1.downsamplers.0."),
        (rf"^{_SIDE}\.mid\.block_1\.", r"\1.mid_block.resnets.0."),
        (rf"^{_SIDE}\.mid\.block_2\.", r"\1.mid_block.resnets.1."),
        (rf"^{_SIDE}\.mid\.attn_1\.norm\.", r"\1.mid_block.attentions.0.group_norm."),
        (rf"^{_SIDE}\.mid\.attn_1\.proj_out\.", r"\1.mid_block.attentions.0.to_out.0."),
        (rf"^{_SIDE}\.mid\.attn_1\.([qkv])\.", r"\1.mid_block.attentions.0.to_\2."),
        (rf"^{_SIDE}\.norm_out\.", r"\1.conv_norm_out."),
        (r"\.nin_shortcut\.", ".conv_shortcut."),
    )
)
UP = re.compile(r"^decoder\.up\.(\d+)\.(?:block\.(\d+)|(upsample))\.")


class VaeNames(RenamedTensors):
    """`files` under diffusers' names; the original's 1 x 1 convolutions of the attention are read as matrices."""

    def __init__(self, files: OpenFiles) -> None:
        """Raises UserError: "weights_quantised", "wrong_model" (a file that holds no VAE)."""
        own = bare_vae_names(files.names())
        if own is None:
            raise _no_vae(files)
        refuse_quantised(files, own)
        original = any(ORIGINAL_MARK.match(name) for name in own)
        parts = {(self._renamed(name, own) if original else name): [stored] for name, stored in own.items()}
        super().__init__(files, parts, {})

    @staticmethod
    def _renamed(name: str, own: dict[str, str]) -> str:
        if found := UP.match(name):
            # The original counts the decoder's blocks from the picture, diffusers from the latents.
            levels = 1 + max(int(m[1]) for other in own if (m := UP.match(other)))
            inner = "upsamplers.0" if found[3] else f"resnets.{found[2]}"
            name = f"decoder.up_blocks.{levels - 1 - int(found[1])}.{inner}.{name[found.end() :]}"
        for pattern, replacement in RENAMES:
            name = pattern.sub(replacement, name)
        return name

    def shape(self, name: str) -> tuple[int, ...]:
        shape = super().shape(name)
        return shape[:2] if self._is_matrix(name, shape) else shape

    def read(self, name: str) -> Tensor:
        return super().read(name).reshape(self.shape(name))

    def stored_as_is(self) -> bool:
        """Whether the file already has diffusers' naming."""
        return all(stored == [name] for name, stored in self._parts.items())

    def _is_matrix(self, name: str, shape: tuple[int, ...]) -> bool:
        return ".attentions." in name and len(shape) == 4 and shape[2:] == (1, 1)


def _no_vae(files: OpenFiles) -> UserError:
    names = files.names()
    if any("decoder" in name for name in names):
        return mismatch(WHAT, files.location, missing=["decoder.conv_in.weight"], unexpected=names)
    return UserError(
        "wrong_model",
        f"{files.location} is not a VAE: {looks_like(names)}.",
        ["Use the vae folder of FLUX.1 or of NewBie-image-Exp0.1, or ComfyUI's ae.safetensors."],
    )


def vae_config(source: VaeNames) -> dict[str, Any]:
    """AutoencoderKL's config from its tensors, and FLUX.1's constants where they tell nothing.

    Raises UserError("weights_mismatch") where a tensor is missing that tells a size.
    """
    names = set(source.names())

    def size(name: str) -> int:
        return length_of(source, name, WHAT)

    levels = count_of(source, r"encoder\.down_blocks\.(\d+)\.", WHAT)
    channels = [size(f"encoder.down_blocks.{level}.resnets.0.conv2.weight") for level in range(levels)]
    # The encoder's last layer gives a mean and a variance for each latent channel.
    latents = size("encoder.conv_out.bias") // 2
    return {
        "_class_name": "AutoencoderKL",
        "in_channels": 3,
        "out_channels": size("decoder.conv_out.bias"),
        "latent_channels": latents,
        "block_out_channels": channels,
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "layers_per_block": count_of(source, r"encoder\.down_blocks\.0\.resnets\.(\d+)\.", WHAT),
        "norm_num_groups": GROUPS if all(width % GROUPS == 0 for width in channels) else NARROW_GROUPS,
        "act_fn": "silu",
        "sample_size": 1024,
        "mid_block_add_attention": any(".mid_block.attentions." in name for name in names),
        "use_quant_conv": "quant_conv.weight" in names,
        "use_post_quant_conv": "post_quant_conv.weight" in names,
        "scaling_factor": SCALING_FACTOR,
        "shift_factor": SHIFT_FACTOR,
        "force_upcast": True,
    }
