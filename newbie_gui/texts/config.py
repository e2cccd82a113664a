"""Words of the Settings tab."""

from types import MappingProxyType

TEXTS = MappingProxyType(
    {
        "config.advanced": ("More: {group}", "更多：{group}"),
        "config.help.zero": ("{help} 0: {zero}.", "{help}填 0 表示“{zero}”。"),
        "config.help.lines": (
            "{help} One a line; entries of several lines need a line {separator} between them.",
            "{help}每行一项；多行的条目之间单独写一行 {separator}。",
        ),
        "config.dataset.help": (
            "Choose a data set made here, or type the path of a folder on this machine. {help}",
            "选择在这里建立的数据集，或输入本机文件夹的路径。{help}",
        ),
        "config.problem.number": ("This is not a number. It must be {allowed}.", "这不是数字。必须是{allowed}。"),
        "config.problem.empty": ("Is empty. It must be {allowed}.", "不能为空。必须是{allowed}。"),
        "config.problem.unset": ("Must be set. {help}", "必须填写。{help}"),
        "config.problem.allowed": ("Must be {allowed}", "必须是{allowed}"),
        "config.problem.arriving": (
            "Its pictures are still arriving; there is none yet that can be used.",
            "图片仍在导入，目前还没有可用的图片。",
        ),
        "config.problem.missing": ("There is nothing at this path.", "这个路径不存在。"),
        "config.problem.modules": (
            "No module of this base ends in {names}. Take it out or correct it.",
            "这个底模中没有名称以 {names} 结尾的模块。请删除或改正。",
        ),
        "config.problem.begun": (
            "A run of this name has begun with other values of: {names}. They cannot change in between. "
            "Choose another name for a new run, for example {free}.",
            "同名训练已用不同的设置开始：{names}。这些设置中途不能更改。新的训练请换一个名称，例如 {free}。",
        ),
        "config.warning.begun": (
            "A run named {name} is there already: Start continues it. Choose another name for a new run.",
            "已有名为 {name} 的训练：点“开始训练”会继续它。新的训练请换一个名称。",
        ),
        "config.warning.enough": (
            "A run named {name} is there already and has done {steps} steps, all that is asked for here: nothing is "
            "left to train. Make it longer, or choose another name for a new run.",
            "已有名为 {name} 的训练，并且已训练 {steps} 步，达到这里要求的长度，没有剩余的训练。"
            "请加长，或换一个名称开始新的训练。",
        ),
        "config.warning.no_gpu": (
            "Device is cuda, but there is no NVIDIA GPU here; training would refuse.",
            "设备选择了 cuda，但这里没有 NVIDIA 显卡，训练会拒绝开始。",
        ),
        "config.warning.gpus": (
            "None of the GPUs {gpus} is in this machine.",
            "本机没有编号为 {gpus} 的显卡。",
        ),
        "config.warning.cpu": (
            "The real model on the CPU: a step takes minutes or more. Use a GPU, or the built-in base to try things.",
            "在 CPU 上训练真正的模型：一步就要几分钟以上。请使用显卡，或用内置底模试用。",
        ),
        "config.warning.memory": (
            "{more} GiB more main memory is needed than is free.",
            "内存不足：比空闲内存多需要 {more} GiB。",
        ),
        "config.warning.card": (
            "It will not fit on GPU {index} ({name}): {more} GiB too little.",
            "显卡 {index}（{name}）放不下：还差 {more} GiB 显存。",
        ),
        "config.warning.occupied": (
            "It does not fit on GPU {index} ({name}) now: {more} GiB too little, while other programs or a running "
            "job hold {used} GiB.",
            "显卡 {index}（{name}）现在放不下：还差 {more} GiB；其他程序或正在运行的任务占用了 {used} GiB。",
        ),
        "config.warning.disk": (
            "The run may write {needed} GiB, but only {free} GiB of the disk are free. Save less often, or choose "
            "another folder for runs.",
            "这次训练最多会写 {needed} GiB，但磁盘只剩 {free} GiB。请减少保存次数，或换一个输出文件夹。",
        ),
        "config.status.reading": ("The training images are still being read", "正在读取训练图片"),
        "config.status.ready": ("Ready to start", "可以开始"),
        "config.status.problem": ("One problem to solve before Start", "开始前需解决 1 个问题"),
        "config.status.problems": ("{count} problems to solve before Start", "开始前需解决 {count} 个问题"),
        "config.status.first": ("{count}: {setting}. {problem}", "{count}，见“{setting}”：{problem}"),
        "config.status.warnings": ("Warnings", "警告"),
        "config.status.none": ("Unknown until the problems are solved", "解决问题后才能估计"),
        "config.live": ("What this run will need", "这次训练需要什么"),
        "config.live.counting": ("counting…", "正在统计…"),
        "config.live.replaced": (
            "Forecast with default values for: {names}.",
            "估计时以下设置用默认值代替：{names}。",
        ),
        "config.live.hints": ("To make it smaller, in this order", "按以下顺序减少占用"),
        "config.memory.gpu": ("Memory of GPU {index} ({name})", "显卡 {index}（{name}）的显存"),
        "config.memory.cpu": ("Main memory", "内存"),
        "config.memory.fits": ("Fits", "放得下"),
        "config.memory.short": ("Does not fit", "放不下"),
        "config.memory.words": (
            "{needed} GiB at the peak ({phase}); {free} of {total} GiB are free.",
            "峰值 {needed} GiB（{phase}）；空闲 {free} / {total} GiB。",
        ),
        "config.memory.used": ("in use now", "已被占用"),
        "config.memory.reserve": ("driver and allocator", "驱动与分配器"),
        "config.memory.phases": ("Memory by phase", "各阶段占用"),
        "config.memory.phase": ("Phase", "阶段"),
        "config.memory.size": ("Size (GiB)", "大小（GiB）"),
        "config.memory.parts": ("Made of", "组成"),
        "config.memory.peak": ("{phase} (peak)", "{phase}（峰值）"),
        "config.notes": ("What was assumed", "估计的前提"),
        "config.steps": ("Steps", "步数"),
        "config.steps.words": (
            "{total}, {per_epoch} an epoch; images a step: {images}",
            "共 {total} 步，每轮 {per_epoch} 步；每步 {images} 张图片",
        ),
        "config.steps.data": (
            "{images} images, shown {shown} times an epoch",
            "{images} 张图片，每轮共看 {shown} 次",
        ),
        "config.steps.unknown": ("unknown without a data set", "选择数据集后可知"),
        "config.steps.saves": ("saves: {saves}; sample pictures: {pictures}", "保存 {saves} 次；样图 {pictures} 张"),
        "config.data": ("Data set", "数据集"),
        "config.time": ("Time", "时间"),
        "config.time.words": (
            "about {duration} at {pace} s a step (as in {run}); encoding, saving and samples come on top",
            "约 {duration}，每步 {pace} 秒（参照 {run}）；编码、保存和画样图另计",
        ),
        "config.time.tried": (
            "at most {duration} at {pace} s a step (measured with the largest batch); encoding, saving and samples "
            "come on top",
            "最多 {duration}，每步 {pace} 秒（用最大的一批图片实测）；编码、保存和画样图另计",
        ),
        "config.measured": ("Training memory", "训练占用"),
        "config.measured.words": (
            "measured: {measured} GiB (estimated: {estimated} GiB)",
            "实测 {measured} GiB（估计 {estimated} GiB）",
        ),
        "config.time.unknown": ("unknown until the first steps", "训练几步后才能估算"),
        "config.disk": ("Disk", "磁盘"),
        "config.disk.words": ("up to {needed} GiB; {free} GiB are free", "最多 {needed} GiB；空闲 {free} GiB"),
        "config.disk.unknown": ("free space unknown", "空闲空间未知"),
        "config.adapter": ("LoRA", "LoRA 大小"),
        "config.adapter.words": (
            "{modules} modules, {parameters} parameters",
            "{modules} 个模块，{parameters} 个参数",
        ),
        "config.part.weights": ("weights", "模型权重"),
        "config.part.buffers of swapped blocks": ("buffers of swapped blocks", "交换模块的缓冲区"),
        "config.part.adapter": ("adapter", "LoRA 权重"),
        "config.part.optimizer": ("optimizer", "优化器状态"),
        "config.part.gradients": ("gradients", "梯度"),
        "config.part.gradient exchange": ("gradient exchange", "梯度交换"),
        "config.part.activations": ("activations", "激活值"),
        "config.part.temporaries": ("temporaries", "临时数据"),
        "config.part.VAE": ("VAE", "VAE 权重"),
        "config.part.measured in a step": ("measured in a step", "试跑实测"),
        "config.part.process": ("process", "进程本身"),
        "config.part.largest tensor while loading": ("largest tensor while loading", "加载时最大的张量"),
        "config.part.the run's tensors": ("the run's tensors", "训练用的张量"),
        "config.part.swapped blocks (pinned)": ("swapped blocks (pinned)", "交换到内存的模块（锁页）"),
        "config.part.features kept in memory (use_cache = false)": (
            "features kept in memory (cache not on disk)",
            "内存中的特征（缓存不在磁盘上）",
        ),
        "config.part.feature cache": ("feature cache", "特征缓存"),
        "config.part.checkpoints": ("checkpoints", "检查点"),
        "config.part.exports": ("exported LoRAs", "导出的 LoRA"),
        "config.part.samples": ("samples", "样图"),
        "config.strategy": ("Strategy", "策略"),
        "config.strategy.help": (
            "Settings that suit a card's memory. Yours was chosen by the memory that is free now.",
            "适合显存大小的一组设置。已按现在的空闲显存为你选好。",
        ),
        "config.strategy.apply": ("Use this strategy", "使用这个策略"),
        "config.strategy.proposed": ("Proposed for this machine", "推荐用于本机"),
        "config.strategy.other": ("Not the proposed one", "不是推荐的策略"),
        "config.strategy.short": ("It will probably not fit", "很可能放不下"),
        "config.strategy.changes": ("Settings it would change: {count}", "将改变 {count} 项设置"),
        "config.strategy.same": ("All its values are set.", "它的值都已设好。"),
        "config.strategy.was": ("{name}: {old} → {new}", "{name}：由 {old} 改为 {new}"),
        "config.files": ("Saved settings", "保存的参数"),
        "config.files.saved": ("Saved settings", "已保存的参数"),
        "config.files.saved.help": (
            "TOML files in {folder}. What is in the form is kept by itself; save it to keep several.",
            "保存在 {folder} 中的 TOML 文件。表单内容会自动保留；想保留多份时再保存。",
        ),
        "config.files.load": ("Load into the form", "载入表单"),
        "config.files.duplicate": ("Duplicate", "复制一份"),
        "config.files.delete": ("Delete", "删除"),
        "config.files.delete.sure": ("Move {name} to the trash", "把 {name} 移到回收站"),
        "config.files.name": ("Save under this name", "保存名称"),
        "config.files.save": ("Save", "保存"),
        "config.files.overwrite": ("Overwrite {name}", "覆盖 {name}"),
        "config.files.exists": (
            "{name} is there already. Overwrite it, or choose another name.",
            "{name} 已存在。请覆盖它，或换一个名称。",
        ),
        "config.files.saved_as": ("Saved as {name}.", "已保存为 {name}。"),
        "config.files.saved_broken": (
            "Saved as {name}, with its problems: they stand beside their settings.",
            "已保存为 {name}，其中的问题显示在相应设置旁。",
        ),
        "config.files.empty": (
            "Empty fields cannot be saved; loading gives their defaults: {names}.",
            "空白的设置无法保存，载入时会使用默认值：{names}。",
        ),
        "config.left_out": (
            "These saved values do not suit their settings and were left out:",
            "以下已保存的值不适用于相应设置，已忽略：",
        ),
        "config.left_out.value": ("{setting}: {value}. {why}", "{setting}，原值 {value}：{why}"),
        "config.files.loaded": ("{name} is in the form now.", "已把 {name} 载入表单。"),
        "config.files.unknown": (
            "These keys are no settings and were left out: {names}.",
            "以下键不是设置，已忽略：{names}。",
        ),
        "config.files.deleted": ("{name} is in the trash.", "{name} 已移到回收站。"),
        "config.files.none": ("Choose saved settings first.", "请先选择已保存的参数。"),
        "config.files.reset": ("Start over with the defaults", "恢复默认参数"),
        "config.files.reset.sure": ("Yes, forget what is in the form", "确认，放弃表单内容"),
        "config.files.reset.done": ("The defaults are in the form.", "已恢复默认设置。"),
        "config.import": ("Import a config of another NewBie trainer", "导入其他 NewBie 训练器的配置"),
        "config.import.file": ("Config file (.toml)", "配置文件（.toml）"),
        "config.import.help": (
            "A file of this program, or lora.toml / lokr.toml of the upstream trainer or its fork. What becomes of "
            "every key is said below.",
            "本程序的文件，或原版训练器及其分支的 lora.toml / lokr.toml。下面会说明每个键的处理方式。",
        ),
        "config.import.read": ("Import", "导入"),
        "config.import.without": ("Go on without these keys", "不使用以下键，继续导入"),
        "config.import.without.help": (
            "They cannot be honoured and would change what is learnt. Tick all to go on without them.",
            "这些键无法支持，并会影响训练结果。全部勾选后可不使用它们继续导入。",
        ),
        "config.import.blocked": (
            "Not imported yet: the result would differ without {names}. Tick these keys to go on without them.",
            "尚未导入：不使用 {names} 时结果会不同。勾选这些键即可继续。",
        ),
        "config.import.done": (
            "Imported into the form. {count} settings that the file does not name have their defaults.",
            "已导入表单。文件中没有的 {count} 项设置为默认值。",
        ),
        "config.import.invalid": (
            "Imported into the form, but for {names}: the file's value is none that is allowed here. {count} settings "
            "that the file does not name have their defaults.",
            "已导入表单，但 {names} 除外：文件中的值在此不被允许。文件中没有的 {count} 项设置为默认值。",
        ),
        "config.import.none": ("Choose a file first.", "请先选择文件。"),
        "config.import.key": ("Key", "键"),
        "config.import.value": ("Value", "值"),
        "config.import.verdict": ("What becomes of it", "处理方式"),
        "config.import.verdict.taken": ("taken", "采用"),
        "config.import.verdict.translated": ("translated", "转换"),
        "config.import.verdict.added": ("added", "补充"),
        "config.import.verdict.ignored": ("ignored", "忽略"),
        "config.import.verdict.left out": ("left out, as asked", "按要求不使用"),
        "config.import.verdict.cannot": ("cannot be honoured", "无法支持"),
        "config.import.verdict.unknown": ("not known", "未知"),
        "config.import.verdict.invalid": ("not valid here, to be set anew", "在此无效，需要重新设置"),
        "config.export": ("Export: the exact TOML and the command line", "导出：TOML 文件与命令行"),
        "config.export.show": ("Show", "显示"),
        "config.export.download": ("Download {name}", "下载 {name}"),
        "config.export.toml": ("The settings as TOML", "TOML 格式的设置"),
        "config.export.command": (
            "The command line that trains with the downloaded file",
            "用下载的文件训练的命令行",
        ),
        "config.export.folder": ("Run it in {folder}.", "在 {folder} 中运行。"),
        "config.export.problems": (
            "The settings have problems; the command line would refuse them.",
            "设置还有问题，命令行会拒绝它们。",
        ),
    }
)
