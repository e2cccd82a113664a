"""Memory of each phase of a run by component: pure arithmetic on sizes. All figures in bytes.

What a phase adds up to is torch's peak allocation (on a CPU: what its tensors take of the process). The driver's
context and the allocator's slack come on top and are stated apart (`reserve`).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.phase_names import ENCODING_GEMMA, ENCODING_IMAGES, ENCODING_JINA, SAMPLING, TRAINING
from trainer_core.planning.activations import activations
from trainer_core.planning.adapter import adapter_shape
from trainer_core.planning.base import BaseSizes, TextEncoder
from trainer_core.planning.codec_memory import decoder_numbers, encoder_numbers
from trainer_core.planning.quantised import base_bytes, quantised_bytes, unpacked_bytes
from trainer_core.planning.shapes import Dimensions, Linear, Targets
from trainer_core.planning.swapped import SwapBytes, swap_bytes
from trainer_core.planning.tape import COMPUTE_BYTES, FP32, Pass

# As training/features.py batches them on a GPU; a CPU takes one at a time.
# What a GPU encodes at once: texts, and pictures of up to 1024 x 1024 in bf16; larger ones, and in fp32, fewer.
_GPU_IMAGE_BATCH = 4
_GPU_IMAGE_BYTES = _GPU_IMAGE_BATCH * 1024**2 * 2
GPU_TEXT_BATCH = 8
# bitsandbytes: tensors below this many elements keep 32-bit state; one fp32 scale for each block of 256.
MIN_8BIT = 4096
SCALE_BLOCK = 256
QMAP_BYTES = 2 * 256 * FP32
GIB = 2**30
# A CUDA context with PyTorch's kernels, and what the caching allocator loses to rounding and gaps (a share of the
# peak). Rules of thumb, not derived.
CONTEXT_BYTES = GIB // 2
# NCCL's buffers where several GPUs share a step: what two A100 take over NVLink (NVIDIA/nccl issue 964).
NCCL_BYTES = GIB // 2
SLACK = 0.05
_WEIGHTS, _SWAP_BUFFERS, _ADAPTER, _OPTIMIZER = "weights", "buffers of swapped blocks", "adapter", "optimizer"
# Components that a training cannot do without, whatever the batch.
HELD = (_WEIGHTS, _SWAP_BUFFERS, _ADAPTER, _OPTIMIZER)


@dataclass(frozen=True, kw_only=True)
class Component:
    name: str
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Name as in the run's `phase` events where there is one."""

    name: str
    components: tuple[Component, ...]

    @property
    def bytes(self) -> int:
        return sum(component.bytes for component in self.components)


@dataclass(frozen=True, kw_only=True)
class Workload:
    """The most expensive batch of each kind: picture sides in pixels, tokens of the longest caption."""

    micro_batch: tuple[int, int, int]  # width, height, images
    largest_picture: tuple[int, int]
    caption_tokens: int
    sample_size: tuple[int, int]


def reserve_bytes(peak: int, world_size: int = 1) -> int:
    """What a GPU needs beside torch's own allocations of `peak` bytes."""
    return CONTEXT_BYTES + int(SLACK * peak) + (NCCL_BYTES if world_size > 1 else 0)


def optimizer_bytes(kind: str, sizes: Iterable[int]) -> int:
    """Two states for every parameter: fp32, or one byte and its block's fp32 scale."""
    if kind == "AdamW":
        return sum(2 * FP32 * size + FP32 for size in sizes)  # and the step count of each tensor
    eight_bit = [size for size in sizes if size >= MIN_8BIT]
    small = sum(size for size in sizes if size < MIN_8BIT)
    scales = sum(-(-size // SCALE_BLOCK) for size in eight_bit)
    return 2 * (sum(eight_bit) + FP32 * scales + FP32 * small) + (QMAP_BYTES if eight_bit else 0)


def training_pass(config: TrainConfig, work: Workload, *, cuda: bool) -> Pass:
    """The most expensive micro-batch as the model sees it."""
    width, height, images = work.micro_batch
    return Pass(
        latent_height=height // 8,
        latent_width=width // 8,
        caption_tokens=work.caption_tokens,
        batch=images,
        adapter=adapter_shape(config),
        dropout=config.lora_dropout,
        precision=config.mixed_precision,
        checkpointing=config.gradient_checkpointing,
        skip_every=config.checkpoint_skip_every,
        quantised=config.quantize_base != "no",
        packed_attention=config.attention_backend != "sdpa" or config.use_flash_attention_2,
        cuda=cuda,
    )


def training_phase(
    config: TrainConfig, dims: Dimensions, targets: Targets, work: Workload, *, cuda: bool, world_size: int
) -> Phase:
    """The backward pass of a micro-batch, or the optimizer's own step where that takes more."""
    held = _held(config, dims, targets)
    adapter = FP32 * targets.parameters(adapter_shape(config))
    result = activations(dims, targets, training_pass(config, work, cuda=cuda))
    # AdamW on a GPU updates all tensors at once and holds the root of the second moments meanwhile.
    stepping = adapter if config.optimizer_type == "AdamW" and cuda else 0
    components = [*held, Component(name="gradients", bytes=adapter)]
    if world_size > 1:
        components.append(Component(name="gradient exchange", bytes=adapter))
    saved = min(result.peak_saved, result.peak)
    unpacked = unpacked_bytes(dims, config.quantize_base, COMPUTE_BYTES[config.mixed_precision])
    components += [
        Component(name="activations", bytes=saved),
        Component(name="temporaries", bytes=max(result.peak + unpacked, stepping) - saved),
    ]
    return Phase(name=TRAINING, components=tuple(components))


def _held(config: TrainConfig, dims: Dimensions, targets: Targets) -> list[Component]:
    """What stays in memory from the first step to the last."""
    swapped, sizes = swapped_bytes(config, dims), targets.tensor_sizes(adapter_shape(config))
    weights = base_bytes(dims, config.quantize_base, _weight_bytes(config)) - swapped.left
    return [
        Component(name=_WEIGHTS, bytes=weights),
        *([Component(name=_SWAP_BUFFERS, bytes=swapped.ring)] if swapped.ring else []),
        Component(name=_ADAPTER, bytes=FP32 * sum(sizes)),
        Component(name=_OPTIMIZER, bytes=optimizer_bytes(config.optimizer_type, sizes)),
    ]


def swapped_bytes(config: TrainConfig, dims: Dimensions) -> SwapBytes:
    """What `swap_blocks` moves."""
    return swap_bytes(dims, config.quantize_base, _weight_bytes(config), config.swap_blocks)


def _weight_bytes(config: TrainConfig) -> int:
    return 4 if config.mixed_precision == "no" else 2


def sampling_phase(
    config: TrainConfig, base: BaseSizes, targets: Targets, work: Workload, *, cuda: bool, old_card: bool = False
) -> Phase:
    """A sample picture in the middle of training: the transformer stays, the VAE comes beside it."""
    dims = base.transformer
    width, height = work.sample_size
    rows = work.caption_tokens + (width // 8 // dims.patch_size) * (height // 8 // dims.patch_size)
    compute = COMPUTE_BYTES[config.mixed_precision]
    # One block without a backward pass: four values of the feed-forward's width, two of the model's; and
    # autocast's copies of the adapter.
    drawing = rows * compute * (4 * dims.hidden + 2 * dims.dim)
    drawing += unpacked_bytes(dims, config.quantize_base, compute)
    drawing += compute * targets.parameters(adapter_shape(config)) if compute != FP32 else 0
    number = vae_bytes(cuda=cuda, old_card=old_card)
    decoding = decoder_numbers(base.vae.channels, width * height) * number
    return Phase(
        name=SAMPLING,
        components=(
            *_held(config, dims, targets),
            Component(name="VAE", bytes=base.vae.parameters * number),
            Component(name="temporaries", bytes=max(drawing, decoding)),
        ),
    )


def encoder_bytes(*, cuda: bool) -> int:
    """Bytes a number of the text encoders: bfloat16 on GPUs, fp32 on a CPU."""
    return 2 if cuda else FP32


def vae_bytes(*, cuda: bool, old_card: bool) -> int:
    """Bytes a number of the VAE (`model.vae.vae_dtype`). old_card: the GPU is older than bf16, that is than Ampere."""
    return 2 if cuda and not old_card else FP32


def text_phase(
    name: str,
    encoder: TextEncoder,
    tokens: int,
    *,
    texts: int,
    cuda: bool,
    feed_forward_values: int,
    mask_bytes: int,
    quantised: str = "no",
) -> Phase:
    """One batch of the longest captions: values of the feed-forward's width, four of the stream's, attention masks.

    texts: how many captions. feed_forward_values: of them alive at once; mask_bytes: of one query and key of a sample,
    all masks together.
    """
    width, rows = encoder_bytes(cuda=cuda), tokens * texts
    values = rows * width * (feed_forward_values * encoder.feed_forward + 4 * encoder.hidden)
    if quantised != "no":
        layer = Linear(name="", inputs=encoder.hidden, outputs=encoder.feed_forward)
        values += layer.inputs * layer.outputs * (width + 4 * (quantised == "int8"))
    return Phase(
        name=name,
        components=(
            Component(name="weights", bytes=_encoder_weights(encoder, width, quantised)),
            Component(name="temporaries", bytes=values + mask_bytes * rows * tokens),
        ),
    )


def _encoder_weights(encoder: TextEncoder, width: int, quantised: str) -> int:
    """All but the embeddings, its largest tensor, may be quantised; its norms, a thousandth, count as if they were."""
    if quantised == "no":
        return encoder.parameters * width
    rows = (encoder.parameters - encoder.largest) // encoder.hidden
    return encoder.largest * width + quantised_bytes(Linear(name="", inputs=encoder.hidden, outputs=rows), quantised)


def gpu_image_batch(width: int, height: int, number: int) -> int:
    """How many pictures of that size a GPU encodes at once, with `number` bytes a number."""
    return max(1, min(_GPU_IMAGE_BATCH, _GPU_IMAGE_BYTES // (width * height * number)))


def image_phase(base: BaseSizes, work: Workload, *, cuda: bool, old_card: bool) -> Phase:
    """One batch of the largest pictures through the VAE's encoder. An estimate: kernels' own workspace is left out."""
    width, height = work.largest_picture
    number = vae_bytes(cuda=cuda, old_card=old_card)
    images = gpu_image_batch(width, height, number) if cuda else 1
    return Phase(
        name=ENCODING_IMAGES,
        components=(
            Component(name="weights", bytes=base.vae.parameters * number),
            Component(name="temporaries", bytes=encoder_numbers(base.vae.channels, width * height * images) * number),
        ),
    )


def gemma_phase(base: BaseSizes, tokens: int, *, texts: int, cuda: bool = True, quantised: str) -> Phase:
    """Captions through Gemma, held so: gate, up and product of its feed-forward part and two masks."""
    return text_phase(
        ENCODING_GEMMA,
        base.gemma,
        -(-tokens // 8) * 8,  # padded so
        texts=texts,
        cuda=cuda,
        feed_forward_values=3,
        mask_bytes=2,
        quantised=quantised,
    )


def encoding_phases(
    base: BaseSizes, work: Workload, jina_tokens: int, *, cuda: bool, old_card: bool = False, quantised: str = "no"
) -> tuple[Phase, ...]:
    """Captions through Gemma, then through Jina, then images through the VAE; one encoder in memory at a time.

    old_card: see `vae_bytes`. quantised: how Gemma is held. Jina makes two values and one mask.
    """
    texts = GPU_TEXT_BATCH if cuda else 1
    return (
        gemma_phase(base, work.caption_tokens, texts=texts, cuda=cuda, quantised=quantised),
        text_phase(ENCODING_JINA, base.jina, jina_tokens, texts=texts, cuda=cuda, feed_forward_values=2, mask_bytes=1),
        image_phase(base, work, cuda=cuda, old_card=old_card),
    )
