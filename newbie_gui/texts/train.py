"""Words of the Train tab."""

from types import MappingProxyType

TEXTS = MappingProxyType(
    {
        # Starting
        "train.start.heading": ("Start a training", "开始训练"),
        "train.start.help": (
            "Trains with the settings of the Settings tab. “{start}” goes before all that waits, “{queue}” after it.",
            "按“参数”标签页中的设置训练。“{start}”会排在所有等待的任务之前，“{queue}”则排在最后。",
        ),
        "train.start": ("Start", "开始训练"),
        "train.queue_up": ("Queue", "加入队列"),
        "train.start.to_settings": ("Show the settings", "前往“参数”标签页"),
        "train.start.gpus": ("GPUs to train on", "用于训练的显卡"),
        "train.start.gpus_help": (
            "Several cards train one LoRA together.",
            "选多张显卡时，它们共同训练一个 LoRA。",
        ),
        "train.start.one_gpu": (
            "One card trains a LoRA: PyTorch cannot join several on Windows.",
            "请选一张显卡：在 Windows 上 PyTorch 无法让多张显卡共同训练。",
        ),
        "train.started": ("{name} is starting.", "{name} 正在启动。"),
        "train.queued": ("{name} is in the queue; {count} before it.", "{name} 已加入队列，前面还有 {count} 个任务。"),
        "train.already": (
            "{name} is already running or waiting. Choose another “Name of the run” in the settings.",
            "{name} 已经在运行或排队。请在参数中换一个“训练名称”。",
        ),
        "train.enough": (
            "{name} has done {steps} steps already, and with “{setting}” at {asked} nothing is left to train. Raise it "
            "in the settings, or choose another “Name of the run”.",
            "{name} 已训练 {steps} 步，“{setting}”为 {asked} 时没有剩余的训练。请在参数中调大，或换一个“训练名称”。",
        ),
        "train.no_gpu_chosen": ("Choose at least one GPU.", "请至少选择一张显卡。"),
        # List of runs
        "train.runs.heading": ("Runs", "训练记录"),
        "train.runs.search": ("Find by name", "按名称查找"),
        "train.runs.state": ("State", "状态"),
        "train.runs.all": ("all", "全部"),
        "train.runs.none": ("No runs yet. Start one above.", "还没有训练记录，请先开始一次训练。"),
        "train.runs.no_match": ("No run matches the filter.", "没有符合条件的训练记录。"),
        "train.runs.more": ("{count} more: narrow the filter.", "还有 {count} 个，请缩小筛选范围。"),
        "train.runs.show": ("Show run {name}", "显示训练 {name}"),
        "train.state.waiting": ("waiting", "排队中"),
        "train.state.starting": ("starting", "启动中"),
        "train.state.running": ("running", "训练中"),
        "train.state.stopping": ("stopping", "正在停止"),
        "train.state.stopped": ("stopped", "已停止"),
        "train.state.finished": ("finished", "已完成"),
        "train.state.failed": ("failed", "失败"),
        "train.state.interrupted": ("interrupted", "意外中断"),
        "train.state.created": ("not begun", "未开始"),
        # The shown run
        "train.none": (
            "Nothing to show yet. Start a training, and its curve, samples and files appear here.",
            "这里还没有内容。开始训练后，会显示损失曲线、样图和文件。",
        ),
        "train.gone": (
            "The run that was shown is not there any more: it was taken out of the queue before it began, or deleted. "
            "Choose another one.",
            "刚才显示的训练已不存在：它在开始前被移出队列，或已删除。请选择另一个。",
        ),
        "train.save_stop": ("Save & stop", "保存并停止"),
        "train.stop_now": ("Stop now", "立即停止"),
        "train.save_now": ("Save now", "立即保存"),
        "train.sample_now": ("Sample now", "立即出样图"),
        "train.resume": ("Resume", "继续训练"),
        "train.duplicate": ("Duplicate as new run", "复制为新训练"),
        "train.delete": ("Delete run", "删除训练"),
        "train.delete.sure": (
            "Delete the run {name}? Its folder is moved to the trash.",
            "删除训练 {name}？它的文件夹会移到回收站。",
        ),
        "train.delete.yes": ("Yes, delete", "确认删除"),
        "train.deleted": ("{name} is in the trash now.", "{name} 已移到回收站。"),
        "train.asked.stop": (
            "It saves a checkpoint after this step and stops.",
            "完成当前步后会保存检查点并停止。",
        ),
        "train.asked.stop_early": (
            "It stops as soon as it can. It has trained nothing since it was started, so there is nothing to save.",
            "会尽快停止。启动后尚未训练，没有需要保存的内容。",
        ),
        "train.asked.now": (
            "It ends within about ten seconds; it saves if there is time for it.",
            "约十秒内结束；来得及就会保存。",
        ),
        "train.asked.save": ("It saves a checkpoint after this step.", "完成当前步后会保存检查点。"),
        "train.asked.sample": ("It draws samples after this step.", "完成当前步后会画样图。"),
        "train.resumed": ("{name} goes on from its newest checkpoint.", "{name} 将从最新的检查点继续。"),
        "train.resumed_anew": (
            "{name} has no checkpoint yet, so it starts anew.",
            "{name} 还没有检查点，将重新开始训练。",
        ),
        "train.duplicated": (
            "The settings of {old} are in the form as {new}. Change what you like, then start.",
            "{old} 的参数已填入表单，新名称为 {new}。修改后即可开始。",
        ),
        # Progress
        "train.progress.none": ("nothing told yet", "暂无进度"),
        "train.progress.waiting": ("It waits in the queue.", "正在队列中等待。"),
        "train.progress.silent": (
            "Nothing has been heard of this run for {time}. If it does not go on, press Stop now, then Resume: it "
            "continues from its newest checkpoint.",
            "这次训练已经 {time} 没有任何消息。如果没有继续，请点“立即停止”，再点“继续训练”：会从最新的检查点继续。",
        ),
        "train.progress.halted": (
            "The system has halted this run's program; it goes on when whoever halted it lets it. Or press Stop now, "
            "then Resume: it continues from its newest checkpoint.",
            "系统已暂停这次训练的程序；暂停它的人让它继续后就会接着运行。也可点“立即停止”，再点“继续训练”："
            "会从最新的检查点继续。",
        ),
        "train.progress.steps": ("Step {done} of {total}", "第 {done} 步，共 {total} 步"),
        "train.progress.between": ("Step {done} of {total}: {phase}", "第 {done} 步，共 {total} 步：{phase}"),
        "train.fact.epoch": ("Epoch", "轮次"),
        "train.fact.loss": ("Loss (smoothed)", "损失（平滑）"),
        "train.fact.speed": ("Speed", "速度"),
        "train.fact.speed_value": ("{seconds} s/step, {images} images/s", "{seconds} 秒/步，{images} 张/秒"),
        "train.fact.eta": ("Time left", "剩余时间"),
        "train.fact.elapsed": ("Running for", "已运行"),
        "train.fact.memory_gpu": ("GPU memory", "显存"),
        "train.fact.memory_main": ("Main memory (training / all)", "内存（训练占用 / 总量）"),
        "train.fact.memory_value": ("{used} of {total} GiB", "{used} / 共 {total} GiB"),
        "train.fact.temperature": ("Temperature", "温度"),
        "train.fact.changed": ("Last change", "最近更新"),
        "train.fact.folder": ("Folder", "文件夹"),
        # Loss
        "train.loss.heading": ("Loss", "损失"),
        "train.loss.raw": ("each step", "每步"),
        "train.loss.smoothed": ("smoothed", "平滑"),
        "train.loss.validation": ("validation", "验证"),
        "train.loss.other": ("compared run, smoothed", "对比的训练（平滑）"),
        "train.loss.step": ("step", "步"),
        "train.loss.loss": ("loss", "损失"),
        "train.loss.log_heading": ("Loss, as its log10", "损失（log10）"),
        "train.loss.series": ("curve", "曲线"),
        "train.loss.rate": ("learning rate", "学习率"),
        "train.loss.rate_heading": ("Learning rate", "学习率"),
        "train.loss.smoothing": ("Smoothing", "平滑程度"),
        "train.loss.smoothing_help": ("0 = none. The trainer itself uses 0.98.", "0 为不平滑。训练器自身使用 0.98。"),
        "train.loss.first": ("From step", "起始步"),
        "train.loss.last": ("To step", "结束步"),
        "train.loss.range_help": ("Or drag across the plot.", "也可以在图上拖选。"),
        "train.loss.last_help": ("0 = up to the newest step.", "0 表示到最新一步。"),
        "train.loss.all": ("Show all steps", "显示全部步"),
        "train.loss.log_scale": ("Logarithmic", "对数坐标"),
        "train.loss.compared": ("Compared run: {name}", "对比的训练：{name}"),
        "train.loss.compare": ("Compare with", "对比"),
        "train.loss.compare_none": ("no other run", "不对比"),
        "train.loss.options": ("Curve settings", "曲线设置"),
        "train.loss.table": ("The curve as a table", "以表格显示曲线"),
        "train.loss.empty": ("The curve appears with the first step.", "完成第一步后显示曲线。"),
        # Health
        "train.health.early": (
            "Too early to say: {steps} steps so far; from {needed} on their trend is told here.",
            "还太早：目前 {steps} 步；满 {needed} 步后这里会显示趋势。",
        ),
        "train.health.falling": (
            "Falling steadily: {percent} % lower than at the start.",
            "稳定下降：比开始时低 {percent}%。",
        ),
        "train.health.rising": (
            "Rising: {percent} % higher than at the start. Stop it and try a lower learning rate.",
            "在上升：比开始时高 {percent}%。建议停止，并调低学习率。",
        ),
        "train.health.flat": ("Flat for {steps} steps. What to check:", "连续 {steps} 步没有下降。请检查："),
        "train.health.unclear": (
            "No clear trend yet after {steps} steps; single losses scatter a lot. The samples tell more.",
            "{steps} 步后还没有明显趋势；单步损失波动很大，请多看样图。",
        ),
        "train.health.nan": (
            "NaN at step {step}: the loss was not a finite number, so the run stopped there.",
            "第 {step} 步出现 NaN：损失不是有效数值，训练已停止。",
        ),
        "train.health.overfit": (
            "The validation loss was lowest at step {step} and has risen since: the best checkpoint is there.",
            "验证损失在第 {step} 步最低，之后上升：那一步的检查点最好。",
        ),
        "train.notes.heading": ("Notes from the trainer", "训练器的提示"),
        # Samples
        "train.samples.heading": ("Samples", "样图"),
        "train.samples.none": (
            "No samples. Set sample prompts in the settings, or press Sample now if there are any.",
            "没有样图。请在“参数”标签页填写样图提示词；已填写时可点“立即出样图”。",
        ),
        "train.samples.step": ("Step", "步"),
        "train.samples.base": ("Base (step 0)", "底模（第 0 步）"),
        "train.samples.first": ("First (step {step})", "最早（第 {step} 步）"),
        "train.samples.now": ("Step {step}", "第 {step} 步"),
        "train.samples.prompt": ("Prompt {number}: {prompt}", "提示词 {number}：{prompt}"),
        "train.samples.prompt_only": ("Prompt {number}", "提示词 {number}"),
        "train.samples.alt": ("Prompt {number} at step {step}", "提示词 {number}，第 {step} 步"),
        "train.samples.settings": (
            "Seed {seed}, {steps} steps, CFG {cfg}, shift {shift}, {width}×{height}",
            "种子 {seed}，{steps} 步采样，CFG {cfg}，shift {shift}，{width}×{height}",
        ),
        "train.samples.negative": ("Negative: {text}", "反向提示词：{text}"),
        "train.samples.grid": ("All steps side by side", "所有步并排显示"),
        "train.samples.download": ("Download this picture", "下载此图"),
        "train.samples.download_all": ("Download all samples (zip)", "下载全部样图（zip）"),
        # Files
        "train.files.heading": ("Checkpoints and LoRA files", "检查点与 LoRA 文件"),
        "train.files.none": (
            "Nothing saved yet. Save now makes a checkpoint at once.",
            "还没有保存。点“立即保存”可马上生成检查点。",
        ),
        "train.files.step": ("Step", "步"),
        "train.files.loss": ("Loss (smoothed)", "损失（平滑）"),
        "train.files.validation": ("Validation", "验证"),
        "train.files.date": ("Date", "时间"),
        "train.files.lora": ("LoRA file", "LoRA 文件"),
        "train.files.checkpoint": ("Checkpoint (to resume)", "检查点（用于继续）"),
        "train.files.download": ("Download", "下载"),
        "train.files.download_of": ("Download {name}", "下载 {name}"),
        "train.files.peft": ("PEFT folder", "PEFT 文件夹"),
        "train.files.merge": ("Use for merge", "用于合并"),
        "train.files.pin": ("Pin", "固定"),
        "train.files.unpin": ("Unpin", "取消固定"),
        "train.files.pin_of": ("Pin the checkpoint of step {step}", "固定第 {step} 步的检查点"),
        "train.files.unpin_of": ("Unpin the checkpoint of step {step}", "取消固定第 {step} 步的检查点"),
        "train.files.merge_of": ("Use {name} for merge", "将 {name} 用于合并"),
        "train.files.best": ("best", "最佳"),
        "train.files.pinned": ("pinned", "已固定"),
        "train.files.pruned": ("removed to save space", "已清理以节省空间"),
        "train.files.keep": (
            "Old checkpoints are removed as new ones are saved; pinned ones and the best one stay.",
            "保存新检查点时会清理旧的；已固定的和最佳的会保留。",
        ),
        "train.files.pin_done": ("The checkpoint of step {step} is kept for good.", "第 {step} 步的检查点会一直保留。"),
        "train.files.unpin_done": (
            "The checkpoint of step {step} may be removed when newer ones are saved.",
            "保存新检查点时可能会清理第 {step} 步的检查点。",
        ),
        "train.files.for_merge": ("{name} is chosen on the Merge tab.", "已在“合并”标签页选中 {name}。"),
        "train.files.more": ("{count} older ones are in the folder.", "另有 {count} 个较早的文件在文件夹中。"),
        # Log
        "train.log.heading": ("Log", "日志"),
        "train.log.search": ("Search the log", "搜索日志"),
        "train.log.matches": (
            "{count} lines match; the last {shown} are shown.",
            "{count} 行匹配，显示最后 {shown} 行。",
        ),
        "train.log.none": ("The log is empty.", "日志为空。"),
        "train.log.download": ("Download the full log", "下载完整日志"),
        # Failure
        "train.failure.heading": ("This run failed", "训练失败"),
        "train.failure.interrupted": (
            "This run ended without a word: its process was killed, or the machine was switched off. Nothing saved is "
            "lost; Resume goes on from the newest checkpoint.",
            "训练意外中断：进程被结束，或电脑已关机。已保存的内容不会丢失；点“继续训练”从最新的检查点继续。",
        ),
        "train.failure.hints": ("What you can do:", "可以这样处理："),
        "train.failure.ladder": (
            "What helps against running out of memory, in this order. Each button takes its step and all before it.",
            "解决显存不足的办法，请按顺序尝试。每个按钮会应用该步以及它之前的所有步骤。",
        ),
        "train.failure.apply": ("Apply and resume", "应用并继续"),
        "train.failure.apply_new": ("Apply and start as {name}", "应用并以 {name} 重新开始"),
        "train.failure.apply_of": ("Apply step {number} and resume", "应用第 {number} 步并继续"),
        "train.failure.applied": ("{name} starts with the changed settings.", "{name} 将以修改后的参数开始。"),
        "train.report": ("Copy report", "复制报告"),
        "train.report.label": (
            "Report for a bug or a question: no secrets, home folder shortened",
            "用于反馈或提问的报告：不含密钥，主目录已隐去",
        ),
        "train.report.begun": (
            "The report is being written; that takes some seconds.",
            "正在生成报告，需要几秒钟。",
        ),
        "train.report.done": (
            "The report is ready below. If it was not copied, use the copy button at its corner.",
            "报告在下方。如果没有自动复制，请点右上角的复制按钮。",
        ),
        # Changing a setting
        "train.change.heading": ("Change a setting and continue", "修改参数并继续"),
        "train.change.help": (
            "1. Put this run's settings into the form of the Settings tab.\n2. Change them there.\n3. Come back, see "
            "what each change does, and continue.",
            "1. 把此训练的参数填入“参数”标签页。\n2. 在那里修改。\n3. 回到这里查看每项修改的影响，然后继续。",
        ),
        "train.change.load": ("Put its settings into the form", "把参数填入表单"),
        "train.change.check": ("See what the changes do", "查看修改的影响"),
        "train.change.go": ("Continue with the form's settings", "按表单参数继续"),
        "train.change.none": ("The form holds this run's own settings.", "表单中的参数与此训练相同。"),
        "train.change.cancel_first": (
            "{name} waits in the queue with the settings it was queued with. Cancel it there first, then continue it "
            "with the form's settings.",
            "{name} 正以加入队列时的参数排队。请先在队列中取消它，再按表单参数继续。",
        ),
        "train.change.cancel_new": (
            "{name} waits in the queue with the settings it was queued with. Cancel it there first, then press Start: "
            "it has not begun yet.",
            "{name} 正以加入队列时的参数排队，尚未开始。请先在队列中取消它，再点“开始训练”。",
        ),
        "train.change.stop_first": (
            "{name} is at work. Stop it first, then continue it with the form's settings.",
            "{name} 正在训练。请先停止它，再按表单参数继续。",
        ),
        "train.change.setting": ("Setting", "参数"),
        "train.change.old": ("Now", "当前值"),
        "train.change.new": ("In the form", "表单中的值"),
        "train.change.effect": ("What it does", "影响"),
        "train.change.effect.continue": (
            "nothing that is learnt changes; the run simply goes on",
            "不影响训练结果，直接继续",
        ),
        "train.change.effect.length": (
            "the run gets longer or shorter; its learning rate follows the new length, so it may jump where the run "
            "goes on",
            "训练变长或变短；学习率会按新的长度变化，因此在继续处可能突然升高或降低",
        ),
        "train.change.effect.warn": (
            "the run goes on with the new value; from here on it learns differently",
            "以新值继续；之后的训练效果会有所不同",
        ),
        "train.change.effect.refuse": (
            "cannot change in a begun run: set it back, or start a new run",
            "训练开始后不能修改：请改回，或开始新的训练",
        ),
        "train.change.effect.fresh": (
            "this run has no checkpoint yet; it starts anew with the new value",
            "此训练还没有检查点，会以新值重新开始",
        ),
        "train.change.loaded": ("The settings of {name} are in the form now.", "{name} 的参数已填入表单。"),
        "train.change.continued": ("{name} goes on with the changed settings.", "{name} 将以修改后的参数继续。"),
        "train.change.continued_anew": (
            "{name} has no checkpoint yet, so it starts anew with the changed settings.",
            "{name} 还没有检查点，将以修改后的参数重新开始训练。",
        ),
    }
)
