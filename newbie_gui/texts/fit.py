"""Words of Check fit, beside the forecast of the Settings tab."""

from types import MappingProxyType

TEXTS = MappingProxyType(
    {
        "fit.check": ("Check fit", "试跑"),
        "fit.stop": ("Stop the check", "停止试跑"),
        "fit.help": (
            "Loads the real model and makes two or three steps of the largest batch; the forecast above then uses what "
            "was measured. No run is touched.",
            "加载真正的模型，用最大的一批图片试跑两三步；之后上面的估计改用实测值。不影响任何训练。",
        ),
        "fit.title": ("Check fit: {name}", "试跑：{name}"),
        "fit.running": ("A check is at work already; stop it first.", "已有试跑正在进行；请先停止它。"),
        "fit.waiting": (
            "Waiting for its turn: it starts when the device is free.",
            "正在排队：设备空闲后开始。",
        ),
        "fit.checking": ("Checking… ({phase})", "正在试跑……（{phase}）"),
        "fit.stopped": ("The check was stopped.", "试跑已停止。"),
        "fit.failed": ("The check failed.", "试跑失败。"),
        "fit.verdict.fits": ("Fits, as tried", "实测放得下"),
        "fit.verdict.tight": ("Fits, but little memory stays free", "实测放得下，但剩余显存很少"),
        "fit.verdict.no": ("Does not fit", "放不下"),
        "fit.out_of_memory": (
            "Memory does not suffice for a step of the largest batch (estimated: {estimated} GiB).",
            "显存或内存不够跑最大的一批图片（估计需要 {estimated} GiB）。",
        ),
        "fit.peak.gpu": (
            "Training, measured: {measured} GiB of GPU memory (estimated: {estimated}); the process takes {process} "
            "GiB of main memory.",
            "训练实测占用显存 {measured} GiB（估计 {estimated} GiB）；进程占用内存 {process} GiB。",
        ),
        "fit.peak.cpu": (
            "Training, measured: {measured} GiB, by which the process grew (estimated: {estimated}), to {process} GiB.",
            "训练实测：进程增长 {measured} GiB（估计 {estimated} GiB），共占内存 {process} GiB。",
        ),
        "fit.needed": (
            "The whole run needs {needed} GiB at its peak; {free} GiB were free.",
            "整个训练峰值需要 {needed} GiB；试跑前空闲 {free} GiB。",
        ),
        "fit.pace": ("{seconds} s a step, {images} images a second.", "每步 {seconds} 秒，每秒 {images} 张图片。"),
        "fit.whole": ("The whole run: at most {duration}.", "整个训练：最多 {duration}。"),
        "fit.tried": (
            "Tried with {images} of {width} × {height} px, captions of {tokens} tokens, on {device}; it took {took} s.",
            "试跑内容：{images} 张 {width} × {height} 像素，描述 {tokens} 个 token，设备 {device}；用时 {took} 秒。",
        ),
    }
)
