"""Training: what refuses to begin, what stops it, what it warns of, its phases."""

MESSAGES: tuple[tuple[str, str], ...] = (
    # Before it begins.
    (
        "lora_target_modules: no module ends in {}. What exists: {}.",
        "lora_target_modules：没有名称以{x}结尾的模块。可用的有：{}。",
    ),
    ("(none given)", "（未填写）"),
    (
        "Remove the name or correct its spelling; names are matched by their dotted ending.",
        "请删除该名称或改正拼写；名称按带点的结尾匹配。",
    ),
    ("missing: {}", "缺少：{}"),
    ("not trained here: {}", "这里不训练：{}"),
    ("other shape: {}", "形状不同：{}"),
    ("not trained here", "这里不训练"),
    ("other shape", "形状不同"),
    ("{} does not fit this run's adapter; {}.", "{x}与这次训练的适配器不匹配；{x}。"),
    ("The checkpoint", "检查点"),
    (
        "Use the same lora_target_modules and lora_rank (of a LoKr lokr_factor and lokr_rank) as the file has.",
        "请使用与该文件相同的 lora_target_modules 和 lora_rank（LoKr 则是 lokr_factor 和 lokr_rank）。",
    ),
    (
        '{} is a {}; adapter_type = "{}" can only start from a {}.',
        '{} 是 {}；adapter_type = "{}" 时只能从 {} 开始。',
    ),
    (
        "{} holds LoKr and LoRA side by side; a run trains one of them.",
        "{} 里同时有 LoKr 和 LoRA；一次训练只能是其中一种。",
    ),
    ('Set adapter_type = "{}".', '请设 adapter_type = "{}"。'),
    (
        "Merge it into the base (`merge`), then train a new LoRA on the merged model.",
        "请先把它合并进底模，再用合并后的模型训练新的 LoRA。",
    ),
    ('device = "cuda", but PyTorch sees no NVIDIA GPU here.', 'device = "cuda"，但 PyTorch 看不到 NVIDIA 显卡。'),
    ("Check the driver with nvidia-smi.", "请用 nvidia-smi 检查驱动。"),
    ('Set device = "auto" or "cpu".', '请设 device = "auto" 或 "cpu"。'),
    ("PyTorch {} cannot use the GPU {} (driver {}): {}.", "PyTorch {} 无法使用显卡 {}（驱动 {}）：{t}。"),
    ("this is its build for the CPU", "这是 CPU 版"),
    ("its build for CUDA {} needs driver {} or newer", "CUDA {} 版需要 {} 或更新的驱动"),
    ("CUDA does not say why", "CUDA 没有说明原因"),
    (
        "PyTorch {} (CUDA {}) has no kernels for the GPU {}, whose compute capability is {}.{}.",
        "PyTorch {}（CUDA {}）没有适用于显卡 {} 的内核，它的计算能力是 {}.{}。",
    ),
    (
        "Start launch.sh or launch.bat with {}: that build has them.",
        "请以 {} 运行 launch.sh 或 launch.bat：那个版本有所需的内核。",
    ),
    (
        "Or leave this GPU out: set gpus to the numbers of the others.",
        "或不使用这张显卡：在 gpus 中只写其他显卡的编号。",
    ),
    (
        "Close the program, delete its .venv and start launch.sh or launch.bat: it installs the right build.",
        "请关闭程序，删除其中的 .venv 文件夹，再运行 launch.sh 或 launch.bat：它会安装适合的版本。",
    ),
    ("Update the NVIDIA driver, then restart the machine.", "请更新 NVIDIA 驱动，然后重启电脑。"),
    (
        "Or start launch.sh or launch.bat with {}: that build works with older drivers.",
        "或以 {} 运行 launch.sh 或 launch.bat：这个版本支持较旧的驱动。",
    ),
    (
        "Restart the machine, then check the driver with nvidia-smi.",
        "请重启电脑，再用 nvidia-smi 检查驱动。",
    ),
    (
        'Or choose the CPU (device = "cpu"): it suits the built-in base, a real one would take months.',
        '或选择 CPU（device = "cpu"）：只适合内置的小模型，真正的底模要训练几个月。',
    ),
    (
        "AdamW8bit needs an NVIDIA GPU; this run on the CPU uses AdamW: the same update, its state in 32 bits.",
        "AdamW8bit 需要 NVIDIA 显卡；这次用 CPU 训练，改用 AdamW：更新方式相同，状态为 32 位。",
    ),
    ('needs mixed_precision "bf16" or "fp16"', '需要 mixed_precision "bf16" 或 "fp16"'),
    (
        "Triton kernels {}; PyTorch's own do the same in up to half as much time again.",
        "Triton 内核{t}；改用 PyTorch 自带的运算，结果相同，用时最多增加一半。",
    ),
    (
        "checkpoint_skip_every = {} does nothing without gradient_checkpointing: every block keeps its activations.",
        "未开启 gradient_checkpointing 时，checkpoint_skip_every = {} 不起作用：所有模块都保留激活值。",
    ),
    ("compile_blocks: to compile {}; blocks run as they are.", "compile_blocks：编译{t}；模块照常运行。"),
    (
        "compile_blocks: the compiler failed, so blocks run as they are ({}).",
        "compile_blocks：编译器出错，模块照常运行（{}）。",
    ),
    ("has not been tried on Windows", "尚未在 Windows 上试过"),
    ("needs the package triton", "需要安装 triton"),
    ("need the package triton, which PyTorch brings along on Linux", "需要 triton，PyTorch 只在 Linux 上自带它"),
    ("need an NVIDIA GPU", "需要 NVIDIA 显卡"),
    ("failed here ({})", "在这里运行失败（{}）"),
    ("its results differ from PyTorch's", "结果与 PyTorch 的不同"),
    ("it gives no numbers", "结果不是有限的数"),
    ("needs a compiler ({})", "需要编译器（{}）"),
    (
        "use_flash_attention_2: flash-attn {}; PyTorch's own attention kernels are used.",
        "use_flash_attention_2：flash-attn{t}；改用 PyTorch 自带的注意力内核。",
    ),
    (
        "output_dir: the run folder {} lies inside {} ({}); its samples would be trained on.",
        "output_dir：训练记录文件夹 {} 在 {}（{}）里面；画出的样图会被当作训练图片。",
    ),
    ("Choose an output_dir outside of it.", "请选择在它之外的 output_dir。"),
    (
        'mixed_precision = "fp16" needs a GPU; this run uses the CPU.',
        'mixed_precision = "fp16" 需要显卡；而这次用 CPU 训练。',
    ),
    ('Set mixed_precision = "no" or "bf16".', '请设 mixed_precision = "no" 或 "bf16"。'),
    (
        'optimizer_type = "AdamW8bit" needs an NVIDIA GPU; this run uses the CPU.',
        'optimizer_type = "AdamW8bit" 需要 NVIDIA 显卡；而这次用 CPU 训练。',
    ),
    ('Set optimizer_type = "AdamW".', '请设 optimizer_type = "AdamW"。'),
    (
        'optimizer_type = "AdamW8bit" needs the package bitsandbytes, which is not installed.',
        'optimizer_type = "AdamW8bit" 需要 bitsandbytes，但没有安装。',
    ),
    ("pip install -r requirements.txt", "运行 pip install -r requirements.txt"),
    (
        'Or set optimizer_type = "AdamW" (its state takes four times the memory).',
        '或设 optimizer_type = "AdamW"（优化器状态占的显存是四倍）。',
    ),
    (
        '{} = "nf4" needs the package bitsandbytes, which is not installed.',
        '{} = "nf4" 需要 bitsandbytes 包，但没有安装。',
    ),
    (
        "swap_blocks = {}, but the transformer of this base has {} main blocks.",
        "swap_blocks = {}，但这个底模的 transformer 只有 {} 个主模块。",
    ),
    ("Set swap_blocks = {} for all of them, or less.", "请设 swap_blocks = {}（全部）或更小。"),
    (
        "swap_blocks: the driver did not pin the main memory of {} of {} blocks; copies from there are slow, and the "
        "computation waits for them.",
        "swap_blocks：驱动没有锁定 {1} 个模块中 {0} 个的内存；从那里复制较慢，计算要等待。",
    ),
    ('Or set {} = "int8".', '或设 {} = "int8"。'),
    (
        "The GPU ran out of memory while {}. The run goes on from {} with {}.",
        "{t}时显存不足。训练从{t}继续，并改用 {}。",
    ),
    ("From here on it trains beside a base that is a little off.", "此后训练时的底模略有偏差。"),
    ("All captions are encoded anew, with an encoder that is a little off.", "所有描述将用略有偏差的编码器重新编码。"),
    ("The run goes on with {}: with your own values it ran out of memory.", "训练以 {} 继续：用您自己的值时显存不足。"),
    (
        "Set recover_from_oom = false to go back to them where that is possible.",
        "要在可能的范围内改回自己的值，请设 recover_from_oom = false。",
    ),
    (
        "An epoch has {} steps now instead of {}: the run goes on as far into epoch {} as it was, and {} steps are "
        "left.",
        "现在每轮有 {0} 步（此前为 {1} 步）：训练从第 {2} 轮的相同进度继续，还剩 {3} 步。",
    ),
    (
        "The GPU ran out of memory while {}, {} at a time; it goes on one at a time.",
        "{t}时显存不足（每批 {} 个）；改为逐个进行。",
    ),
    (
        "stopped before it went on with less memory; its checkpoints are kept",
        "已在改用更省显存的设置继续之前停止；检查点已保留",
    ),
    (
        "The GPU ran out of memory, and the run's processes could not be started again with less.",
        "显存不足，且未能以更省显存的设置重新启动训练进程。",
    ),
    ("its checkpoint of step {}", "第 {} 步的检查点"),
    ("its beginning", "头"),
    ('gpus = "{}" names {} GPUs; PyTorch finds {} of them.', 'gpus = "{}" 指定了 {} 张显卡；PyTorch 只找到 {} 张。'),
    ("The processes of this run cannot be joined: {}", "这次训练的各个进程无法连接：{}"),
    ("Set gpus to a single GPU: one process needs no others.", "把 gpus 设为一张显卡：单个进程不需要连接。"),
    (
        "With accelerate launch or torchrun choose a free port (--main_process_port, --master_port).",
        "用 accelerate launch 或 torchrun 启动时请选一个空闲端口（--main_process_port、--master_port）。",
    ),
    ("NCCL_DEBUG=INFO makes NCCL say what it tries.", "设 NCCL_DEBUG=INFO 可让 NCCL 说明它在做什么。"),
    ("nvidia-smi lists the GPUs with their numbers.", "nvidia-smi 会列出显卡及其编号。"),
    ('Set gpus = "all" to use every one.', '设 gpus = "all" 可使用全部显卡。'),
    # Preparing.
    ("cache_dir: the features cannot be kept in {}: {} ({}).", "cache_dir：特征无法保存到 {}：{x}（{}）。"),
    ("Choose another cache_dir, or free this path.", "请换一个 cache_dir，或让出这个路径。"),
    (
        "Or set use_cache = false: features are then kept in memory and made anew at each start.",
        "或设 use_cache = false：特征只留在内存里，每次启动都重新生成。",
    ),
    (
        "{}: this {} gives features of width {}; the transformer expects {} ({}).",
        "{}：这个 {} 输出的特征宽度是 {}；transformer 需要 {}（{}）。",
    ),
    ("Use the encoders and the VAE that belong to this transformer.", "请使用与这个 transformer 配套的编码器和 VAE。"),
    ("The feature cache entry {} cannot be read ({}).", "无法读取特征缓存 {}（{x}）。"),
    (
        "Run `python -m trainer_core cache --verify {}`, then start the run again: it is made anew.",
        "请运行 `python -m trainer_core cache --verify {}`，再重新开始训练：缓存会重新生成。",
    ),
    (
        "This system prompt does not end in a space, as the base was trained with; one is added: {}",
        "这个系统提示词没有像底模训练时那样以空格结尾；已补上一个空格：{}",
    ),
    (
        "{} of {} images are not trained on: the same files are held out for validation.",
        "{1} 张图片中有 {0} 张不参与训练：相同的文件已留作验证。",
    ),
    (
        "Every image in {} is held out for validation as well; none is left to train on.",
        "{} 中的每张图片都已留作验证，没有可训练的图片。",
    ),
    (
        "Hold out other images, or leave validation_data_dir empty and set validation_split.",
        "请改用别的图片作验证，或清空 validation_data_dir 并设置 validation_split。",
    ),
    ("cut at {} tokens for Gemma: {}", "对 Gemma 在 {} token 处截断：{}"),
    ("cut at {} tokens for Jina: {}", "对 Jina 在 {} token 处截断：{}"),
    ("No image in {} could be read.", "{} 中的图片都无法读取。"),
    ("The processes of this run see different images in {}.", "这次训练的各个进程在 {} 里看到的图片不同。"),
    (
        "Every machine needs the same data set under the same path, and nobody may change it meanwhile.",
        "每台机器都要在相同路径下有相同的数据集，训练期间不能改动。",
    ),
    ("{} of {} images are held out for validation, not trained on.", "{1} 张图片中有 {0} 张留作验证，不参与训练。"),
    (
        "validation_split = {} holds nothing out of a single image: no validation loss is measured. Add images, or set "
        "validation_data_dir.",
        "只有一张图片，validation_split = {} 无法留出任何图片：不会计算验证损失。请添加图片，或设置 "
        "validation_data_dir。",
    ),
    (
        "validation_split = {} holds out {} of these {} images: at least one is always held out.",
        "validation_split = {} 实际留出了这 {2} 张图片的 {1}：至少会留出一张。",
    ),
    # Going on with a run.
    (
        "{} was trained with other settings that cannot change in between: {}.",
        "{} 之前训练时用的设置不同，而这些设置中途不能更改：{}。",
    ),
    ("Choose another output_name for a new run.", "要开始新的训练，请换一个 output_name。"),
    ("Or set these back to continue this one.", "或者改回原来的值，继续这次训练。"),
    ("{} changed from {} to {}; the run continues with the new value.", "{} 从 {} 改为 {}；训练会用新值继续。"),
    ("already finished: {}", "已经完成：{t}"),
    ("{} of {} steps are done", "{1} 步中的 {0} 步都已训练"),
    ("{} steps are done, more than the {} that {} asks for now", "已训练 {0n} 步，超过了 {2} 现在要求的 {1n} 步"),
    ("Checkpoint {} is damaged and was passed over.", "检查点 {} 已损坏，已跳过。"),
    ("Checkpoint {} is damaged: {} does not match its SHA-256.", "检查点 {} 已损坏：{x}与 SHA-256 不符。"),
    ("no manifest", "清单缺失，"),
    ("The next older checkpoint is used where there is one.", "如果有更早的检查点，就会使用它。"),
    ("The base model in {} is not the one this run was trained on.", "{} 中的底模不是这次训练原先使用的那个。"),
    ("Choose another output_name, or restore the base model.", "请换一个 output_name，或换回原来的底模。"),
    (
        "The data set (images, captions, repeats or buckets) differs from the one trained on so far.",
        "数据集（图片、描述、重复次数或分桶）与之前训练的不同。",
    ),
    (
        "Trained by {} process(es) so far and by {} now: a step holds other images.",
        "之前用 {} 个进程训练，现在用 {} 个：每步包含的图片会不同。",
    ),
    (
        "This run was trained with AdamW8bit on a GPU; its optimizer state cannot go on without one.",
        "这次训练是在显卡上用 AdamW8bit 进行的；没有显卡就无法沿用优化器状态。",
    ),
    (
        "Continue it on a machine with an NVIDIA GPU, or choose another output_name for a new run.",
        "请在有 NVIDIA 显卡的电脑上继续，或换一个 output_name 重新开始。",
    ),
    (
        "This run was begun with {} and goes on with it; {} cannot take over its state.",
        "这次训练一开始用的是 {}，将继续使用它；{} 无法接手它的状态。",
    ),
    (
        "lr_warmup_steps = {} covers all {} steps; the rate never peaks.",
        "lr_warmup_steps = {} 覆盖了全部 {} 步；学习率永远到不了峰值。",
    ),
    (
        "What an earlier life of this run exported after step {} was moved to {} in its folder.",
        "这次训练先前在第 {} 步之后导出的文件已移到其文件夹中的 {}。",
    ),
    (
        "What is held out for validation is not what was measured so far: the losses cannot be compared, and the best "
        "checkpoint is sought anew from here on.",
        "留作验证的内容与此前测量的不同：损失无法比较，从现在起重新寻找最好的检查点。",
    ),
    (
        "The learning rate rises from {} at the last step to {}: by its settings now, the run is at another place of "
        "its schedule.",
        "学习率从上一步的 {} 升到 {}：按现在的设置，训练处在学习率曲线的另一个位置。",
    ),
    # While it runs.
    (
        "The {} of step {} is not a finite number. Images of that step: {}.",
        "第 {1} 步的{0t}不是有限的数值。该步的图片：{2}。",
    ),
    ("loss", "损失"),
    ("gradient", "梯度"),
    (
        "The gradients of {} steps in a row overflowed in fp16, so these steps changed nothing. If that goes on, the "
        'run stops; mixed_precision = "bf16" does not overflow.',
        "连续 {} 步的梯度在 fp16 下溢出，这些步没有学到任何东西。如果持续如此，训练会停止；mixed_precision = "
        '"bf16" 不会溢出。',
    ),
    ("Look at those images and captions.", "请检查这些图片和描述。"),
    ("Lower learning_rate (to a half or a fifth).", "调低 learning_rate（降到二分之一或五分之一）。"),
    ('Use mixed_precision = "bf16" instead of "fp16".', '用 mixed_precision = "bf16" 代替 "fp16"。'),
    (
        "The last good checkpoint is kept: start the run again to continue from it.",
        "最后一个正常的检查点已保留：重新开始训练即可从它继续。",
    ),
    ("The base model's files may be damaged: fetch them again.", "底模文件可能已损坏：请重新下载。"),
    ("The GPU ran out of memory. {}", "显存不足。{}"),
    ("The disk is full: {}.", "磁盘已满：{x}。"),
    (
        "Not enough space for {} in {}: {} MiB needed, {} free. Nothing was written.",
        "{1} 空间不足，无法保存{0t}：需要 {2} MiB，剩余 {3} MiB。没有写入任何内容。",
    ),
    ("a checkpoint", "检查点"),
    ("an export", "导出文件"),
    ("the images", "图片"),
    (
        "Not enough space for the features of the data set in {}: at least {} MiB more are needed, {} are free.",
        "{} 空间不足，无法保存数据集的特征：至少还需要 {} MiB，剩余 {} MiB。",
    ),
    (
        "Free some space, then start the run again: what was encoded is kept.",
        "请腾出空间后重新开始训练：已编码的内容会保留。",
    ),
    ("Or set cache_dir to another disk.", "也可以把 cache_dir 设到另一个磁盘。"),
    (
        "Free some space, then start the run again: it continues from its last checkpoint.",
        "请腾出空间后重新开始训练：会从最后一个检查点继续。",
    ),
    ("Another process of this run failed.", "这次训练的另一个进程失败了。"),
    ("See train.log; please report this.", "请查看 train.log，并把这个问题反馈给我们。"),
    ("The loss does not fall. What to check:", "损失没有下降。请检查："),
    ("It could be faster:", "还可以更快："),
    ("stopped before training began; what was encoded is kept", "在训练开始前停止；已编码的内容会保留"),
    ("stopped after step {} of {}; saved", "在第 {} 步（共 {} 步）后停止；已保存"),
    ("{} steps done", "已完成 {n} 步"),
    ("already finished", "已经完成"),
)
