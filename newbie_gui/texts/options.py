"""Words of every setting: label, Chinese help, choices. The English help is the option's own, by the page's labels.

Keys: ``options.NAME`` (label, with its unit), ``options.NAME.help``, ``options.NAME=CHOICE``,
``options.group.HEADING``.
"""

import re
from collections.abc import Iterator
from types import MappingProxyType

from newbie_gui.texts.choices import CHOICES, GROUPS
from trainer_core.contracts.config import options

# Name: label in English, label in Chinese, help in Chinese.
_OPTIONS = MappingProxyType(
    {
        "base_model_path": (
            "Base model folder",
            "底模文件夹",
            "底模所在文件夹（transformer、文本编码器、VAE，Diffusers 格式）。必填，除非下面四个组件都单独指定。",
        ),
        "transformer_path": (
            "Transformer instead of the base's",
            "单独指定 Transformer",
            "代替底模中的 transformer：文件夹、.safetensors 文件（任意格式）或 .pth 文件。",
        ),
        "gemma_model_path": (
            "Gemma3 instead of the base's",
            "单独指定 Gemma3",
            "代替底模中的 Gemma3：文件夹、ComfyUI 文件，或 Hugging Face 仓库名，例如 google/gemma-3-4b-it。",
        ),
        "clip_model_path": (
            "Jina CLIP instead of the base's",
            "单独指定 Jina CLIP",
            "代替底模中的 Jina CLIP：文件夹、ComfyUI 文件，或 Hugging Face 仓库名，例如 jinaai/jina-clip-v2。",
        ),
        "vae_path": (
            "VAE instead of the base's",
            "单独指定 VAE",
            "代替底模中的 VAE：文件夹、FLUX 的 ae.safetensors，或 Hugging Face 仓库名。必须是 16 通道。",
        ),
        "train_data_dir": (
            "Training images",
            "训练数据集",
            "存放图片和同名 .txt 描述（caption）的文件夹。直接放在其中、名为 10_name 的文件夹会重复 10 次。",
        ),
        "output_dir": ("Folder for runs", "训练输出文件夹", "各次训练的文件夹都放在这里。"),
        "output_name": (
            "Name of the run",
            "训练名称",
            "这次训练的名称：既是输出文件夹中子文件夹的名称，也是文件的名称。",
        ),
        "cache_dir": (
            "Folder of the feature cache",
            "特征缓存文件夹",
            "编码后的图片和描述的缓存位置；留空则用输出文件夹中的 .cache。",
        ),
        "use_cache": (
            "Keep the cache on disk",
            "缓存保存到磁盘",
            "把编码后的图片和描述保存在磁盘上，下次启动无需重新编码；关闭则只在本次训练期间放在内存中。",
        ),
        "strict_data": (
            "Stop at broken data",
            "数据有问题时停止",
            "遇到损坏的图片或描述时停止训练，而不是跳过它。",
        ),
        "resolution": (
            "Resolution (px)",
            "分辨率（像素）",
            "训练图片会缩放到与该边长的正方形面积相同。未开启“放大小图”时，边长小 5% 以上的图片保持自己较小的尺寸，"
            "并裁剪到步长的整数倍。",
        ),
        "enable_bucket": (
            "Keep aspect ratios (buckets)",
            "保持宽高比（分桶）",
            "按相同面积分桶，保持图片的宽高比；关闭则裁剪为正方形。",
        ),
        "min_bucket_reso": (
            "Shortest bucket side (px)",
            "分桶最短边（像素）",
            "面积足够的桶的最短边长；小图片使用的较小尺寸可以更短。",
        ),
        "max_bucket_reso": ("Longest bucket side (px)", "分桶最长边（像素）", "桶的最长边长。"),
        "bucket_reso_step": ("Step between bucket sides (px)", "分桶步长（像素）", "相邻桶边长之间的差。"),
        "bucket_upscale": (
            "Enlarge small images",
            "放大小图",
            "把比桶小的图片放大；边长小不到 5% 的图片总是会放大。",
        ),
        "train_batch_size": ("Batch size (images)", "批大小（张）", "一个批次的图片数，都来自同一个分桶。"),
        "micro_batch_size": (
            "Images computed at once",
            "每次计算的图片数（张）",
            "一个批次中同时计算多少张图片；越少越省显存，学到的内容不变。",
        ),
        "gradient_accumulation_steps": (
            "Gradient accumulation (batches a step)",
            "梯度累积（每步批次数）",
            "累积多少个批次的梯度再更新一步。",
        ),
        "num_epochs": ("Epochs", "训练轮数（epoch）", "整个数据集训练多少遍。"),
        "max_train_steps": (
            "Steps at most (steps)",
            "最大步数（步）",
            "达到这么多优化器步数后结束训练，代替训练轮数。",
        ),
        "seed": ("Seed", "随机种子", "所有随机性的起点；种子相同，结果相同。"),
        "learning_rate": ("Learning rate", "学习率", "学习率的峰值，例如 1e-4 或 0.0001。"),
        "lr_scheduler": (
            "Learning-rate schedule",
            "学习率调度",
            "预热之后学习率如何变化。多项式（polynomial）的幂为 1，因此是线性的，但终点是 1e-7 而不是 0。",
        ),
        "lr_warmup_steps": ("Warm-up (steps)", "预热（步）", "学习率从 0 升到峰值所用的优化器步数。"),
        "lr_restarts": ("Restarts of the cosine", "余弦重启次数", "cosine_with_restarts 中余弦的个数。"),
        "optimizer_type": (
            "Optimizer",
            "优化器",
            "AdamW8bit 用 8 位保存优化器状态，需要 bitsandbytes 包。",
        ),
        "weight_decay": ("Weight decay", "权重衰减", "解耦的权重衰减系数。"),
        "adam_beta1": ("Adam beta 1", "Adam β1 系数", "Adam 中梯度均值的衰减率。"),
        "adam_beta2": ("Adam beta 2", "Adam β2 系数", "Adam 中梯度平方均值的衰减率。"),
        "adam_epsilon": ("Adam epsilon", "Adam ε 小量", "防止 Adam 除以零的小量。"),
        "gradient_clip_norm": ("Gradient clipping (norm)", "梯度裁剪（范数）", "梯度的最大范数；0 表示不裁剪。"),
        "adapter_type": (
            "Kind of adapter",
            "适配器类型",
            "lora：每层两个细长的矩阵，所有程序都能读取。lokr：与 LyCORIS 相同，一大一小两个矩阵的克罗内克积，"
            "参数量相近却是满秩的；只导出 ComfyUI 文件，lora_rank 对它不起作用。",
        ),
        "lora_rank": ("LoRA rank", "LoRA 秩（rank）", "适配器的秩：越大能学的越多，文件和显存占用也越大。"),
        "lora_alpha": (
            "LoRA alpha",
            "LoRA 缩放（alpha）",
            "适配器的缩放：其输出乘以 lora_alpha / lora_rank；LoKr 乘以 lora_alpha / lokr_rank，大因子完整时乘以 1。",
        ),
        "lora_dropout": ("LoRA dropout (share)", "LoRA dropout（比例）", "训练时适配器输入被随机丢弃的比例。"),
        "lora_target_modules": (
            "Modules with an adapter (one a line)",
            "训练 LoRA 的模块（每行一个）",
            "名称以其中之一结尾的模块都会加上适配器。",
        ),
        "lokr_factor": (
            "LoKr factor",
            "LoKr 因子（factor）",
            "LoKr 小因子的边长，用于边长能被它整除的层：越大，适配器越小。",
        ),
        "lokr_rank": (
            "LoKr rank",
            "LoKr 秩（rank）",
            "LoKr 大因子的秩上限；达到其较长边的一半时不再起限制作用。",
        ),
        "resume_from_lora": (
            "Start from a LoRA",
            "从已有 LoRA 开始",
            "适配器从这个 LoRA 文件或 PEFT 文件夹开始；留空则从零开始。已有检查点的训练会从检查点继续，不再用到它。",
        ),
        "timestep_sampling": ("Timestep sampling", "时间步采样", "训练时间步的分布。"),
        "mixed_precision": ("Precision", "混合精度", "前向计算的数值格式；fp16 需要显卡。"),
        "quantize_base": (
            "Quantised base",
            "量化底模",
            "冻结的模块以 8 位或 4 位保存：显存只需一半或四分之一，但更慢，底模也略有偏差。nf4 需要 bitsandbytes 包。",
        ),
        "quantize_gemma": (
            "Quantised text encoder",
            "量化文本编码器",
            "编码描述时，文本编码器 Gemma3 以 8 位或 4 位保存；得到的特征略有偏差。",
        ),
        "gradient_checkpointing": (
            "Gradient checkpointing",
            "梯度检查点",
            "反向传播时重新计算激活值：显存只需一小部分，计算量多五分之二。",
        ),
        "checkpoint_skip_every": (
            "Blocks that keep their activations: one in",
            "保留激活值的模块：每几个一个",
            "开启梯度检查点时，每这么多个模块中有一个保留激活值：更快，但更占显存。",
        ),
        "swap_blocks": (
            "Blocks swapped to main memory",
            "交换到内存的模块数",
            "开启梯度检查点时，这么多个主模块（官方底模共 36 个）的冻结权重放在锁页内存里，用到时才复制到显卡："
            "结果完全相同，显存更少，但更慢。",
        ),
        "recover_from_oom": (
            "Go on after running out of memory",
            "显存不足时自动继续",
            "显存不足时，从最近的检查点继续，并改用下一个省显存、又不改变每步所学内容的设置，同时给出说明；关闭则停止训练。",
        ),
        "attention_backend": (
            "Attention kernel",
            "注意力实现",
            "注意力的计算方式；varlen 和 flash 需要显卡，flash 还需要 flash-attn 包。",
        ),
        "compile_blocks": (
            "Compile the main blocks",
            "编译主模块",
            "用 torch.compile 编译主模块：启动要多花一分钟以上，CPU 上每步更快；在实测过的显卡上反而比不编译慢。"
            "结果只在末几位上有差别。Windows 上不可用。",
        ),
        "use_flash_attention_2": (
            "Use flash-attn where possible",
            "尽量使用 flash-attn",
            "能用 flash-attn 包时就用它，否则用 PyTorch 自带的实现（其中也有 flash）。",
        ),
        "device": ("Device", "设备", "在哪里训练；auto 表示有显卡就用显卡。"),
        "gpus": ("GPUs", "使用的显卡", "用哪些显卡训练，每步的图片由它们分担。"),
        "dataloader_num_workers": (
            "Data threads",
            "数据加载线程数",
            "计算当前批次时准备后续批次的线程数；0 表示用到时才准备。",
        ),
        "caption_dropout_rate": (
            "Caption dropout (share)",
            "描述丢弃率（比例）",
            "训练时把描述置空的比例。",
        ),
        "caption_dropout_jina": (
            "Drop the caption for Jina too",
            "Jina 也丢弃描述",
            "丢弃描述时 Jina 也不看描述；底模训练时只对 Gemma 丢弃。",
        ),
        "shuffle_caption": (
            "Shuffle tags",
            "打乱标签顺序",
            "打乱描述中标签的顺序；标签以逗号（包括“，”和“、”）或换行分隔。",
        ),
        "keep_tokens": (
            "Tags kept in front",
            "保持在最前的标签数",
            "打乱时开头有多少个标签保持不动；XML 描述中每个元素分别计算。",
        ),
        "keep_tokens_separator": (
            "Mark after the tags that stay",
            "固定标签的分隔符",
            "例如 |||：它前面的标签保持不动，后面的才会被打乱或略去；它本身会从描述中去掉。"
            "没有它的描述视为自然语言，保持原样。此时“保持在最前的标签数”不起作用。",
        ),
        "caption_tag_dropout_rate": (
            "Tags left out (share)",
            "标签丢弃率（比例）",
            "每个版本里略去的标签比例，只涉及打乱时会移动的标签。",
        ),
        "caption_variants": (
            "Variants of a caption",
            "每条描述的版本数",
            "每条描述打乱或略去标签后编码并缓存的版本数；每次取其中一个。",
        ),
        "enable_wildcard": (
            "Take one part of a caption with <split>",
            "描述含 <split> 时取其中一段",
            "描述中有 <split> 时，每次取其中一段，例如一段自然语言和一段标签。",
        ),
        "gemma3_prompt": (
            "One system prompt for all captions",
            "统一的系统提示词",
            "所有描述共用的系统提示词，只给 Gemma；留空则按描述种类使用下面两个。",
        ),
        "system_prompt_tags": (
            "System prompt for tags",
            "标签描述的系统提示词",
            "放在每条标签描述之前，只给 Gemma。",
        ),
        "system_prompt_xml": (
            "System prompt for XML",
            "XML 描述的系统提示词",
            "放在每条 XML 描述之前，只给 Gemma。",
        ),
        "max_gemma_tokens": (
            "Longest caption for Gemma (tokens)",
            "Gemma 描述最大长度（token）",
            "更长的描述会被截断（并指出是哪些）。",
        ),
        "max_jina_tokens": (
            "Longest caption for Jina (tokens)",
            "Jina 描述最大长度（token）",
            "更长的描述会被截断（并指出是哪些）。",
        ),
        "save_epochs_interval": (
            "Save every (epochs)",
            "每隔多少轮保存",
            "每隔这么多轮保存一个检查点并导出一个 LoRA。",
        ),
        "save_every_n_steps": ("Save every (steps)", "每隔多少步保存", "另外每隔这么多优化器步保存一次。"),
        "keep_last_n_checkpoints": (
            "Checkpoints kept",
            "保留的检查点数",
            "保留最新的几个检查点；保存后删除更旧的。",
        ),
        "sample_prompts": (
            "Sample prompts (one a line)",
            "样图提示词（每行一条）",
            "训练期间用来画样图的提示词；留空则不画。",
        ),
        "sample_negative_prompt": ("Negative prompt of samples", "样图反向提示词", "样图中不希望出现的内容。"),
        "sample_every_n_epochs": ("Draw samples every (epochs)", "每隔多少轮画样图", "每隔这么多轮画一次样图。"),
        "sample_every_n_steps": (
            "Draw samples every (steps)",
            "每隔多少步画样图",
            "另外每隔这么多优化器步画一次样图。",
        ),
        "sample_steps": ("Sampler steps (steps)", "采样步数（步）", "一张样图的欧拉采样步数。"),
        "sample_cfg": ("Guidance scale", "引导系数（CFG）", "引导系数；1 表示不引导。"),
        "sample_shift": ("Time shift", "时间偏移（shift）", "采样器的时间偏移。"),
        "sample_seed": ("Seed of samples", "样图种子", "第一条提示词的噪声种子。"),
        "sample_width": ("Width of samples (px)", "样图宽度（像素）", "样图的宽度。"),
        "sample_height": ("Height of samples (px)", "样图高度（像素）", "样图的高度。"),
        "validation_data_dir": (
            "Validation images",
            "验证数据集",
            "留作验证的图片和描述所在文件夹：只测量损失，绝不参与训练。",
        ),
        "validation_split": (
            "Share held out for validation",
            "留作验证的比例",
            "改为从训练图片中留出这一比例（有两张以上图片时至少留一张）；0 表示不留。",
        ),
        "validation_every_n_steps": (
            "Validate every (steps)",
            "每隔多少步验证",
            "每隔这么多优化器步测量一次验证损失。",
        ),
        "tensorboard": (
            "Write for TensorBoard too",
            "同时写 TensorBoard 日志",
            "同时为 TensorBoard 写出损失、学习率和样图（tensorboard --logdir 输出文件夹）。",
        ),
    }
)

# Settings named as in a file, the one-word ones (resolution, device) apart: those are plain English. And true, false.
_NAMED = re.compile(r"\b(?:" + "|".join(name for name in _OPTIONS if "_" in name) + r"|true|false)\b")


def in_labels(text: str) -> str:
    """The engine's English about a setting in the page's words: labels for names, on and off for true and false."""

    def word(found: re.Match[str]) -> str:
        name = found.group()
        if name in ("true", "false"):
            return {"true": "on", "false": "off"}[name]
        return f"“{_OPTIONS[name][0].partition(' (')[0]}”"

    return _NAMED.sub(word, text)


def _texts() -> Iterator[tuple[str, tuple[str, str]]]:
    for spec in options():
        english, chinese, help_zh = _OPTIONS[spec.name]
        yield f"options.{spec.name}", (english, chinese)
        yield f"options.{spec.name}.help", (in_labels(spec.help), help_zh)
    yield from ((f"options.group.{heading}", (heading, chinese)) for heading, chinese in GROUPS.items())
    yield from ((f"options.{choice}", words) for choice, words in CHOICES.items())


TEXTS = MappingProxyType(dict(_texts()))
