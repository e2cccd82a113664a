"""Names of what stands around the settings in the form: the headings of their groups, and the values to choose from."""

from types import MappingProxyType

GROUPS = MappingProxyType(
    {
        "Model and data": "模型与数据",
        "Image sizes": "图片尺寸",
        "Length and batches": "训练长度与批次",
        "Optimizer": "优化器",
        "LoRA": "LoRA 适配器",
        "Hardware": "硬件",
        "Captions": "描述",
        "Checkpoints": "检查点",
        "Samples": "样图",
        "Validation": "验证",
        "Logging": "日志",
    }
)

# Only where the value alone does not say enough.
CHOICES = MappingProxyType(
    {
        "lr_scheduler=cosine": ("cosine", "余弦（cosine）"),
        "lr_scheduler=linear": ("linear", "线性（linear）"),
        "lr_scheduler=constant": ("constant", "恒定（constant）"),
        "lr_scheduler=constant_with_warmup": ("constant (its other name)", "恒定（constant_with_warmup，同上）"),
        "lr_scheduler=cosine_with_restarts": ("cosine with restarts", "带重启的余弦（cosine_with_restarts）"),
        "lr_scheduler=polynomial": ("polynomial (as linear)", "多项式（polynomial，同线性）"),
        "optimizer_type=AdamW8bit": ("AdamW8bit (less memory)", "AdamW8bit（省显存）"),
        "adapter_type=lora": ("lora (every program reads it)", "lora（所有程序都能读取）"),
        "adapter_type=lokr": ("lokr (Kronecker product, for ComfyUI)", "lokr（克罗内克积，用于 ComfyUI）"),
        "timestep_sampling=uniform": ("uniform: all noise levels alike", "均匀（uniform）"),
        "timestep_sampling=lognorm": (
            "lognorm: middle noise levels more often",
            "对数正态（lognorm）：中等噪声更多",
        ),
        "mixed_precision=bf16": ("bf16 (recommended)", "bf16（推荐）"),
        "mixed_precision=fp16": ("fp16 (for cards before RTX 30)", "fp16（RTX 30 之前的显卡）"),
        "mixed_precision=no": ("no: 32 bits", "不使用（32 位）"),
        "quantize_base=no": ("no: as it is", "不量化"),
        "quantize_base=int8": ("int8: half the memory", "int8：显存减半"),
        "quantize_base=nf4": ("nf4: a quarter of the memory", "nf4：显存约四分之一"),
        "quantize_gemma=no": ("no: as it is", "不量化"),
        "quantize_gemma=int8": ("int8: half the memory", "int8：显存减半"),
        "quantize_gemma=nf4": ("nf4: a quarter of the memory", "nf4：显存约四分之一"),
        "attention_backend=sdpa": ("sdpa: PyTorch's own (default)", "sdpa：PyTorch 自带（默认）"),
        "attention_backend=varlen": ("varlen: without padding", "varlen：无填充"),
        "attention_backend=flash": ("flash: the flash-attn package", "flash：flash-attn 包"),
        "device=auto": ("auto: a GPU if there is one", "自动：有显卡就用显卡"),
        "device=cpu": ("cpu", "CPU（不用显卡）"),
        "device=cuda": ("cuda: NVIDIA GPU", "cuda：NVIDIA 显卡"),
    }
)
