"""The pages that a refused request gets: what happened and what to do, in both languages, nothing of the request."""

import math
from dataclasses import dataclass

from starlette.responses import HTMLResponse, Response


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """One page: HTTP status, then heading and sentence in English and Chinese."""

    status: int
    heading: str
    sentence: str
    heading_zh: str
    sentence_zh: str


FOREIGN_HOST = Refusal(
    status=400,
    heading="Unknown address",
    sentence="This program does not answer to the name in the address bar. Open the address that the launcher printed. "
    "To use another name, start it with that name allowed (see the documentation of --host).",
    heading_zh="未知的地址",
    sentence_zh="本程序不接受地址栏中的这个主机名。请打开启动器窗口中显示的地址。"
    "如需使用其他主机名，请在启动时允许它（见 --host 的说明）。",
)
FOREIGN_SITE = Refusal(
    status=403,
    heading="Refused: the request came from another website",
    sentence="Type or paste the address that the launcher printed into the address bar.",
    heading_zh="已拒绝：请求来自其他网站",
    sentence_zh="请将启动器窗口中显示的地址输入或粘贴到地址栏中打开。",
)
NO_TOKEN = Refusal(
    status=401,
    heading="Please open the address that the launcher printed",
    sentence="This page needs the token of the running program. Look at the window in which the program was started: "
    "open the address printed there, which ends in ?token=… After a restart the token is a new one.",
    heading_zh="请打开启动器窗口中显示的地址",
    sentence_zh="访问本页面需要当前程序的令牌。请在启动程序的窗口中找到以 ?token=… 结尾的地址并打开它。"
    "程序重新启动后令牌会更换。",
)
TOO_MANY_TOKENS = Refusal(
    status=429,
    heading="Too many wrong tokens",
    sentence="Wait a minute, then open the address that the launcher printed.",
    heading_zh="错误的令牌次数过多",
    sentence_zh="请等待一分钟，然后打开启动器窗口中显示的地址。",
)

_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{heading} / {heading_zh}</title>
<style>body{{font:1rem/1.6 system-ui,sans-serif;max-width:40rem;margin:10vh auto;padding:0 1rem}}</style></head>
<body><main><h1>{heading}</h1><p>{sentence}</p>
<section lang="zh-CN"><h2>{heading_zh}</h2><p>{sentence_zh}</p></section></main></body>
</html>
"""


def refusal(why: Refusal, *, wait_s: float = 0) -> Response:
    """Return the answer for ``why``; ``wait_s``: seconds after which to try again (429)."""
    headers = {"cache-control": "no-store"}
    if why.status == 401:
        headers["www-authenticate"] = "Bearer"
    if wait_s > 0:
        headers["retry-after"] = str(math.ceil(wait_s))
    text = _PAGE.format(
        heading=why.heading, sentence=why.sentence, heading_zh=why.heading_zh, sentence_zh=why.sentence_zh
    )
    return HTMLResponse(text, status_code=why.status, headers=headers)
