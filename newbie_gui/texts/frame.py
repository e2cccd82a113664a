"""Words of the frame: header, first-visit guide, disk page, what every tab shares."""

from types import MappingProxyType

TEXTS = MappingProxyType(
    {
        "frame.title": ("Newbie LoRA Trainer", "Newbie LoRA 训练器"),
        "frame.tab.dataset": ("Dataset", "数据集"),
        "frame.tab.config": ("Settings", "参数"),
        "frame.tab.train": ("Train", "训练"),
        "frame.tab.merge": ("Merge", "合并"),
        "frame.tab.disk": ("Disk", "磁盘"),
        "frame.language": ("Language", "语言"),
        "frame.machine.gpu": (
            "{name}: {free} of {total} GiB free",
            "{name}：显存空闲 {free} / {total} GiB",
        ),
        "frame.machine.cpu": (
            "No NVIDIA GPU. Main memory: {free} of {total} GiB free",
            "没有 NVIDIA 显卡。内存空闲 {free} / {total} GiB",
        ),
        "frame.machine.more": ("and {count} more", "另有 {count} 张"),
        "frame.strategy": ("Strategy: {title}", "策略：{title}"),
        "frame.job.none": ("Nothing is running", "没有任务在运行"),
        "frame.job.running": ("Running: {title}", "正在运行：{title}"),
        "frame.job.waiting": ("{count} waiting", "{count} 个排队"),
        "frame.job.paused": ("The queue is paused", "队列已暂停"),
        "frame.job.show": ("Show", "查看"),
        "frame.lost": (
            "The connection was lost while this was typed, and it was not saved. Copy it to its place:",
            "输入以下内容时连接已断开，内容未保存。请复制到原处：",
        ),
        "frame.lost.close": ("Close", "关闭"),
        "frame.restarted": (
            "The trainer was started anew. Open the address that its window shows.",
            "训练器已重新启动。请打开其窗口中显示的地址。",
        ),
        "frame.advice_applied": ("Put into the settings: {values}", "已写入参数：{values}"),
        "frame.time.seconds": ("{seconds} s", "{seconds} 秒"),
        "frame.time.minutes": ("{minutes} min {seconds} s", "{minutes} 分 {seconds} 秒"),
        "frame.time.about_minutes": ("{minutes} min", "{minutes} 分钟"),
        "frame.time.hours": ("{hours} h {minutes} min", "{hours} 小时 {minutes} 分"),
        "frame.time.days": ("{days} d {hours} h", "{days} 天 {hours} 小时"),
        "frame.yes": ("Yes", "是"),
        "frame.no": ("No", "否"),
        "frame.cancel": ("Cancel", "取消"),
        "frame.complete": ("Complete", "完成"),
        "frame.error.value": (
            "“{name}” cannot hold the value that was sent. Correct it, or reload the page and try again.",
            "“{name}”不接受所发送的值。请改正，或重新加载页面后再试。",
        ),
        "frame.error.disk": ("The disk refused: {reason}", "磁盘操作失败：{reason}"),
        "frame.error.upload_room": (
            "This does not fit on the disk: {needed} GiB are needed, {free} GiB are free. Nothing was taken. Free "
            "some room (the tab Disk shows what can go), then upload it again.",
            "磁盘空间不足：需要 {needed} GiB，空闲 {free} GiB。没有写入任何文件。请先腾出空间"
            "（“磁盘”标签页列出了可清理的内容），再重新上传。",
        ),
        "frame.error.upload_full": (
            "The disk became full on the way. Nothing of this upload is kept. Free some room "
            "(the tab Disk shows what can go), then upload it again.",
            "上传途中磁盘已满。这次上传的内容没有保留。请先腾出空间（“磁盘”标签页列出了可清理的内容），再重新上传。",
        ),
        "frame.guide.title": ("From pictures to a LoRA in four steps", "四步：从图片到 LoRA"),
        "frame.guide.dataset": (
            "Drop your pictures and, if you have them, their .txt captions.",
            "拖入图片；如果有 .txt 描述文件（caption），一起拖入。",
        ),
        "frame.guide.config": (
            "Choose the base model. A strategy that suits your card is already chosen.",
            "选择底模。适合你显卡的策略已经选好。",
        ),
        "frame.guide.train": (
            "Press Start and watch the loss and the sample pictures. You may close the page meanwhile.",
            "点“开始训练”，观察损失曲线和样图。期间可以关闭页面。",
        ),
        "frame.guide.merge": (
            "One click makes a model or a LoRA file to download.",
            "一键得到可下载的模型或 LoRA 文件。",
        ),
        "frame.guide.demo": (
            "Try it now without a GPU: 3 minutes",
            "现在就试试，不需要显卡：3 分钟",
        ),
        "frame.guide.demo_help": (
            "Draws 16 pictures of a small figure and trains a LoRA on them with the built-in tiny model.",
            "画出 16 张小人物图片，并用内置小模型在上面训练一个 LoRA。",
        ),
        "frame.guide.demo_started": (
            "The demo is drawing its pictures; training follows by itself. Watch it on the Train tab.",
            "演示正在画图，随后自动开始训练。请看“训练”标签页。",
        ),
        "frame.guide.demo_title": ("Demo: drawing pictures", "演示：画图片"),
        "frame.guide.hide": ("Hide this guide", "隐藏此说明"),
        "frame.guide.show": ("Show the guide", "显示说明"),
        "frame.disk.intro": (
            "What this program keeps in {folder}. {free} GiB of the disk are free.",
            "本程序保存在 {folder} 中的内容。磁盘剩余 {free} GiB。",
        ),
        "frame.disk.kind": ("What", "内容"),
        "frame.disk.size": ("Size", "大小"),
        "frame.disk.items": ("Entries", "条目数"),
        "frame.disk.datasets": ("Data sets", "数据集"),
        "frame.disk.cache": ("Cache of encoded images and captions", "图片与描述的编码缓存"),
        "frame.disk.output": ("Runs (checkpoints, samples, LoRAs)", "训练记录（检查点、样图、LoRA）"),
        "frame.disk.models": ("Models", "模型"),
        "frame.disk.loras": ("Uploaded and converted LoRAs", "上传与转换的 LoRA"),
        "frame.disk.thumbnails": ("Thumbnails", "缩略图"),
        "frame.disk.uploads": ("Unfinished uploads", "未完成的上传"),
        "frame.disk.jobs": ("Finished jobs with their logs and try-it pictures", "已结束的任务及其日志和试画图片"),
        "frame.disk.trash": ("Trash", "回收站"),
        "frame.disk.measure": ("Measure", "统计大小"),
        "frame.disk.choose": ("What to clean up", "要清理的内容"),
        "frame.disk.clean": ("Clean up", "清理"),
        "frame.disk.clean.cache": (
            "Empty the cache. The next training encodes its images and captions again.",
            "清空缓存。下次训练会重新编码图片与描述。",
        ),
        "frame.disk.clean.output": (
            "Prune the runs: of every run that is not running, only the two newest, the best and the pinned "
            "checkpoints stay. Exported LoRAs and samples stay.",
            "精简训练记录：未在运行的每个训练只保留最新的两个、最佳的和已固定的检查点。导出的 LoRA 和样图保留。",
        ),
        "frame.disk.clean.thumbnails": (
            "Empty the thumbnails. They are made again when a data set is opened.",
            "清空缩略图。打开数据集时会重新生成。",
        ),
        "frame.disk.clean.uploads": (
            "Remove unfinished uploads older than an hour.",
            "删除一小时以前未完成的上传。",
        ),
        "frame.disk.clean.jobs": (
            "Remove ended jobs with their logs and try-it pictures, all but the newest 20. Runs stay.",
            "删除已结束的任务及其日志和试画图片，保留最新的 20 个。训练记录保留。",
        ),
        "frame.disk.clean.trash": (
            "Empty the trash for good. This cannot be undone.",
            "永久清空回收站。此操作无法撤销。",
        ),
        "frame.disk.where": (
            "Data sets, runs, models and LoRAs are deleted on their own tabs; they go to the trash first.",
            "数据集、训练记录、模型和 LoRA 在各自的标签页删除，会先进入回收站。",
        ),
        "frame.disk.none": ("Choose what to clean up first.", "请先选择要清理的内容。"),
        "frame.disk.sure": ("Yes, clean up", "确认清理"),
        "frame.disk.cleaned": ("Freed {size}.", "已释放 {size}。"),
        "frame.disk.busy": (
            "A job is running; the cache may be in use. Wait for it or stop it, then clean up.",
            "有任务在运行，缓存可能正在使用。请等待或停止任务后再清理。",
        ),
    }
)
