"""Settings of what a step learns from and how it is computed: model, data, batches, optimizer, adapter, hardware."""

from dataclasses import dataclass

from trainer_core.contracts.options import option, required, side


@dataclass(frozen=True, kw_only=True)
class StepOptions:
    """The first half of a `TrainConfig`, which checks them."""

    base_model_path: str = option(
        "",
        "Folder of the base model (transformer, text encoders, VAE), Diffusers style. Required, unless all four parts "
        "are named below.",
        group="Model and data",
        rule="path",
        level="basic",
        rerun="refuse",
    )
    transformer_path: str = option(
        "",
        "Transformer to use instead of the base's: a folder, a .safetensors file (any layout), or a .pth dump.",
        rule="path",
        rerun="refuse",
    )
    gemma_model_path: str = option(
        "",
        "Gemma3 to use instead of the base's: a folder, a ComfyUI file, or a hub id such as google/gemma-3-4b-it.",
        rule="path",
        rerun="refuse",
    )
    clip_model_path: str = option(
        "",
        "Jina CLIP to use instead of the base's: a folder, a ComfyUI file, or a hub id such as jinaai/jina-clip-v2.",
        rule="path",
        rerun="refuse",
    )
    vae_path: str = option(
        "",
        "VAE to use instead of the base's: a folder, a FLUX ae.safetensors, or a hub id. It must have 16 channels.",
        rule="path",
        rerun="refuse",
    )
    train_data_dir: str = required(
        "Folder with the images and their .txt captions. A folder directly in it named 10_name is repeated 10 times.",
        rule="path",
        level="basic",
    )
    output_dir: str = option(
        "output", "Folder that holds the run folders.", rule="path", nonempty=True, level="basic", rerun="continue"
    )
    output_name: str = option(
        "my_lora",
        "Name of the run: its folder inside output_dir and its files.",
        rule="name",
        level="basic",
        rerun="continue",
    )
    cache_dir: str = option(
        "", "Folder of the feature cache; empty means .cache inside output_dir.", rule="path", rerun="continue"
    )
    use_cache: bool = option(
        True,
        "Keep encoded images and captions on disk, so that the next start needs no encoding; false keeps them in "
        "memory for this run only.",
        rerun="continue",
    )
    strict_data: bool = option(False, "Stop at a broken image or caption instead of leaving it out.", rerun="continue")

    resolution: int = option(
        1024,
        "Side of the square whose area training images are brought to. Without bucket_upscale one that lacks more than "
        "5 % of a side keeps its own smaller size, cut to whole steps.",
        group="Image sizes",
        unit="px",
        minimum=64,
        maximum=2048,
        multiple_of=16,
        level="basic",
    )
    enable_bucket: bool = option(True, "Keep aspect ratios in buckets of equal area; false crops to squares.")
    min_bucket_reso: int = option(
        0,
        "Shortest side of a bucket of full area; the smaller sizes of small images can be shorter.",
        unit="px",
        minimum=32,
        maximum=2048,
        multiple_of=16,
        zero="automatic: half of resolution",
    )
    max_bucket_reso: int = side("Longest side of a bucket.", zero="automatic: twice the resolution")
    bucket_reso_step: int = option(
        0,
        "Step between bucket sides.",
        unit="px",
        minimum=16,
        maximum=256,
        multiple_of=16,
        zero="automatic: 64, or 16 for a resolution below 512",
    )
    bucket_upscale: bool = option(
        False, "Enlarge images that are smaller than their bucket; one that lacks up to 5 % of a side always is."
    )

    train_batch_size: int = option(
        1, "Images in one batch, all of one bucket.", group="Length and batches", minimum=1, maximum=256, level="basic"
    )
    micro_batch_size: int = option(
        0,
        "Images of a batch that are computed at once; fewer need less memory and change nothing of what is learnt.",
        minimum=1,
        maximum=256,
        zero="the whole batch",
        rerun="continue",
    )
    gradient_accumulation_steps: int = option(1, "Batches whose gradients make one step.", minimum=1, maximum=1024)
    num_epochs: int = option(
        50, "How often the whole data set is seen.", minimum=1, maximum=100_000, level="basic", rerun="continue"
    )
    max_train_steps: int = option(
        0,
        "Optimizer steps after which training ends, instead of num_epochs.",
        minimum=1,
        maximum=100_000_000,
        zero="num_epochs decides",
        rerun="continue",
    )
    seed: int = option(
        42, "Start of everything random; the same seed gives the same run.", minimum=0, maximum=2**32 - 1
    )

    learning_rate: float = option(1e-4, "Peak learning rate.", group="Optimizer", above=0, maximum=1, level="basic")
    lr_scheduler: str = option(
        "cosine",
        "Course of the learning rate after the warm-up. polynomial has power 1: linear, but down to 1e-7, not 0.",
        choices=("cosine", "linear", "constant", "constant_with_warmup", "cosine_with_restarts", "polynomial"),
    )
    lr_warmup_steps: int = option(
        100, "Optimizer steps in which the learning rate rises from 0.", minimum=0, maximum=1_000_000
    )
    lr_restarts: int = option(1, "Number of cosines of cosine_with_restarts.", minimum=1, maximum=1000)
    optimizer_type: str = option(
        "AdamW8bit",
        "AdamW8bit keeps its state in 8 bits and needs the bitsandbytes package.",
        choices=("AdamW", "AdamW8bit"),
        level="basic",
        rerun="refuse",
    )
    weight_decay: float = option(0.01, "Decoupled weight decay.", minimum=0, maximum=1)
    adam_beta1: float = option(0.9, "Decay of Adam's mean of gradients.", minimum=0, below=1)
    adam_beta2: float = option(0.999, "Decay of Adam's mean of squared gradients.", minimum=0, below=1)
    adam_epsilon: float = option(1e-8, "Term that keeps Adam's division finite.", above=0, maximum=1)
    gradient_clip_norm: float = option(
        1.0, "Largest norm of the gradient; 0 switches clipping off.", minimum=0, maximum=1_000_000
    )

    adapter_type: str = option(
        "lora",
        "lora: two thin matrices a layer, which every program reads. lokr: the Kronecker product of a small and a "
        "large one, as in LyCORIS, of full rank with about as few numbers; for ComfyUI only, lora_rank does not count.",
        group="LoRA",
        choices=("lora", "lokr"),
        rerun="refuse",
    )
    lora_rank: int = option(32, "Rank of the adapter.", minimum=1, maximum=1024, level="basic", rerun="refuse")
    lora_alpha: float = option(
        0.0,
        "Scale of the adapter: its output is multiplied by lora_alpha / lora_rank, that of a LoKr by lora_alpha / "
        "lokr_rank, or by 1 where its large factor is whole.",
        above=0,
        maximum=65536,
        zero="as the rank",
        level="basic",
        rerun="refuse",
    )
    lora_dropout: float = option(0.05, "Share of the adapter's inputs dropped in training.", minimum=0, below=1)
    lora_target_modules: list[str] = option(
        ["attention.qkv", "attention.out", "feed_forward.w2", "time_text_embed.1", "clip_text_pooled_proj.1"],
        "Modules that get an adapter: all whose dotted name ends in one of these.",
        nonempty=True,
        rerun="refuse",
    )
    lokr_factor: int = option(
        8,
        "Side of a LoKr's small factor, in layers whose sides it divides: a larger one makes a smaller adapter.",
        minimum=1,
        maximum=1024,
        zero="the most even split",
        rerun="refuse",
    )
    lokr_rank: int = option(
        0,
        "Rank to which a LoKr's large factor is limited, which half of its longer side no longer does.",
        minimum=1,
        maximum=4608,
        zero="whole",
        rerun="refuse",
    )
    resume_from_lora: str = option(
        "",
        "LoRA file or PEFT folder that the adapter starts from; empty starts from zero. A run with a checkpoint goes "
        "on from that instead.",
        rule="path",
        rerun="continue",
    )
    timestep_sampling: str = option(
        "uniform", "Distribution of the training timesteps.", choices=("uniform", "lognorm")
    )

    mixed_precision: str = option(
        "bf16", "Number format of the forward pass; fp16 needs a GPU.", group="Hardware", choices=("bf16", "fp16", "no")
    )
    quantize_base: str = option(
        "no",
        "Hold the frozen blocks in 8 or 4 bits: a half or a quarter of the memory, slower, and trained beside a base "
        "that is a little off. nf4 needs the bitsandbytes package.",
        choices=("no", "int8", "nf4"),
    )
    quantize_gemma: str = option(
        "no",
        "Hold the text encoder Gemma3 in 8 or 4 bits while captions are encoded; its features are a little off then.",
        choices=("no", "int8", "nf4"),
        rerun="refuse",
    )
    gradient_checkpointing: bool = option(
        True,
        "Recompute activations in the backward pass: a fraction of the memory for two fifths more arithmetic.",
        rerun="continue",
    )
    checkpoint_skip_every: int = option(
        0,
        "With gradient_checkpointing: one block in so many keeps its activations, for more speed and more memory.",
        minimum=2,
        maximum=1000,
        zero="every block is recomputed",
        rerun="continue",
    )
    swap_blocks: int = option(
        0,
        "With gradient_checkpointing: so many main blocks keep their weights in main memory, pinned; slower steps.",
        minimum=4,
        zero="all weights stay on the GPU",
        rerun="continue",
    )
    recover_from_oom: bool = option(
        True,
        "After running out of GPU memory go on from the last checkpoint with the next setting that saves memory and "
        "keeps what a step learns from, and say so; false stops instead.",
        rerun="continue",
    )
    attention_backend: str = option(
        "sdpa",
        "Attention kernel; varlen and flash need a GPU, flash the flash-attn package.",
        choices=("sdpa", "varlen", "flash"),
    )
    use_flash_attention_2: bool = option(
        False, "Use the flash-attn package where it can run, else PyTorch's own kernels (which include a flash kernel)."
    )
    compile_blocks: bool = option(
        False,
        "Compile the main blocks with torch.compile: a start that takes a minute or more longer, for faster steps on a "
        "CPU; on the card that was measured slower than without. Results differ in their last digits. Not on Windows.",
    )
    device: str = option("auto", "Where to train; auto takes a GPU if one is there.", choices=("auto", "cpu", "cuda"))
    gpus: str = option(
        "all", "GPUs to train on, each with a share of the images of a step.", rule="gpus", nonempty=True
    )
    dataloader_num_workers: int = option(
        2,
        "Threads that prepare the next batches while the current one is computed; 0 prepares each when it is needed.",
        minimum=0,
        maximum=64,
        rerun="continue",
    )
