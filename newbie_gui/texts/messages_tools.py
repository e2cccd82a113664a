"""Tools: merging, converting, where they write."""

MESSAGES: tuple[tuple[str, str], ...] = (
    ("{} is to become a folder, but is named like a file.", "{} 要写成文件夹，但名称像是文件。"),
    (
        "Leave {} away for a folder; one file for ComfyUI ends in {}.",
        "文件夹请去掉 {}；ComfyUI 的单个文件以 {} 结尾。",
    ),
    ("{} must end in .safetensors: one file is written.", "{} 必须以 .safetensors 结尾：输出是单个文件。"),
    (
        "{}: {} holds values beyond what fp16 can (65504). Nothing was written.",
        "{}：{} 含有超出 fp16 范围（65504）的数值。没有写入任何内容。",
    ),
    (
        "Use bf16, which has the range of fp32 and the size of fp16.",
        "请使用 bf16：范围与 fp32 相同，大小与 fp16 相同。",
    ),
    ("a name ending in {}", "以 {} 结尾的名称"),
    ("a folder, not {}", "文件夹，而不是 {}"),
    ("{}: the {} form needs {}.", "{}：{} 形式需要{t}。"),
    (
        "{} is a DoRA: ComfyUI and PEFT scale its magnitude differently, and the base's weights are needed to convert "
        "between them.",
        "{} 是 DoRA：ComfyUI 和 PEFT 对 magnitude 的缩放不同，两者之间转换需要底模的权重。",
    ),
    (
        "Give the base model that it was trained on (on a command line --base).",
        "请指定训练它时使用的底模（命令行用 --base）。",
    ),
    ("Strength {} is not usable; allowed: -100 to 100.", "强度 {} 无效；允许 -100 到 100。"),
    (
        "{} does not fit this base: {} of {} modules are absent or of another shape ({}). Nothing was written.",
        "{0} 与这个底模不匹配：{2} 个模块中有 {1} 个不存在或形状不同（{3v}）。没有写入任何内容。",
    ),
    ("Use the base model that the LoRA was trained on.", "请使用训练该 LoRA 时的底模。"),
    (
        "{} is a single file, so {} cannot become a whole model folder.",
        "{} 是单个文件，因此 {} 无法成为完整的模型文件夹。",
    ),
    (
        "Give an output that ends in {}, or the folder of a whole base model.",
        "请把输出名改为以 {} 结尾，或使用完整底模的文件夹。",
    ),
    ("{} is quantised ({}: {}); a LoRA cannot be merged into it.", "{} 是量化过的（{}：{v}）；无法把 LoRA 合并进去。"),
    (
        "Merge into the bf16, fp16 or fp32 base, then quantise the result.",
        "请先合并进 bf16、fp16 或 fp32 底模，再量化结果。",
    ),
    (
        "{} does not store the official names, so no model folder can be made from it.",
        "{} 没有使用官方的张量名，因此无法生成模型文件夹。",
    ),
    (
        "{} has {} merged in already (strength {}): it is applied once more.",
        "{} 已经合并过 {}（强度 {}）：现在会再叠加一次。",
    ),
    (
        "If that is not meant, leave the LoRA out, or take the base without it.",
        "如果不想这样，请去掉这个 LoRA，或改用没有合并过它的底模。",
    ),
    (
        "{} now holds two transformers: as a base, give the file of the one that is meant.",
        "{} 现在有两个 transformer：作为底模时，请指定其中要用的那个文件。",
    ),
    (
        "{} holds no .safetensors files, so no model folder can be made from it.",
        "{} 里没有 .safetensors 文件，因此无法生成模型文件夹。",
    ),
    ("Or convert the base to the official folder first.", "或先把底模转换成官方格式。"),
    (
        "Give an output that ends in .safetensors: one file for ComfyUI.",
        "请把输出名改为以 .safetensors 结尾：生成 ComfyUI 用的单个文件。",
    ),
    (
        "{} was trained with another system prompt or token limit than {}, whose are taken for both.",
        "{0} 训练时的系统提示词或 token 上限与 {1} 不同；两者都按 {1} 的设置。",
    ),
    ("prompt cut at {} tokens for Gemma: {}…", "提示词过长，对 Gemma 只保留前 {} 个 token：{}…"),
    ("prompt cut at {} tokens for Jina: {}…", "提示词过长，对 Jina 只保留前 {} 个 token：{}…"),
    (
        "As the GPU has {} GiB free, Gemma3 is held in {} bits a number and the transformer in {}, {} of its blocks in "
        "main memory.",
        "显卡空闲显存 {} GiB，因此 Gemma3 每个数只占 {} 位，transformer 每个数只占 {} 位，其中 {} 个模块放在内存里。",
    ),
    (
        "As the GPU has {} GiB free, Gemma3 is held in {} bits a number and the transformer in {}.",
        "显卡空闲显存 {} GiB，因此 Gemma3 每个数只占 {} 位，transformer 每个数只占 {} 位。",
    ),
    ("Make smaller pictures.", "请画小一些的图片。"),
    ("{} already exists.", "{} 已存在。"),
    ("{} already exists{}.", "{} 已存在{t}。"),
    ("and is not empty", "，而且不是空的"),
    ("Choose another name, or remove it.", "请换个名称，或先删除它。"),
    ("{} lies inside {}.", "{} 在 {} 里面。"),
    ("Choose a place outside of it.", "请选择在它之外的位置。"),
    ("Free some space, or write to another disk.", "请腾出空间，或写到别的磁盘。"),
    ("{} could not be written: {}. Nothing was left behind.", "无法写入 {}：{x}。没有留下任何残余文件。"),
    ("Choose a place that you may write to.", "请选择有写入权限的位置。"),
    ("Another demo is at work in {}.", "另一个演示正在使用 {}。"),
    ("For a second one choose another folder with --output.", "要再运行一个，请用 --output 指定另一个文件夹。"),
    ("{} is a file; a folder is needed.", "{} 是文件；这里需要文件夹。"),
    ("{} holds files that no demo made; nothing was touched.", "{} 里有不是演示生成的文件；没有改动任何内容。"),
    ("Choose another folder with --output.", "请换一个文件夹（--output）。"),
)
