"""Configs of other trainers: what becomes of each key."""

MESSAGES: tuple[tuple[str, str], ...] = (
    ("taken", "照用"),
    ("taken as {}", "转为{t}"),
    ("added, because {}", "已补上，因为{t}"),
    ("ignored, because {}", "已忽略，因为{t}"),
    ("left out, as asked: {}", "按要求略去：{t}"),
    ("cannot be honoured yet: {}", "暂不支持：{t}"),
    ("is not known: {}", "未知：{t}"),
    ("left out", "略去"),
    (
        "a LoKr adapter; an ordinary LoRA would be trained instead, which is another shape of file and learns "
        "otherwise",
        "LoKr 适配器；这里会改为训练普通 LoRA，两者的文件结构和学习方式都不同",
    ),
    ("it asks for {}", "它要求{t}"),
    ("captions would be used as they stand", "描述会原样使用"),
    (
        "the adapter would start from the ordinary initialisation (noise and zeros)",
        "适配器会按普通方式初始化（噪声和零）",
    ),
    ("no code from a model's folder is ever run here", "本程序从不运行模型文件夹里的代码"),
    (
        "the threads of dataloader_num_workers keep enough batches ready; results are the same",
        "dataloader_num_workers 的线程已能备好足够的批次；结果相同",
    ),
    ("the cache is small and read ahead; results are the same", "缓存很小，并会提前读取；结果相同"),
    ("direction and magnitude (DoRA) would not be learnt apart", "不会像 DoRA 那样把方向和幅度分开学习"),
    (
        "the adapter's scale would be alpha / rank, not alpha / sqrt(rank)",
        "适配器的缩放会是 alpha / rank，而不是 alpha / sqrt(rank)",
    ),
    (
        "norm layers would not be trained (the fork reads this key and does not train them either)",
        "不会训练归一化层（该分支版本读取此键，但同样不训练它们）",
    ),
    ("every module would get lora_rank", "所有模块都会使用 lora_rank"),
    ("every module would get lora_alpha", "所有模块都会使用 lora_alpha"),
    (
        "the extra file with weights averaged over the steps (_ema) would not be made",
        "不会额外生成按步平均权重的文件（_ema）",
    ),
    ("it belongs to use_ema", "它属于 use_ema"),
    (
        "tags before the separator would be shuffled like the others, captions without it too, and the separator "
        "would stay in the text; keep_tokens counts tags instead",
        "分隔符之前的标签会和其他标签一样被打乱，没有分隔符的描述也一样，分隔符还会留在文本里；请改用按标签数计算的 "
        "keep_tokens",
    ),
    (
        "{}, with every <split> variant in one text, instead of one variant at a time",
        "{t}，所有 <split> 变体都在同一段文本里，而不是每次取一个变体",
    ),
    ("no tag would be left out at random", "不会随机丢弃标签"),
    ("artist tags would never be left out", "不会丢弃画师标签"),
    ("the second loss on a smaller copy would not be added", "不会加入缩小图上的第二个损失"),
    ("it belongs to use_multires_loss", "它属于 use_multires_loss"),
    ("the VAE would pad with zeros, so edges are encoded otherwise", "VAE 会用零填充边缘，因此边缘的编码结果不同"),
    (
        "nothing is sent to other servers; events.jsonl has the losses, tensorboard = true shows them",
        "不会向其他服务器发送任何数据；损失记录在 events.jsonl，设 tensorboard = true 即可查看",
    ),
    ("another model (Anima)", "另一个模型（Anima）"),
    ("another training (preferences, DPO)", "另一种训练（偏好、DPO）"),
    ("the other trainer always draws timesteps so", "原训练器总是这样抽取时间步"),
    ("without this key the other trainer drops no caption", "没有此键时，原训练器不会丢弃描述"),
    ("without this key the other trainer uses full precision", "没有此键时，原训练器使用全精度"),
    ("without this key the other trainer uses AdamW", "没有此键时，原训练器使用 AdamW"),
    ("the other trainer always enlarges small images", "原训练器总是放大小图片"),
    (
        "the fork reads 1280 tokens of a caption, of which the base has places for 1023",
        "该分支会读取描述的 1280 个 token，而底模只有 1023 个位置",
    ),
    ("the fork drops a caption for Jina too", "该分支对 Jina 也丢弃描述"),
    ("without this key the other trainer takes lora_rank", "没有此键时，原训练器取 lora_rank 的值"),
    ("it belongs to a config for {}", "它属于{t}的配置"),
    (
        'it belongs to another trainer\'s config; "python -m trainer_core import FILE" translates such a file',
        "它属于其他训练器的配置；可用“导入其他 NewBie 训练器的配置”转换这样的文件",
    ),
    ("--without {}: the file has no such key.", "--without {}：文件里没有这个键。"),
    ("This file is for {}: it sets {}. Nothing was written.", "这个文件用于{t}：其中设置了 {}。没有写入任何内容。"),
    (
        "Start from config_template.toml, or from: python -m trainer_core presets auto",
        "请从 config_template.toml 或自动选择的策略预设开始",
    ),
    ("its default counts", "使用其默认值"),
    ("it is not an option", "没有这个选项"),
    ("it is a detail of {}, whose line says what becomes of it", "它是 {} 的细节，处理方式见 {0} 那一行"),
    ("it is a detail of {}, which is off", "它是 {} 的细节，而 {0} 已关闭"),
    ("with this value it asks for nothing", "取这个值时它不起作用"),
    ("lora_alpha = {}, which is {} * sqrt({}): the same scale", "lora_alpha = {}，即 {} * sqrt({})：缩放不变"),
    (
        "there is no second loss here; some versions of the fork add it where this key is missing",
        "这里没有第二个损失；该分支的某些版本在缺少此键时会加上它",
    ),
)
