"""What a run will need before it starts: memory by phase and component, steps, time, disk.

Memory means torch's peak allocation on one GPU, in bytes. `activations` and `temporaries` of training follow from
the model's structure (activations.py, checked against real passes); the encoders' and the VAE's temporaries are
simple counts of the values alive at their most expensive place.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.datafacts import Bucket, DataFacts
from trainer_core.contracts.disk import disk_space
from trainer_core.contracts.phase_names import TRAINING
from trainer_core.planning.activations import activations
from trainer_core.planning.adapter import adapter_shape
from trainer_core.planning.base import BaseSizes, read_base
from trainer_core.planning.data_advice import too_long, unmeasured
from trainer_core.planning.measured import MeasuredStep, passes_of
from trainer_core.planning.phases import (
    GIB,
    MIN_8BIT,
    QMAP_BYTES,
    Component,
    Phase,
    Workload,
    encoder_bytes,
    encoding_phases,
    optimizer_bytes,
    reserve_bytes,
    sampling_phase,
    swapped_bytes,
    training_pass,
    training_phase,
)
from trainer_core.planning.schedule import Steps, count_steps
from trainer_core.planning.shapes import Targets, matching
from trainer_core.planning.speed import Speed, known_speed, tried_speed
from trainer_core.planning.tape import FP32

DEFAULT_CAPTION_TOKENS = 256
# Python, PyTorch and the libraries of a training process; with CUDA's host side. Rules of thumb.
PROCESS_BYTES = GIB
CUDA_PROCESS_BYTES = 3 * GIB
# A PNG of an anime picture takes about half of its pixels' bytes.
PNG_BYTES_PER_PIXEL = 1.5


@dataclass(frozen=True, kw_only=True)
class DiskUse:
    """Bytes this run will write at most, and what is free now where it writes (None where that cannot be told)."""

    components: tuple[Component, ...]
    free: int | None

    @property
    def bytes(self) -> int:
        return sum(component.bytes for component in self.components)


@dataclass(frozen=True, kw_only=True)
class HostUse:
    """Main memory. `mapped` is read through the page cache: the system takes it back when others need it."""

    components: tuple[Component, ...]
    mapped: int

    @property
    def bytes(self) -> int:
        return sum(component.bytes for component in self.components)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Bytes throughout; `reserve` (driver, allocator, NCCL) is on top of the peak, per GPU.

    steps, speed, seconds: None where the data set or the pace is unknown. flops_per_step counts what the
    mathematics of a full step needs, without recomputation. notes: what was assumed. measured: what the training
    phase was replaced by, which by itself was estimated at `training_estimate`.
    """

    cuda: bool
    world_size: int
    phases: tuple[Phase, ...]
    reserve: int
    host: HostUse
    lora_parameters: int
    lora_modules: int
    flops_per_step: int
    steps: Steps | None
    speed: Speed | None
    seconds: float | None
    disk: DiskUse
    notes: tuple[str, ...]
    training_estimate: int
    measured: MeasuredStep | None

    @property
    def peak(self) -> Phase:
        """The phase that needs most."""
        return max(self.phases, key=lambda phase: phase.bytes)

    @property
    def needed(self) -> int:
        """Of the device's memory at the peak, with what the driver takes; of main memory on a CPU."""
        return self.peak.bytes + self.reserve if self.cuda else self.host.bytes

    @property
    def training(self) -> Phase:
        return next(phase for phase in self.phases if phase.name == TRAINING)


def estimate(
    config: TrainConfig,
    data: DataFacts | None,
    *,
    base: BaseSizes | None = None,
    cuda: bool = True,
    old_card: bool = False,
    world_size: int = 1,
    pace: Callable[[TrainConfig], Speed | None] = known_speed,
    measured: MeasuredStep | None = None,
) -> Estimate:
    """Estimate a run. Without data: one square picture of the resolution and captions of 256 tokens; no steps.

    Nothing is written; read are headers of the base's files (unless `base` is given), earlier runs' events in
    output_dir (unless `pace` looks elsewhere), and the disk's free space. What was `measured` for these very settings
    takes the place of the training's estimate, and of the pace where no run tells it. old_card: see `vae_bytes`.
    """
    base = base or read_base(config)
    targets = matching(base.transformer, config.lora_target_modules)
    work = work_of(config, data)
    steps = count_steps(config, data.buckets, world_size=world_size) if data and data.buckets else None
    speed = pace(config) or (tried_speed(measured) if measured else None)
    encoding = encoding_phases(
        base, work, _jina_tokens(config, work), cuda=cuda, old_card=old_card, quantised=config.quantize_gemma
    )
    training = training_phase(config, base.transformer, targets, work, cuda=cuda, world_size=world_size)
    mapped = max(phase.components[0].bytes for phase in (*encoding, training))
    phases = [*encoding, _corrected(training, measured)]
    if config.sample_prompts:
        phases.append(sampling_phase(config, base, targets, work, cuda=cuda, old_card=old_card))
    peak = max(phase.bytes for phase in phases)
    cache = _cache_bytes(config, base, data, cuda=cuda)
    return Estimate(
        cuda=cuda,
        world_size=world_size,
        phases=tuple(phases),
        reserve=reserve_bytes(peak, world_size) if cuda else 0,
        host=_host(
            base,
            peak,
            cuda=cuda,
            mapped=mapped,
            features=0 if config.use_cache else cache,
            swapped=swapped_bytes(config, base.transformer).host,
        ),
        lora_parameters=targets.parameters(adapter_shape(config)),
        lora_modules=len(targets.layers),
        flops_per_step=_flops_per_step(config, base, targets, work, cuda=cuda),
        steps=steps,
        speed=speed,
        seconds=speed.seconds_per_step * steps.total_steps if speed and steps else None,
        disk=_disk(config, targets, steps, cache if config.use_cache else 0),
        notes=_notes(config, base, targets, data, cuda=cuda),
        training_estimate=training.bytes,
        measured=measured,
    )


def _corrected(training: Phase, measured: MeasuredStep | None) -> Phase:
    """The phase as measured on one GPU; what several exchange was not part of that."""
    if measured is None:
        return training
    exchange = (part for part in training.components if part.name == "gradient exchange")
    return Phase(name=training.name, components=(Component(name="measured in a step", bytes=measured.peak), *exchange))


def work_of(config: TrainConfig, data: DataFacts | None) -> Workload:
    """The most expensive batch of each kind that training will meet."""
    side = config.resolution
    buckets = data.buckets if data and data.buckets else (Bucket(width=side, height=side, images=1, shown=1 << 20),)

    def images(bucket: Bucket) -> int:
        return min(config.images_at_once, bucket.shown)

    costliest = max(buckets, key=lambda b: b.width * b.height * images(b))
    largest = max(buckets, key=lambda b: b.width * b.height)
    tokens = data.longest_tokens if data else DEFAULT_CAPTION_TOKENS
    return Workload(
        micro_batch=(costliest.width, costliest.height, images(costliest)),
        largest_picture=(largest.width, largest.height),
        caption_tokens=min(tokens, config.max_gemma_tokens),
        sample_size=(config.sample_width or side, config.sample_height or side),
    )


def _jina_tokens(config: TrainConfig, work: Workload) -> int:
    """Jina reads the bare caption, no longer in its tokens than Gemma's text."""
    return min(work.caption_tokens, config.max_jina_tokens)


def _flops_per_step(config: TrainConfig, base: BaseSizes, targets: Targets, work: Workload, *, cuda: bool) -> int:
    one = activations(base.transformer, targets, training_pass(config, work, cuda=cuda))
    return one.model_flops * passes_of(config)


def _cache_bytes(config: TrainConfig, base: BaseSizes, data: DataFacts | None, *, cuda: bool) -> int:
    """Latents in fp32; of each caption Gemma's features by token and Jina's vector, in the encoders' format."""
    if data is None:
        return 0
    pixels = sum(bucket.width * bucket.height * bucket.images for bucket in data.buckets)
    text = data.captions * (min(data.mean_tokens, config.max_gemma_tokens) * base.gemma.hidden + base.jina.hidden)
    return pixels // 64 * base.vae.latent_channels * FP32 + int(text * encoder_bytes(cuda=cuda))


def _disk(config: TrainConfig, targets: Targets, steps: Steps | None, cache: int) -> DiskUse:
    """Exports (a ComfyUI file and, of a LoRA, a PEFT folder, fp32) are all kept; a new checkpoint is written
    before one goes."""
    sizes = targets.tensor_sizes(adapter_shape(config))
    adapter = FP32 * sum(sizes)
    optimizer = optimizer_bytes(config.optimizer_type, sizes)
    if config.optimizer_type != "AdamW":
        # Every tensor's state carries the two tables that memory holds once.
        optimizer += QMAP_BYTES * sum(size >= MIN_8BIT for size in sizes)
    saves = steps.saves if steps else 1
    forms = 1 if config.adapter_type == "lokr" else 2
    kept = min(saves, max(2, config.keep_last_n_checkpoints) + 1)
    pixels = (config.sample_width or config.resolution) * (config.sample_height or config.resolution)
    pictures = steps.sample_pictures if steps else len(config.sample_prompts)
    space = disk_space(Path(config.output_dir))
    return DiskUse(
        components=(
            Component(name="feature cache", bytes=cache),
            Component(name="checkpoints", bytes=kept * (adapter + optimizer)),
            Component(name="exports", bytes=saves * forms * adapter),
            Component(name="samples", bytes=int(pictures * pixels * PNG_BYTES_PER_PIXEL)),
        ),
        free=space.free if space else None,
    )


def _host(base: BaseSizes, peak: int, *, cuda: bool, mapped: int, features: int, swapped: int) -> HostUse:
    """Weights are mapped, and copied tensor by tensor to where they are used: one at a time is resident twice."""
    numbers = max(2, encoder_bytes(cuda=cuda))
    largest = max(base.gemma.largest, base.jina.largest) * numbers
    components = [
        Component(name="process", bytes=CUDA_PROCESS_BYTES if cuda else PROCESS_BYTES),
        Component(name="largest tensor while loading", bytes=largest),
    ]
    if not cuda:
        components.append(Component(name="the run's tensors", bytes=peak))
    if swapped:
        components.append(Component(name="swapped blocks (pinned)", bytes=swapped))
    if features:
        components.append(Component(name="features kept in memory (use_cache = false)", bytes=features))
    return HostUse(components=tuple(components), mapped=mapped)


def _notes(
    config: TrainConfig, base: BaseSizes, targets: Targets, data: DataFacts | None, *, cuda: bool
) -> tuple[str, ...]:
    notes = list(base.assumed)
    if targets.unmatched:
        notes.append(f"lora_target_modules: nothing ends in {', '.join(targets.unmatched)}; training would refuse.")
    if config.swap_blocks > base.transformer.n_layers:
        notes.append(f"swap_blocks: this base has {base.transformer.n_layers} main blocks; training would refuse.")
    if note := unmeasured(config):
        notes.insert(0, note)
    if data is None:
        notes.append(
            f"No data set was read: one {config.resolution} x {config.resolution} picture and captions of "
            f"{min(DEFAULT_CAPTION_TOKENS, config.max_gemma_tokens)} tokens are assumed; steps are unknown."
        )
    else:
        notes.append("Tokens of a caption are estimated from its length, one for 3 bytes.")
        epochs = 0 if config.max_train_steps else config.num_epochs
        if note := too_long(data.images, sum(bucket.shown for bucket in data.buckets), epochs):
            notes.insert(0, note)
        notes[:0] = data.notes
    if config.mixed_precision == "fp16":
        notes.append("fp16: the frozen weights are bfloat16, and each use keeps an fp16 copy for the backward pass.")
    if cuda:
        notes.append(
            "Attention is counted as fused (flash or memory-efficient) in 16 bits; a card of compute capability below "
            "8.0 computes it in 32 bits and needs some hundred MB more. The encoders run in bfloat16, but the VAE on "
            "such a card in 32 bits."
        )
    return tuple(notes)
