"""Base models from the hub: names, downloads, what goes wrong on the way."""

MESSAGES: tuple[tuple[str, str], ...] = (
    (
        "Give a token that may read it: in the environment variable HF_TOKEN, in the page's token field, or to convert "
        "with --token (convert_newbie_to_diffusers.py: --hf_token).",
        "请提供有读取权限的令牌（token）：设置环境变量 HF_TOKEN、填在页面的令牌栏，或在 convert 命令中用 --token"
        "（convert_newbie_to_diffusers.py 用 --hf_token）。",
    ),
    ("'{}' is neither an existing path nor a hub id.", "'{}' 既不是存在的路径，也不是 Hugging Face 仓库名。"),
    (
        "Allowed: a file, a folder, org/name, org/name/folder, or the address of a page on huggingface.co.",
        "可以填：文件、文件夹、org/name、org/name/folder，或 huggingface.co 上的网页地址。",
    ),
    (
        "The hub token holds characters that no token has (blanks, line breaks or letters beyond ASCII).",
        "令牌里有不该出现的字符（空格、换行或非 ASCII 字符）。",
    ),
    (
        "Copy it again from https://huggingface.co/settings/tokens; it starts with hf_.",
        "请到 https://huggingface.co/settings/tokens 重新复制；令牌以 hf_ 开头。",
    ),
    ("{} has no branch or commit '{}'.", "{} 没有名为 '{}' 的分支或提交。"),
    (
        "{} is not on this computer yet, and nothing is fetched here.",
        "{} 还没有下载到这台电脑，而这里不会联网下载。",
    ),
    (
        "Download, convert and a training fetch it, unless HF_HUB_OFFLINE=1 is set; or give a local path.",
        "“下载”、convert 命令和训练会自动下载它（除非设置了 HF_HUB_OFFLINE=1）；也可以指定本地路径。",
    ),
    ("The disk filled up while {} was fetched into {}.", "下载 {} 到 {} 时磁盘满了。"),
    ("Free some space and repeat: finished files are kept.", "请腾出空间后重试：已完成的文件会保留。"),
    ("HF_HOME=<folder> puts the cache on another disk.", "设置 HF_HOME=<folder> 可以把缓存放到别的磁盘。"),
    ("HF_HOME=<folder> puts it elsewhere.", "设置 HF_HOME=<folder> 可以换个位置。"),
    ("It answered {}.", "服务器返回 {}。"),
    (
        "The hub could not be reached, or broke off, while {} was fetched.{}",
        "下载 {} 时无法连接 Hugging Face，或连接中断。{t}",
    ),
    (
        "Check the network connection (proxy, firewall), then repeat: finished files are kept.",
        "请检查网络连接（代理、防火墙）后重试：已完成的文件会保留。",
    ),
    ("HF_ENDPOINT=<address> uses another server.", "设置 HF_ENDPOINT=<address> 可以改用别的服务器（镜像）。"),
    ("{} is given only to those who accepted its licence{}", "{} 只提供给已接受许可协议的用户{t}"),
    (", and the account of your token has not been granted access.", "，而你的令牌所属账号还没有获得访问权限。"),
    ("no token was sent.", "这次没有发送令牌。"),
    ("Open {}, log in and accept the licence there.", "请打开 {}，登录并接受许可协议。"),
    ("The hub asks for a token before it gives {}.", "下载 {} 需要令牌（token）。"),
    (
        "The hub refused the token for {}: it is wrong, expired, or lacks the right to read it.",
        "Hugging Face 拒绝了用于 {} 的令牌：令牌有误、已过期，或没有读取权限。",
    ),
    (
        "See https://huggingface.co/settings/tokens; a fine-grained token needs read access to gated repositories.",
        "请查看 https://huggingface.co/settings/tokens；细粒度令牌需要有读取受限仓库的权限。",
    ),
    ("Private ones are shown only to a token.", "私有仓库只有带令牌才能看到。"),
    (
        "There is no path '{}' here and no repository of that name on the hub.{}",
        "本地没有路径 '{}'，Hugging Face 上也没有同名仓库。{t}",
    ),
    ("Check the spelling; a local path must exist.", "请检查拼写；本地路径必须存在。"),
    ("it holds no .safetensors files", "其中没有 .safetensors 文件"),
    ("{} holds no {} that can be told apart: {}.", "{} 中找不到可以辨认的 {}：{x}。"),
    (
        "Name the folder or the file: org/name/folder, org/name/file.safetensors.",
        "请写明文件夹或文件：org/name/folder、org/name/file.safetensors。",
    ),
)
