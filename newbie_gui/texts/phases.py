"""What a job is doing: "phase." + the name by which the engine says it, see `Texts.phase`."""

from types import MappingProxyType

TEXTS = MappingProxyType(
    {
        # Training.
        "phase.preparing": ("preparing", "准备"),
        "phase.checking data": ("checking the data", "检查数据"),
        "phase.loading Gemma3": ("loading the text encoder (Gemma 3)", "加载文本编码器（Gemma 3）"),
        "phase.encoding captions (Gemma3)": ("encoding captions (Gemma 3)", "编码描述（Gemma 3）"),
        "phase.loading Jina CLIP": ("loading the text encoder (Jina CLIP)", "加载文本编码器（Jina CLIP）"),
        "phase.encoding captions (Jina CLIP)": ("encoding captions (Jina CLIP)", "编码描述（Jina CLIP）"),
        "phase.loading the VAE": ("loading the VAE", "加载 VAE"),
        "phase.encoding images": ("encoding images", "编码图片"),
        "phase.loading": ("loading", "加载"),
        "phase.loading the transformer": ("loading the model", "加载模型"),
        "phase.training": ("training", "训练"),
        "phase.validating": ("validating", "验证"),
        "phase.drawing samples": ("drawing samples", "画样图"),
        "phase.sampling": ("drawing samples", "画样图"),
        "phase.trying a step": ("trying a step", "试跑"),
        # Data sets.
        "phase.reading the list of files": ("reading the list of files", "读取文件列表"),
        "phase.taking in pictures": ("taking in pictures", "导入图片"),
        "phase.looking at pictures": ("looking at pictures", "检查图片"),
        "phase.counting tokens": ("counting tokens", "统计 token"),
        "phase.drawing": ("drawing training pictures", "画训练图片"),
        # Models.
        "phase.listing": ("asking for the list of files", "查询文件列表"),
        "phase.downloading": ("downloading", "下载"),
        "phase.checking": ("checking what arrived", "校验已下载的文件"),
        "phase.merging": ("merging", "合并"),
        "phase.converting": ("converting", "转换"),
        "phase.reading prompts": ("reading the prompts", "编码提示词"),
        "phase.loading the base": ("loading the base model", "加载底模"),
        "phase.painting": ("painting", "出图"),
    }
)

# Where a message names a phase.
MESSAGES: tuple[tuple[str, str], ...] = tuple((key.removeprefix("phase."), pair[1]) for key, pair in TEXTS.items())
