"""Planning: presets, hardware, advice, the memory ladder, estimates."""

MESSAGES: tuple[tuple[str, str], ...] = (
    # Advice by the size of the data set.
    (
        "{} images: for {}, {} to {} epochs, learning_rate {} and lora_rank {} are recommended. Repeats (10_name) "
        "count: an epoch with 10 repeats is worth ten.",
        "共 {} 张图片：{t}的数据集，建议训练 {} 到 {} 轮，learning_rate {}，lora_rank {}。重复次数（10_name）也算在内"
        "：重复 10 次的一轮相当于十轮。",
    ),
    (
        "{} images, each shown {} times an epoch: for {}, {} to {} such epochs, learning_rate {} and lora_rank {} are "
        "recommended.",
        "共 {} 张图片，每轮各展示 {} 次：{t}的数据集，建议训练 {} 到 {} 个这样的轮次，learning_rate {}，lora_rank {}。",
    ),
    (
        "Each image is trained {} times (num_epochs x repeats); for so many images {} to {} times are recommended, "
        "which num_epochs = {} comes to.",
        "每张图片会训练 {} 次（num_epochs × 重复次数）；这么多图片建议训练 {} 到 {} 次，即 num_epochs = {}。",
    ),
    (
        "validation_every_n_steps = {} measures nothing: set validation_split (0.05, say) or validation_data_dir.",
        "validation_every_n_steps = {} 没有图片可测：请设置 validation_split（例如 0.05）或 validation_data_dir。",
    ),
    ("fewer than 100", "少于 100 张"),
    ("100 to 1000", "100 到 1000 张"),
    ("more than 1000", "多于 1000 张"),
    # The memory ladder.
    (
        "If it happened while drawing samples: smaller sample_width and sample_height, or sample_prompts = [].",
        "如果是在画样图时发生：减小 sample_width 和 sample_height，或设 sample_prompts = []。",
    ),
    ("Every published step against running out of memory is taken already.", "官方公布的省显存步骤都已用上。"),
    (
        "Close other programs that use the GPU (nvidia-smi names them), also the browser and ComfyUI.",
        "关闭其他占用显卡的程序（可用 nvidia-smi 查看），包括浏览器和 ComfyUI。",
    ),
    ("Fewer pixels: resolution = 384.", "减少像素：resolution = 384。"),
    ("Beyond that this model needs a GPU with more memory.", "再不行，这个模型就需要显存更大的显卡。"),
    (
        "{} A begun run cannot take it: choose another output_name.",
        "{x}已开始的训练不能改这一项：请换一个 output_name。",
    ),
    ("A begun run cannot take it: choose another output_name.", "已开始的训练不能改这一项：请换一个 output_name。"),
    (
        "micro_batch_size = 1: the images of a batch are computed one by one instead of {} at once.",
        "micro_batch_size = 1：一个批次的图片逐张计算，而不是 {} 张同时计算。",
    ),
    (
        "gradient_checkpointing = true: activations are computed twice instead of kept.",
        "gradient_checkpointing = true：开启梯度检查点，激活值不保留，需要时再算一遍。",
    ),
    (
        "checkpoint_skip_every = 0: no block keeps its activations.",
        "checkpoint_skip_every = 0：所有模块都不保留激活值。",
    ),
    (
        'optimizer_type = "AdamW8bit": its state takes a quarter of the memory.',
        'optimizer_type = "AdamW8bit"：优化器状态占的显存减为四分之一。',
    ),
    (
        'quantize_base = "{}": the frozen blocks take {} bits a number, and steps more time.',
        'quantize_base = "{}"：冻结的模块每个数只占 {} 位，每步耗时更长。',
    ),
    (
        "swap_blocks = {}: the main blocks' weights wait in main memory, and steps take more time.",
        "swap_blocks = {}：主模块的权重放在内存里，每步耗时更长。",
    ),
    (
        'quantize_gemma = "{}": while captions are encoded, Gemma3 takes {} bits a number.',
        'quantize_gemma = "{}"：编码描述时，Gemma3 每个数只占 {} 位。',
    ),
    ("Strategy 1, fewer modules: lora_target_modules = [{}].", "策略 1，减少训练的模块：lora_target_modules = [{}]。"),
    (
        "resolution = {} instead of {} and min_bucket_reso = 0.",
        "resolution 从 {1} 改为 {0}，并设 min_bucket_reso = 0。",
    ),
    ("resolution = {} instead of {}.", "resolution 从 {1n} 改为 {0n}。"),
    (
        "lora_rank = 16 instead of {}, with lora_alpha = {} for the same strength.",
        "lora_rank 从 {} 改为 16，并设 lora_alpha = {} 以保持强度不变。",
    ),
    ("{} Estimated peak: {} -> {} GiB.", "{x}预计显存峰值：{} -> {} GiB。"),
    ("Estimated peak: {} -> {} GiB.", "预计显存峰值：{} -> {} GiB。"),
    # Speed.
    (
        "It trains on the CPU: there is no GPU here. The real model needs one.",
        "正在用 CPU 训练：这台电脑没有显卡。训练真正的模型需要显卡。",
    ),
    ("It trains on the CPU although there is a GPU ({}): {}.", "明明有显卡（{}），却在用 CPU 训练：{t}。"),
    ('device = "cpu" in the config; set device = "auto"', '配置里写了 device = "cpu"；请改成 device = "auto"'),
    (
        "PyTorch does not see it; python -m trainer_core doctor says more",
        "PyTorch 看不到它；运行 python -m trainer_core doctor 可查看详情",
    ),
    (
        "Steps take {} s instead of {} s and GPU {} is full: Windows has moved a part of its memory to system memory. "
        "Close other programs that use the GPU.",
        "每步耗时从 {1} 秒变成 {0} 秒，显卡 {2} 的显存已满：Windows 把一部分显存挪到了内存。请关闭其他占用显卡的程序。",
    ),
    (
        'mixed_precision = "no" computes everything in 32 bits; "bf16" is several times faster.',
        'mixed_precision = "no" 全部用 32 位计算；"bf16" 要快好几倍。',
    ),
    (
        'mixed_precision = "fp16": "bf16" is as fast on this GPU and cannot overflow.',
        'mixed_precision = "fp16"：在这张显卡上 "bf16" 一样快，而且不会溢出。',
    ),
    (
        '{} computes bf16 without tensor cores; mixed_precision = "fp16" is faster there but may overflow with this '
        "model.",
        '{} 计算 bf16 时用不上 Tensor Core；mixed_precision = "fp16" 更快，但这个模型可能溢出。',
    ),
    (
        'attention_backend = "sdpa" is faster than "varlen" on this GPU.',
        '在这张显卡上，attention_backend = "sdpa" 比 "varlen" 更快。',
    ),
    (
        "use_flash_attention_2 = true uses the flash-attn package where it is installed; without it PyTorch's own "
        "flash kernel is at work already.",
        "装了 flash-attn 时，设 use_flash_attention_2 = true 就会使用它；没装时，PyTorch 自带的 flash 内核已在工作。",
    ),
    (
        "{} GiB are free: gradient_checkpointing = false would fit, and computes each block only once.",
        "还有 {} GiB 显存空闲：可以设 gradient_checkpointing = false，每个模块只需计算一次。",
    ),
    (
        "{} GiB are free: checkpoint_skip_every = {} would fit, and computes fewer blocks twice.",
        "还有 {} GiB 显存空闲：可以设 checkpoint_skip_every = {}，需要计算两次的模块更少。",
    ),
    (
        "{} GiB are free: swap_blocks = 0 would fit, and nothing is copied to the GPU in each step.",
        "还有 {} GiB 显存空闲：可以设 swap_blocks = 0，每步不必再向显卡复制权重。",
    ),
    (
        "{} GiB are free: train_batch_size = 2 would use the GPU better.",
        "还有 {} GiB 显存空闲：设 train_batch_size = 2 能更好地利用显卡。",
    ),
    ("GPU {} is at work only {} % of the time and waits for data", "显卡 {} 的利用率只有 {}%，其余时间在等数据"),
    ("{}: try {}, and keep cache_dir on a fast disk.", "{t}：请试试{t}，并把 cache_dir 放在快速硬盘上。"),
    ("dataloader_num_workers = {}", "dataloader_num_workers = {}"),
    ("use_cache = true", "use_cache = true"),
    # A flat loss.
    (
        "Learning rate: still rising, step {} of lr_warmup_steps = {}.",
        "学习率：还在预热上升，第 {} 步，lr_warmup_steps = {}。",
    ),
    (
        "Learning rate: {} is below the usual {} to {}; try learning_rate = {}.",
        "学习率：{} 低于常用的 {} 到 {}；可试 learning_rate = {}。",
    ),
    (
        "Learning rate: {} is above the usual {} to {}; try learning_rate = {}.",
        "学习率：{} 高于常用的 {} 到 {}；可试 learning_rate = {}。",
    ),
    (
        "Learning rate: {} is within the usual {} to {}; try learning_rate = {}.",
        "学习率：{} 在常用的 {} 到 {} 之内；可试 learning_rate = {}。",
    ),
    (
        "Captions: {} of {} images have none; write what each picture shows into its .txt.",
        "描述：{1} 张图片中有 {0} 张没有描述；请在对应的 .txt 里写下画面内容。",
    ),
    (
        "Captions: {}read a few beside their pictures, do they say what is there?",
        "描述：{t}请对照图片看几条，是否写出了画面内容？",
    ),
    ("all {} images have one;", "{} 张图片都有描述；"),
    ("{} images", "{n} 张图片"),
    ("most data sets", "大多数数据集"),
    ("max_train_steps = {}", "max_train_steps = {}"),
    ("{} epochs", "{n} 轮"),
    ("enough", "够了"),
    ("see that it comes to as much", "请确认换算后也有这么多"),
    ("try num_epochs = {}", "可试 num_epochs = {}"),
    (
        "Model: it trains on {}; is that the NewBie-image base, the one you draw with?",
        "模型：正在 {} 上训练；它是 NewBie-image 底模、也是你出图用的那个吗？",
    ),
    # Sizes of the base.
    ("{}: taken as released.", "{}：按官方发布版计算。"),
    ("{} is not on this disk.", "磁盘上没有 {}。"),
    ("{} cannot be read ({})", "无法读取 {}（{x}）"),
    (
        "{} is torch's own file: it is not looked into before it is loaded.",
        "{} 是 torch 自己的文件：加载之前不查看其内容。",
    ),
    ("{} is missing", "缺少 {}"),
    ("{} is not a safetensors file", "{} 不是 safetensors 文件"),
    (
        "the header of {} is too large ({} bytes; allowed: up to {})",
        "{} 的文件头过大（{} 字节，最多允许 {} 字节）",
    ),
    # The estimate.
    ("weights", "权重"),
    ("buffers of swapped blocks", "交换模块的缓冲区"),
    ("adapter", "适配器"),
    ("optimizer", "优化器"),
    ("gradients", "梯度"),
    ("measured in a step", "试跑实测"),
    ("CPU with {} cores", "{} 核 CPU"),
    ("gradient exchange", "梯度交换"),
    ("activations", "激活值"),
    ("temporaries", "临时数据"),
    ("VAE", "VAE"),
    ("feature cache", "特征缓存"),
    ("checkpoints", "检查点"),
    ("exports", "导出的 LoRA"),
    ("samples", "样图"),
    ("process", "程序本身"),
    ("largest tensor while loading", "加载时最大的张量"),
    ("the run's tensors", "训练用的张量"),
    ("swapped blocks (pinned)", "交换到内存的模块（锁页）"),
    ("features kept in memory (use_cache = false)", "放在内存里的特征（use_cache = false）"),
    (
        "lora_target_modules: nothing ends in {}; training would refuse.",
        "lora_target_modules：没有名称以 {} 结尾的模块；训练会拒绝开始。",
    ),
    (
        "swap_blocks: this base has {} main blocks; training would refuse.",
        "swap_blocks：这个底模只有 {} 个主模块；训练会拒绝开始。",
    ),
    (
        "No data set was read: one {} x {} picture and captions of {} tokens are assumed; steps are unknown.",
        "没有读取数据集：按一张 {} x {} 的图片和 {} token 的描述估算；步数未知。",
    ),
    (
        "Tokens of a caption are estimated from its length, one for 3 bytes.",
        "描述的 token 数按长度估算，每 3 字节算 1 个。",
    ),
    (
        "fp16: the frozen weights are bfloat16, and each use keeps an fp16 copy for the backward pass.",
        "fp16：冻结的权重是 bfloat16，每次使用都会为反向传播保留一份 fp16 副本。",
    ),
    (
        "Attention is counted as fused (flash or memory-efficient) in 16 bits; a card of compute capability below 8.0 "
        "computes it in 32 bits and needs some hundred MB more. The encoders run in bfloat16, but the VAE on such a "
        "card in 32 bits.",
        "注意力按 16 位的融合内核（flash 或省显存版）计算；计算能力低于 8.0 的显卡以 32 位计算，需要多几百 MB 显存。"
        "编码器以 bfloat16 运行，但在这样的显卡上 VAE 以 32 位运行。",
    ),
    # Hardware.
    (
        "The package nvidia-ml-py is not installed, so NVIDIA GPUs cannot be listed.",
        "没有安装 nvidia-ml-py，因此无法列出 NVIDIA 显卡。",
    ),
    ("No NVIDIA driver answers here ({}).", "没有可用的 NVIDIA 驱动（{x}）。"),
    (
        "The NVIDIA driver is here but does not say which GPUs there are; restart the machine.",
        "有 NVIDIA 驱动，但它没有报告有哪些显卡；请重启电脑。",
    ),
    ("GPU {} does not answer the driver; nvidia-smi may tell why.", "显卡 {} 没有响应驱动；可用 nvidia-smi 查看原因。"),
    ("GPU {} ({}): the driver does not tell its memory.", "显卡 {}（{x}）：驱动没有报告显存大小。"),
    ("unknown NVIDIA GPU", "未知的 NVIDIA 显卡"),
    ("{} (MIG slice)", "{}（MIG 分片）"),
    ("{} (MIG mode, no slice)", "{}（MIG 模式，没有分片）"),
    ('CUDA_VISIBLE_DEVICES = "{}" hides every GPU.', 'CUDA_VISIBLE_DEVICES = "{}" 隐藏了所有显卡。'),
    (
        "CUDA_VISIBLE_DEVICES counts unequal GPUs fastest first, not as nvidia-smi does, so other GPUs than those "
        "named here may be meant; set CUDA_DEVICE_ORDER=PCI_BUS_ID to make both the same.",
        "显卡型号不同时，CUDA_VISIBLE_DEVICES 按快慢编号，与 nvidia-smi 不同，所指的可能不是这里列出的显卡；设置 "
        "CUDA_DEVICE_ORDER=PCI_BUS_ID 可使两者一致。",
    ),
    ("The hardware could not be listed: {}: {}", "无法列出硬件：{}：{x}"),
    # Presets.
    ("must hold at least one preset for a GPU and one for the CPU", "至少要有一个显卡预设和一个 CPU 预设"),
    ("is the user's own and must not stand in a preset", "属于用户自己的设置，不能写在预设里"),
    ("must be a table, written [strategy]", "必须是一个表，写作 [strategy]"),
    ("is not known in [strategy]; known are {}", "不是 [strategy] 里的选项；可用的有 {}"),
    ("must be set in [strategy], as {}", "必须在 [strategy] 里填写，类型是{t}"),
    ("a number such as 10.0", "数字，例如 10.0"),
    ("must be from 0 to 10000 GiB", "必须在 0 到 10000 GiB 之间"),
    ('must be the file\'s own name, "{}"', '必须与文件名相同，即 "{}"'),
    ('must be "cuda" or "cpu"', '必须是 "cuda" 或 "cpu"'),
    ("{}: {}; this preset asks for {} GiB plus {} GiB reserve.", "{}：{t}；这个预设需要 {} GiB，另留 {} GiB 余量。"),
    ("GPU {} ({}) has {} of {} GiB free", "显卡 {}（{x}）共 {3} GiB 显存，空闲 {2} GiB"),
    ("the driver does not tell its memory", "驱动没有报告显存大小"),
    (
        "its compute capability is {}, and PyTorch for CUDA 13 begins with {}",
        "它的计算能力是 {}，而 CUDA 13 版 PyTorch 最低要求 {}",
    ),
    ("without them {} would fit", "关闭它们就能用 {}"),
    (
        "Other programs hold {} GiB of GPU {} (nvidia-smi names them){}.",
        "其他程序占用了显卡 {1} 的 {0} GiB 显存（可用 nvidia-smi 查看）{2t}。",
    ),
    ("It fits on {} GPUs, which share the images of a step: {}.", "有 {} 张显卡放得下，会分担每步的图片：{}。"),
    ("it has {} GiB free of the {} GiB needed", "需要 {1} GiB，只空闲 {0} GiB"),
    (
        "PyTorch cannot join GPUs on Windows (it has no NCCL)",
        "在 Windows 上 PyTorch 无法让多张显卡一起训练（没有 NCCL）",
    ),
    ("GPU {} ({}) stays out: {}.", "不使用显卡 {}（{x}）：{t}。"),
    ('Write gpus = "{}".', '请写 gpus = "{}"。'),
    (
        "GPU {} ({}, compute capability {}) computes bf16 without tensor cores, so it is slow. mixed_precision = "
        '"fp16" is faster there but may overflow with this model (the run then stops and says so); bf16 is the safe '
        "choice.",
        '显卡 {}（{}，计算能力 {}）计算 bf16 时用不上 Tensor Core，所以较慢。mixed_precision = "fp16" 更快，但这个模型'
        "可能溢出（届时训练会停止并说明）；bf16 更稳妥。",
    ),
    (
        "It trains the toy base only; here a GPU can train the real model.",
        "它只训练内置的小模型；这里有显卡，可以训练真正的模型。",
    ),
    (
        "It asks for {} GiB plus {} GiB reserve; GPU {} has {} GiB free.",
        "它需要 {} GiB，另留 {} GiB 余量；显卡 {} 空闲 {} GiB。",
    ),
    ("It fits too and leaves more memory free, but {} learns more.", "它也放得下，而且留出更多显存，但 {} 学得更多。"),
    ("GPU {} ({}) cannot be used: {}.", "显卡 {}（{x}）无法使用：{t}。"),
    ("An older PyTorch may run there: {}.", "较旧的 PyTorch 也许能在上面运行：{}。"),
    ("{}: there is no NVIDIA GPU to train on.", "{}：没有可用于训练的 NVIDIA 显卡。"),
    ("It needs a GPU with {} GiB free.", "它需要一张空闲显存 {} GiB 的显卡。"),
    (
        "No preset fits: {}, and the smallest, {}, needs {} GiB plus {} GiB reserve.",
        "没有预设放得下：{t}，而最小的 {} 需要 {} GiB，另留 {} GiB 余量。",
    ),
    (
        "{} is what to try first, with resolution = 512; it may run out of memory.",
        "可以先试 {}，并设 resolution = 512；仍有可能显存不足。",
    ),
    ('Of {} GPUs it has the most memory: write gpus = "{}".', '{} 张显卡中它的显存最多：请写 gpus = "{}"。'),
    ("{} shows on the CPU how a training goes.", "{} 可以在 CPU 上演示训练过程。"),
    ("It needs no GPU, but trains the toy base only.", "它不需要显卡，但只训练内置的小模型。"),
)
