"""Words of the base model's panel on the Settings tab."""

from types import MappingProxyType

TEXTS = MappingProxyType(
    {
        "base.heading": ("Base model", "底模"),
        "base.how": ("Base model from", "底模来源"),
        "base.how.builtin": ("Built-in (tiny, to try things)", "内置（很小，用于试用）"),
        "base.how.folder": ("A folder or one made here", "文件夹，或在这里得到的底模"),
        "base.how.comfyui": ("Files of ComfyUI", "ComfyUI 的文件"),
        "base.how.convert": ("Convert…", "转换…"),
        "base.how.download": ("Download…", "下载…"),
        "base.builtin.help": (
            "A model of 14 MB that learns simple shapes on any machine, without a GPU. For real pictures use NewBie.",
            "约 14 MB 的小模型，在没有显卡的机器上也能学会简单图形。要生成真正的图片请使用 NewBie。",
        ),
        "base.builtin.name": ("built-in", "内置"),
        "base.folder": ("Folder of the base model", "底模文件夹"),
        "base.folder.help": (
            "Choose one, or type a path: the official folder, diffusers' layout, ComfyUI's models folder, or the "
            "transformer's file.",
            "选择一个，或输入路径：官方格式、diffusers 格式、ComfyUI 的 models 文件夹，或 transformer 文件。",
        ),
        "base.comfyui.folder": ("ComfyUI's models folder", "ComfyUI 的 models 文件夹"),
        "base.comfyui.help": (
            "Its files are recognised by what they hold, not by their names, and stay where they are.",
            "按文件内容而不是名称识别；文件留在原处。",
        ),
        "base.comfyui.find": ("Find the files", "查找文件"),
        "base.comfyui.use": ("Use these files", "使用这些文件"),
        "base.comfyui.found": (
            "Found for each part (usable files): {counts}.",
            "各组件找到的可用文件数：{counts}。",
        ),
        "base.comfyui.quantised": ("quantised, not read", "量化文件，不支持"),
        "base.comfyui.misfit": ("for another model", "属于其他模型"),
        "base.convert.help": (
            "Write the base in another layout. Nothing is asked of the network; what exists is never overwritten.",
            "把底模写成另一种格式。不会访问网络，也不会覆盖已有文件。",
        ),
        "base.convert.source": ("What to convert", "要转换的底模"),
        "base.convert.source.help": (
            "A folder or file in any layout. Empty: the base that is chosen now, with its parts.",
            "任意格式的文件夹或文件。留空则转换当前选择的底模及其各组件。",
        ),
        "base.convert.to": ("Convert to", "转换为"),
        "base.convert.to.official": ("Official folder", "官方格式的文件夹"),
        "base.convert.to.comfyui": ("One file for ComfyUI (transformer only)", "ComfyUI 单文件（仅 transformer）"),
        "base.convert.dtype": ("Precision", "精度"),
        "base.convert.dtype.keep": ("as it is", "保持不变"),
        "base.convert.start": ("Convert", "开始转换"),
        "base.download.help": (
            "First it asks for the size; then you confirm. A download that was stopped or cut goes on where it was. "
            "HF_ENDPOINT and HF_TOKEN are honoured. Besides, only a training whose settings name a part by its hub id "
            "contacts the internet.",
            "先查询大小，再由你确认。中断的下载会从断点继续。支持 HF_ENDPOINT 和 HF_TOKEN。除此之外，"
            "只有设置中用 Hugging Face 仓库名指定组件的训练才会访问互联网。",
        ),
        "base.download.repo": ("Repository on Hugging Face", "Hugging Face 仓库"),
        "base.download.parts": ("Parts from other repositories", "来自其他仓库的组件"),
        "base.download.part.help": (
            "org/name, org/name/folder or org/name/file. Empty: from the repository above.",
            "org/name、org/name/文件夹 或 org/name/文件。留空则取自上面的仓库。",
        ),
        "base.download.plan": ("Download: ask for the size", "下载：先查询大小"),
        "base.download.confirm": ("Download {size} now", "现在下载 {size}"),
        "base.name": ("Name of the new base", "新底模的名称"),
        "base.name.help": ("It will lie in {folder}.", "将保存在 {folder}。"),
        "base.stop": ("Stop", "停止"),
        "base.use": ("Use this base", "使用这个底模"),
        "base.title.plan": ("Size of {name}", "查询 {name} 的大小"),
        "base.title.download": ("Download {name}", "下载 {name}"),
        "base.title.convert": ("Convert to {name}", "转换为 {name}"),
        "base.report": ("Check of the base model", "底模检查"),
        "base.report.good": ("Usable: {layout}, {size} in all.", "可以使用：{layout}，共 {size}。"),
        "base.report.bad": ("Not usable yet.", "还不能使用。"),
        "base.report.none": ("No base model is chosen yet.", "还没有选择底模。"),
        "base.report.part": ("Part", "组件"),
        "base.report.state": ("State", "状态"),
        "base.report.size": ("Size", "大小"),
        "base.report.where": ("Where", "位置"),
        "base.report.hints": ("What to do", "解决办法"),
        "base.layout.official": ("official folder", "官方格式"),
        "base.layout.diffusers": ("diffusers' layout", "diffusers 格式"),
        "base.layout.comfyui": ("ComfyUI's models folder", "ComfyUI 的 models 文件夹"),
        "base.layout.parts": ("put together from single parts", "由单独的组件组成"),
        "base.part.transformer": ("Transformer (NewBie)", "Transformer（NewBie 主模型）"),
        "base.part.text_encoder": ("Text encoder (Gemma 3)", "文本编码器（Gemma 3）"),
        "base.part.clip_model": ("Text encoder (Jina CLIP)", "文本编码器（Jina CLIP）"),
        "base.part.vae": ("VAE (pictures)", "VAE（图像编解码）"),
        "base.state.good": ("✓ good", "✓ 正常"),
        "base.state.unread": ("✓ there; looked into when it is loaded", "✓ 已找到；加载时再检查内容"),
        "base.state.hub": (
            "named by a hub id; Start downloads what is missing",
            "用 Hugging Face 仓库名指定；训练开始时会下载缺少的文件",
        ),
        "base.state.missing": ("✗ missing", "✗ 缺少"),
        "base.state.refused": ("✗ not usable", "✗ 不能使用"),
        "base.job.waiting": (
            "{title}: waiting, place {position} in the queue.",
            "{title}：排队中，第 {position} 位。",
        ),
        "base.job.running": ("{title}: at work, {phase}", "{title}：进行中，{phase}"),
        "base.job.bytes": (
            "{title}: {phase}, {done} of {total} ({percent} %)",
            "{title}：{phase}，{done} / 共 {total}（{percent} %）",
        ),
        "base.job.stopping": ("{title}: stopping…", "{title}：正在停止…"),
        "base.job.stopped": ("{title}: stopped.", "{title}：已停止。"),
        "base.job.kept": (
            "What was fetched is kept: the same download goes on from there.",
            "已下载的内容会保留：重新下载时从断点继续。",
        ),
        "base.job.cancelled": ("{title}: taken out of the queue.", "{title}：已从队列移除。"),
        "base.job.failed": ("{title}: failed.", "{title}：失败。"),
        "base.job.finished": ("{title}: done, {size}.", "{title}：已完成，{size}。"),
        "base.job.file": ("The new file", "新文件"),
        "base.job.plan": (
            "{title}: {size} in {files} files, {have} of them are here already. Free on this disk: {free}.",
            "{title}：{files} 个文件共 {size}，其中 {have} 已在本机。磁盘可用空间：{free}。",
        ),
        "base.job.short": (
            "{missing} too little on this disk. Free some room, or start the trainer with another --workspace.",
            "磁盘空间不足，还差 {missing}。请腾出空间，或用 --workspace 换一个工作文件夹启动。",
        ),
        "base.nothing": ("Choose a file for every part first.", "请先为每个组件选择文件。"),
        "base.no_plan": ("Ask for the size first.", "请先查询大小。"),
        "base.no_source": ("Choose a base model, or say what to convert.", "请先选择底模，或填写要转换的底模。"),
    }
)
