"""Whole sentences whose parts stand apart in the source, where the parts alone make no good Chinese."""

MESSAGES: tuple[tuple[str, str], ...] = (
    ("The configuration is not valid: 1 problem in {}", "配置有误：{} 中有 1 个问题"),
    ("The configuration is not valid: {} problems in {}", "配置有误：{1} 中有 {0} 个问题"),
    ("above {} and at most {}", "大于 {} 且不大于 {}"),
    (
        "{}: its caption {}.txt is empty; it is trained with the system prompt alone.",
        "{}：描述文件 {}.txt 是空的；训练时只使用系统提示词。",
    ),
    (
        "{}: its caption {}.txt is missing; it is trained with the system prompt alone.",
        "{}：没有描述文件 {}.txt；训练时只使用系统提示词。",
    ),
    ("{} states use_dora, but {} has no magnitude", "{} 写明了 use_dora，但 {} 没有 magnitude"),
    ("{} does not state use_dora, but {} has a magnitude", "{} 没有写明 use_dora，但 {} 有 magnitude"),
    ("use_cache = true and dataloader_num_workers = {}", "use_cache = true 和 dataloader_num_workers = {}"),
    (
        "Length: {}; for {} images {} to {} epochs are usual: {}.",
        "训练长度：{0t}；{1n} 张图片一般训练 {2n} 到 {3n} 轮：{4t}。",
    ),
    (
        "Length: {}; for most data sets {} to {} epochs are usual: {}.",
        "训练长度：{0t}；大多数数据集一般训练 {1n} 到 {2n} 轮：{3t}。",
    ),
    ("{} already exists and is not empty.", "{} 已存在，而且不是空的。"),
    ("caption cut at {} tokens for Gemma: {}…", "描述过长，对 Gemma 只保留前 {} 个 token：{}…"),
    ("caption cut at {} tokens for Jina: {}…", "描述过长，对 Jina 只保留前 {} 个 token：{}…"),
    ("The GPU ran out of memory.", "显存不足。"),
    (
        "its DoRA magnitude has shape {} (over input channels: LyCORIS without wd_on_out); expected: [{}]",
        "DoRA magnitude 的形状是 {}（按输入通道：未开 wd_on_out 的 LyCORIS）；应为 [{}]",
    ),
    (
        "{} is ignored: no code from a model's folder is ever run here, so nothing has to be trusted.",
        "已忽略 {}：本程序从不运行模型文件夹里的代码，因此无需信任任何代码。",
    ),
    ("{} is ignored: {}.", "已忽略 {}：{t}。"),
)
