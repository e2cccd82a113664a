"""What is inferred from the released model's shapes (no weights are needed for that) is its published config."""

from collections.abc import Mapping, Sequence

import pytest
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import Gemma3TextConfig, Gemma3TextModel

from trainer_core.contracts.errors import UserError
from trainer_core.model.gemma import gemma_config
from trainer_core.model.nextdit import NextDiT
from trainer_core.model.vae_names import VaeNames, vae_config
from trainer_core.planning.transformer_config import inferred

FLUX_VAE = {"latent_channels": 16, "block_out_channels": [128, 256, 512, 512], "layers_per_block": 2}


class Shapes:
    """Open files of which only names and shapes exist."""

    location = "released model"

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors = dict(tensors)

    def names(self) -> Sequence[str]:
        return sorted(self.tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self.tensors[name].shape)

    def dtype(self, name: str) -> torch.dtype:
        return torch.bfloat16

    def read(self, name: str) -> Tensor:
        return self.tensors[name]

    def close(self) -> None: ...


def test_transformer() -> None:
    with torch.device("meta"):
        source = Shapes(NextDiT().state_dict())
    assert len(source.names()) == 535
    assert inferred(source) == {
        "patch_size": 2, "in_channels": 16, "dim": 2304, "n_layers": 36, "n_refiner_layers": 2, "n_heads": 24,
        "n_kv_heads": 8, "axes_dims": (32, 32, 32), "axes_lens": (1024, 512, 512), "qk_norm": True,
        "cap_feat_dim": 2560, "clip_text_dim": 1024,
    }  # fmt: skip


def test_gemma_3_4b() -> None:
    published = Gemma3TextConfig(
        hidden_size=2560, intermediate_size=10240, num_hidden_layers=34, sliding_window=1024,
        rope_scaling={"factor": 8.0, "rope_type": "linear"},
    )  # fmt: skip
    with torch.device("meta"):
        weights = Gemma3TextModel(published).state_dict()
    found = Gemma3TextConfig.from_dict(gemma_config(Shapes({f"model.{n}": v for n, v in weights.items()}))).to_dict()
    wanted = published.to_dict()
    different = {key for key in wanted if found.get(key) != wanted[key]}
    assert different <= {"architectures", "_sliding_window_pattern", "query_pre_attn_scalar"}
    assert found["query_pre_attn_scalar"] == wanted["query_pre_attn_scalar"] == 256


def test_flux_vae() -> None:
    kinds = {"down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4}
    with torch.device("meta"):
        weights = AutoencoderKL(**FLUX_VAE, **kinds, use_quant_conv=False, use_post_quant_conv=False).state_dict()
    config = vae_config(VaeNames(Shapes(weights)))
    assert {key: config[key] for key in FLUX_VAE} == FLUX_VAE
    assert (config["norm_num_groups"], config["scaling_factor"], config["shift_factor"]) == (32, 0.3611, 0.1159)


def test_a_gap_in_the_layers_is_named_and_not_filled() -> None:
    with torch.device("meta"):
        weights = NextDiT(n_layers=2).state_dict()
    weights["layers.999999999.attention.out.weight"] = torch.zeros(1)
    with pytest.raises(UserError, match=r"layers\.2\."):
        inferred(Shapes(weights))
