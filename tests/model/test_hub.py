import errno
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_hub import TOKEN, FakeHub, serving
from huggingface_hub import constants

from trainer_core.contracts.errors import UserError
from trainer_core.model import hub as hub_module
from trainer_core.model.hub import HubPlace, parse_place, resolve_part

GEMMA = {
    name: name.encode()
    for name in (
        ".gitattributes", "README.md", "config.json", "generation_config.json", "tokenizer.json", "tokenizer.model",
        "tokenizer_config.json", "special_tokens_map.json", "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "gemma.gguf",
        "onnx/model.onnx", "onnx/config.json", "original/model.safetensors",
    )
}  # fmt: skip
BASE = {
    f"{part}/{name}": f"{part}/{name}".encode()
    for part in ("transformer", "text_encoder", "clip_model", "vae")
    for name in ("config.json", "tokenizer.json", "model.safetensors", "modeling.py")
}
FLUX = {
    name: name.encode()
    for name in (
        "ae.safetensors", "flux1-dev.safetensors", "vae/config.json", "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/config.json",
    )
}  # fmt: skip
COMFY = {
    f"split_files/{name}.safetensors": name.encode()
    for name in ("diffusion_models/NewBie", "text_encoders/gemma_3_4b_it_bf16", "text_encoders/jina_clip_v2", "vae/ae")
}
REPOS = {
    "google/gemma": GEMMA,
    "NewBie/base": BASE,
    "bfl/flux": FLUX,
    "Comfy/repack": COMFY,
    "odd/empty": {"a.txt": b""},
}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """The library reads its settings from the environment when it is imported; here they are set in place."""
    with serving(REPOS) as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE"):
            monkeypatch.delenv(name, raising=False)
        yield server


def refusal(text: str, kind: str = "gemma", token: str | None = None) -> UserError:
    with pytest.raises(UserError) as caught:
        resolve_part(text, kind, token)
    assert TOKEN not in str(caught.value) + " ".join(caught.value.hints)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value


@pytest.mark.parametrize(
    "text, place",
    [
        ("google/gemma-3-4b-it", ("google/gemma-3-4b-it", None, "")),
        ("hf:google/gemma-3-4b-it", ("google/gemma-3-4b-it", None, "")),
        ("NewBie-AI/NewBie-image-Exp0.1/vae", ("NewBie-AI/NewBie-image-Exp0.1", None, "vae")),
        ("https://huggingface.co/org/name", ("org/name", None, "")),
        ("https://huggingface.co/org/name/", ("org/name", None, "")),
        ("huggingface.co/org/name/tree/main/a/b", ("org/name", "main", "a/b")),
        ("https://hf.co/org/name/blob/main/x.safetensors?download=true", ("org/name", "main", "x.safetensors")),
        ("https://example.com/org/name", None),
        ("/abs/path", None), ("./a/b", None), ("../a/b", None), ("C:\\x\\y", None), ("one", None), ("", None),
        ("models/newbie.safetensors", None), ("org/name/vae/x.safetensors", ("org/name", None, "vae/x.safetensors")),
        ("a/b/../../c", None), ("a/b c/\x00", None),
    ],
)  # fmt: skip
def test_ids_as_people_write_them(text: str, place: tuple[str, str | None, str] | None) -> None:
    wanted = HubPlace(repo=place[0], revision=place[1], inside=place[2]) if place else None
    assert parse_place(text) == wanted


def test_a_weight_file_in_a_folder_that_is_here_is_a_mistyped_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models/vae").mkdir(parents=True)
    assert parse_place("models/vae/ae.safetensors") is None and parse_place("models/vae/more") is not None
    with pytest.raises(UserError, match="neither an existing path"):
        resolve_part("models/vae/ae.safetensors", "vae")


def test_an_existing_path_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: FakeHub) -> None:
    (tmp_path / "google" / "gemma").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert resolve_part("google/gemma", "gemma") == Path("google/gemma") and not hub.asked


def test_only_what_is_needed_is_fetched(hub: FakeHub) -> None:
    folder = resolve_part("google/gemma", "gemma")
    assert hub.fetched() == {
        "config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json",
        "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json",
    }  # fmt: skip
    assert (folder / "config.json").read_bytes() == b"config.json"


@pytest.mark.parametrize(
    "text, kind, inside, files",
    [
        ("NewBie/base", "transformer", "transformer", {"config.json", "model.safetensors"}),
        ("NewBie/base", "clip", "clip_model", {"config.json", "model.safetensors", "tokenizer.json"}),
        ("NewBie/base/vae", "vae", "vae", {"config.json", "model.safetensors"}),
        ("bfl/flux", "vae", "vae", {"config.json", "diffusion_pytorch_model.safetensors"}),
        ("bfl/flux/ae.safetensors", "vae", "ae.safetensors", {"ae.safetensors"}),
        ("Comfy/repack", "clip", "split_files/text_encoders/jina_clip_v2.safetensors", {"jina_clip_v2.safetensors"}),
        ("Comfy/repack", "transformer", "split_files/diffusion_models/NewBie.safetensors", {"NewBie.safetensors"}),
    ],
)
def test_the_fitting_part_of_a_repository(text: str, kind: str, inside: str, files: set[str], hub: FakeHub) -> None:
    path = resolve_part(text, kind)
    assert path.exists() and path.as_posix().endswith(inside)
    assert {Path(name).name for name in hub.fetched()} == files


def test_13_what_is_in_the_cache_needs_no_network(hub: FakeHub, tmp_path: Path) -> None:
    first = resolve_part("google/gemma", "gemma")
    asked = len(hub.asked)
    assert resolve_part("hf:google/gemma", "gemma") == first and len(hub.asked) == asked
    # Fetched by an older client, which kept no list of the repository's files.
    for listing in (tmp_path / "cache").rglob("trees/*.json"):
        listing.unlink()
    assert resolve_part("google/gemma", "gemma") == first and len(hub.asked) == asked
    (first / "model-00002-of-00002.safetensors").unlink()
    resolve_part("google/gemma", "gemma")
    assert len(hub.asked) > asked


def test_gated(hub: FakeHub) -> None:
    hub.gated.add("google/gemma")
    for token, word in ((None, "no token was sent"), (TOKEN, "has not been granted")):
        error = refusal("google/gemma", token=token)
        assert error.code == "hub_gated" and word in error.message
        assert "https://huggingface.co/google/gemma" in error.hints[0] and "HF_TOKEN" in error.hints[1]


def test_a_private_repository_needs_the_token(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.closed.add("google/gemma")
    error = refusal("google/gemma")
    assert error.code == "hub_not_found" and "--token" in " ".join(error.hints)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert resolve_part("google/gemma", "gemma").is_dir()


def test_a_wrong_token_is_refused_without_being_shown(hub: FakeHub) -> None:
    error = refusal("google/gemma", token="hf_WrOnG")
    assert error.code == "hub_token" and "hf_WrOnG" not in str(error) + str(error.hints)
    for bad in ("hf_WrOnG\r\nX: y", "hf_Wr OnG", "hf_WrÖnG"):
        error = refusal("google/gemma", token=bad)
        assert error.code == "hub_token" and "OnG" not in str(error) and "nG" not in str(error.hints)


@pytest.mark.parametrize(
    "text, code", [("no/body", "hub_not_found"), ("google/gemma/tree/dev", "part_missing"), ("odd/empty", "hub_unfit")]
)
def test_what_is_not_there(text: str, code: str, hub: FakeHub) -> None:
    if code == "part_missing":
        text, code = f"https://huggingface.co/{text}", "hub_not_found"
    assert refusal(text).code == code


def test_neither_path_nor_id(hub: FakeHub) -> None:
    assert refusal("/nowhere/at/all").code == "part_missing" and not hub.asked


def test_offline(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_part("NewBie/base", "vae")
    asked = len(hub.asked)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert resolve_part("NewBie/base", "vae").is_dir()
    assert refusal("google/gemma").code == "hub_offline" and len(hub.asked) == asked


def test_the_hub_is_down_or_not_reachable(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.status = 500
    error = refusal("google/gemma")
    assert error.code == "hub_unreachable" and "500" in error.message
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert refusal("google/gemma").code == "hub_unreachable"


def test_a_full_disk_and_an_unwritable_cache(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(hub_module, "snapshot_download", full)
        patch.setattr(hub_module, "_in_cache", lambda *_: None)
        assert refusal("google/gemma").code == "disk_full"
    Path(constants.HF_HUB_CACHE).write_text("a file where the cache should be")
    assert refusal("google/gemma").code == "hub_cache"
