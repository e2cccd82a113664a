import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL

from trainer_core.contracts.errors import UserError
from trainer_core.model.vae import load_vae, vae_dtype

PIXELS = torch.linspace(-1, 1, 2 * 3 * 16 * 24).reshape(2, 3, 16, 24)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, Any]:
    torch.manual_seed(0)
    model: Any = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        norm_num_groups=4,
        latent_channels=16,
        scaling_factor=0.3611,
        shift_factor=0.1159,
        use_quant_conv=False,
        use_post_quant_conv=False,
    ).eval()
    model.save_pretrained(tmp_path)
    return tmp_path, model


def edit_config(folder: Path, **changes: object) -> None:
    file = folder / "config.json"
    values = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))


@torch.no_grad()
def mode(model: Any) -> torch.Tensor:
    return model.encode(PIXELS).latent_dist.mode()


def test_encode_is_the_shifted_and_scaled_mode(saved: tuple[Path, Any]) -> None:
    folder, model = saved
    codec = load_vae(folder, dtype=torch.float32)
    latents = codec.encode(PIXELS)
    torch.testing.assert_close(latents, (mode(model) - 0.1159) * 0.3611)
    assert latents.shape == (2, 16, 2, 3) and torch.equal(latents, codec.encode(PIXELS))
    assert (codec.channels, codec.downscale) == (16, 8)


def test_decode_undoes_shift_and_scale(saved: tuple[Path, Any]) -> None:
    folder, model = saved
    codec = load_vae(folder, dtype=torch.float32)
    with torch.no_grad():
        wanted = model.decode(mode(model)).sample
    torch.testing.assert_close(codec.decode(codec.encode(PIXELS)), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "lacking"),
    [
        ({"scaling_factor": None, "shift_factor": None}, "scaling_factor, shift_factor"),
        ({"shift_factor": None}, "shift_factor"),
        ({"scaling_factor": 0}, "scaling_factor"),
        ({"scaling_factor": "0.3611"}, "scaling_factor"),
    ],
)
def test_constants_are_never_guessed(saved: tuple[Path, Any], changes: dict[str, object], lacking: str) -> None:
    edit_config(saved[0], **changes)
    with pytest.raises(UserError, match=f"config.json does not state {lacking}:") as caught:
        load_vae(saved[0], dtype=torch.float32)
    assert caught.value.code == "vae_constants_missing"
    assert '"scaling_factor": 0.3611, "shift_factor": 0.1159' in caught.value.hints[0]


def test_a_codec_without_a_shift_says_so(saved: tuple[Path, Any]) -> None:
    edit_config(saved[0], scaling_factor=1, shift_factor=0)
    codec = load_vae(saved[0], dtype=torch.float32)
    assert (codec.scaling, codec.shift) == (1.0, 0.0)


def test_bf16_weights_give_float32_latents(saved: tuple[Path, Any]) -> None:
    codec = load_vae(saved[0], dtype=torch.bfloat16)
    latents = codec.encode(PIXELS)
    assert {p.dtype for p in codec.model.parameters()} == {torch.bfloat16}
    assert latents.dtype == codec.decode(latents).dtype == torch.float32


def test_loading_is_strict(saved: tuple[Path, Any]) -> None:
    edit_config(saved[0], latent_channels=4)
    with pytest.raises(UserError, match="wrong shape") as shape:
        load_vae(saved[0], dtype=torch.float32)
    edit_config(saved[0], _class_name="AutoencoderDC")
    with pytest.raises(UserError, match="AutoencoderDC") as kind:
        load_vae(saved[0], dtype=torch.float32)
    assert (shape.value.code, kind.value.code) == ("weights_mismatch", "wrong_model")


@pytest.mark.parametrize(("capability", "dtype"), [((7, 5), torch.float32), ((8, 6), torch.bfloat16)])
def test_bf16_only_where_a_card_computes_it(
    capability: tuple[int, int], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert vae_dtype(torch.device("cuda")) == dtype and vae_dtype(torch.device("cpu")) == torch.float32
