"""Weight files that somebody made to hurt: safetensors written byte by byte, and pickles that carry a program."""

import json
import os
import pickle
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

MODULE = "diffusion_model.layers.0.attention.qkv"
DOWN, UP = f"{MODULE}.lora_down.weight", f"{MODULE}.lora_up.weight"
SOUND = {
    DOWN: {"dtype": "F32", "shape": [2, 6], "data_offsets": [0, 48]},
    UP: {"dtype": "F32", "shape": [8, 2], "data_offsets": [48, 112]},
}
DATA = struct.pack("<28f", *range(28))


def raw(header: bytes, data: bytes = DATA, *, length: int | None = None) -> bytes:
    """A file that states ``length`` bytes of header (None: what it has)."""
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def file_of(entries: Mapping[str, Any], data: bytes = DATA) -> bytes:
    return raw(json.dumps(entries).encode(), data)


def changed(**fields: Any) -> bytes:
    """The sound file with other fields of one tensor."""
    return file_of({**SOUND, UP: {**SOUND[UP], **fields}})


def lengths() -> Iterator[tuple[str, bytes]]:
    header = json.dumps(SOUND).encode()
    for length in (0, 1, 2, len(header) - 1, len(header) + 113, 100_000_001, 2**31, 2**63, 2**64 - 1):
        yield f"header of {length} bytes", raw(header, length=length)
    yield "nothing", b""
    yield "seven bytes", b"\0" * 7
    yield "a length alone", struct.pack("<Q", 100)
    for cut in (1, 50, 112, 150):
        yield f"{cut} bytes lost", file_of(SOUND)[:-cut]


def headers() -> Iterator[tuple[str, bytes]]:
    for name, text in {
        "no JSON": b"x" * 60, "a list": b"[]", "a text": b'"abc"', "null": b"null", "NaN": b"NaN", "half": b'{"a":',
        "no UTF-8": b'{"\xff\xfe": {}}', "deep": b"[" * 100_000, "deep objects": b'{"a":' * 50_000,
        "endless number": b'{"a":{"dtype":"F32","shape":[' + b"9" * 10_000 + b'],"data_offsets":[0,4]}}',
        "a tensor of text": b'{"a": "b"}', "a tensor of nothing": b'{"a": {}}', "a tensor of null": b'{"a": null}',
        "metadata of numbers": b'{"__metadata__": 5}', "metadata of lists": b'{"__metadata__": {"a": [1]}}',
        "no tensors": b"{}",
    }.items():  # fmt: skip
        yield name, raw(text)


def fields() -> Iterator[tuple[str, bytes]]:
    for offsets in ([48, 113], [48, 10**30], [112, 48], [-64, 48], [0, 64], [48], [48, 112, 5], "48", [48.0, 112.5],
                    [True, 112], [None, None], {"a": 1}, [10**400, 10**400 + 64]):  # fmt: skip
        yield f"offsets {str(offsets)[:30]}", changed(data_offsets=offsets)
    for shape in ([8, 3], [-8, -2], [8.5, 2], [10**30, 2], [2**32, 2**32], "82", [[8, 2]], [0, 2], [], [1] * 5000,
                  [True, 16], None, {}):  # fmt: skip
        yield f"shape {str(shape)[:30]}", changed(shape=shape)
    for dtype in ("I8", "BOOL", "U8", "F4", "F16", "C64", "", "__import__('os')", 5, None, ["F32"]):
        yield f"dtype {dtype!r}", changed(dtype=dtype)
    for number in (float("nan"), float("inf"), float("-inf")):
        yield f"weights of {number}", file_of(SOUND, DATA[:-4] + struct.pack("<f", number))


def names() -> Iterator[tuple[str, bytes]]:
    """Files without a fault but that they are for something else, or call their tensors oddly."""
    for name in (
        "",
        "\0",
        "../../etc/passwd",
        "<script>",
        "a" * 1_000_000,
        "\ud800",
        "__class__.__init__",
        "x." * 50_000,
    ):
        yield f"called {name[:12]!r}", file_of({name: {"dtype": "F32", "shape": [28], "data_offsets": [0, 112]}})
    for module in (
        "lora_unet_down_blocks_0_attentions_0_proj_in", "lora_te_text_model_encoder_layers_0_mlp_fc1",
        "transformer.single_transformer_blocks.0.attn.to_q", "diffusion_model.double_blocks.0.img_attn.qkv",
        "diffusion_model.layers.1000000000.attention.qkv",
    ):  # fmt: skip
        halves = (f"{module}.lora_down.weight", f"{module}.lora_up.weight")
        yield f"for {module}", file_of(dict(zip(halves, SOUND.values(), strict=True)))
    yield "one half", file_of({DOWN: SOUND[DOWN]}, DATA[:48])
    yield "100,000 keys", many_keys(100_000)


def many_keys(count: int) -> bytes:
    """So many tensors of one number that mean nothing here."""
    tensors = {
        f"tensor.{at}": {"dtype": "F32", "shape": [1], "data_offsets": [4 * at, 4 * at + 4]} for at in range(count)
    }
    return file_of(tensors, bytes(4 * count))


def with_metadata(text_bytes: int) -> bytes:
    """A sound LoRA with so much free text."""
    return file_of({"__metadata__": {"ss_tag_frequency": "x" * text_bytes, "<script>": "alert(1)"}, **SOUND})


class Payload:
    """Unpickled by anybody who trusts it, this makes a file."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self._mark}'",)


def pickles(mark: Path) -> Iterator[tuple[str, bytes]]:
    """In every protocol, and as the old form of torch."""
    for protocol in range(6):
        yield f"protocol {protocol}", pickle.dumps({"weight": Payload(mark)}, protocol=protocol)
    yield "by hand", f"cos\nsystem\n(S'touch {mark}'\ntR.".encode()
    yield "a program behind tensors", pickle.dumps({}) + pickle.dumps(Payload(mark))
