"""Who may talk to the browser side, and what each answer forbids the browser. Pure ASGI: no body is ever held back.

`Guard` wraps the whole application, outside of everything else, so that error pages are covered too. In this order:
an address (Host) that is not ours -> 400; another site (Origin, Sec-Fetch-Site) -> 403; no or a wrong token -> 401,
too many wrong ones -> 429; what would make this machine call an address given in the request -> 404.
The server below must not believe X-Forwarded-* on its own (uvicorn: proxy_headers=False).
"""

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from secrets import compare_digest
from urllib.parse import urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from newbie_gui.refusals import FOREIGN_HOST, FOREIGN_SITE, NO_TOKEN, TOO_MANY_TOKENS, refusal
from newbie_gui.wrong_tokens import WrongTokens

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
_ALL_ADDRESSES = frozenset({"0.0.0.0", "::", ""})

# Gradio's pages hold inline scripts, and its plots compile expressions (eval).
CONTENT_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_ALWAYS = (("x-content-type-options", "nosniff"), ("x-frame-options", "DENY"), ("referrer-policy", "no-referrer"))

_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?")
# Gradio's routes that fetch an address of the caller's choice and hand on what they get.
_FETCHES = re.compile(r"/(file|proxy)=\s*https?:", re.IGNORECASE)
_COOKIE_LASTS_S = 30 * 24 * 3600


@dataclass(frozen=True, kw_only=True)
class AccessRules:
    """What `Guard` lets in.

    Attributes:
        token: the secret of this start.
        hosts: names and addresses by which a browser may call us, lower case, IPv6 in brackets, without port
            (a tunnel may change the port; a foreign page cannot change the name its own requests carry).
        secure: browsers reach us by https, through our own certificate or a proxy's.
        proxy: address of the reverse proxy whose X-Forwarded-Host and -For are believed; "" for none.
    """

    token: str = field(repr=False)
    hosts: frozenset[str] = LOOPBACK_HOSTS
    secure: bool = False
    proxy: str = ""


def allowed_hosts(bind: str, names: Iterable[str] = ()) -> frozenset[str]:
    """Return the hosts of a server that listens on ``bind``: loopback, that address, and the ``names`` given.

    An address that stands for all of them ("0.0.0.0") adds nothing: the names must be told.
    """
    told = {name.strip().lower() for name in (bind, *names)} - _ALL_ADDRESSES
    return LOOPBACK_HOSTS | {f"[{name}]" if ":" in name and name[0] != "[" else name for name in told}


def cookie_name(port: int) -> str:
    """Cookies ignore ports: the name carries it, so that two programs on one machine do not log each other out."""
    return f"newbie_token_{port}"


@dataclass(frozen=True, kw_only=True)
class _Caller:
    """One request as the browser meant it; ``host`` is None where the Host header names no address of the rules."""

    address: str
    host: str | None
    port: int
    scheme: str


class Guard:
    """Lets only requests that keep the ``rules`` through to ``app``; ``clock`` gives seconds."""

    def __init__(self, app: ASGIApp, rules: AccessRules, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._rules = rules
        self._wrong = WrongTokens(clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, _with_headers(send))
        else:
            # Nothing here uses websockets, which no same-origin rule of the browser holds back.
            await send({"type": "websocket.close", "code": 1008, "reason": ""})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        caller = self._caller(scope, headers)
        answer = _wrong_place(caller, headers) or self._unknown(scope, caller)
        if answer is None and _FETCHES.search(scope["path"]):
            answer = Response(status_code=404)
        if answer is None:
            await self._app(self._cleaned(scope, caller), receive, send)
        else:
            await answer(scope, receive, send)

    def _proxied(self, scope: Scope) -> bool:
        return bool(self._rules.proxy) and scope.get("client") is not None and scope["client"][0] == self._rules.proxy

    def _caller(self, scope: Scope, headers: Headers) -> _Caller:
        client = scope.get("client")
        address = client[0] if client else ""
        hosts = headers.getlist("host")
        if self._proxied(scope):
            hosts = headers.getlist("x-forwarded-host") or hosts
            # The proxy appends the address it saw; what stands before it came from outside.
            address = headers.get("x-forwarded-for", address).split(",")[-1].strip()
        scheme = "https" if self._rules.secure else "http"
        found = _AUTHORITY.fullmatch(hosts[0].lower()) if len(hosts) == 1 else None
        if found is None or found[1] not in self._rules.hosts:
            return _Caller(address=address, host=None, port=0, scheme=scheme)
        return _Caller(address=address, host=found[1], port=_port(found[2], scheme), scheme=scheme)

    def _unknown(self, scope: Scope, caller: _Caller) -> Response | None:
        """None for who holds the token; else what to answer: the cookie (token in the URL), or a refusal."""
        connection = HTTPConnection(scope)
        in_url = connection.query_params.get("token") if scope["method"] in ("GET", "HEAD") else None
        if in_url is not None:
            # In place: the server's own log writes this very scope once the answer starts.
            query = [pair for pair in connection.query_params.multi_items() if pair[0] != "token"]
            scope["query_string"] = urlencode(query).encode("ascii")
            return self._judged(in_url, caller) or self._entrance(scope, caller)
        if (header := connection.headers.get("authorization")) is not None:
            return self._judged(header.removeprefix("Bearer ").strip(), caller)
        cookie = connection.cookies.get(cookie_name(caller.port))
        if cookie is None:
            return refusal(NO_TOKEN)
        if self._is_token(cookie):
            return None
        # A tab left open over a restart keeps sending its old cookie: one guess, however often it comes.
        return self._refused(caller.address, cookie)

    def _is_token(self, given: str) -> bool:
        return compare_digest(given.encode("utf-8", "replace"), self._rules.token.encode("utf-8"))

    def _judged(self, given: str, caller: _Caller) -> Response | None:
        """None for the right token, unless this address has guessed too often in the last minute."""
        if (wait_s := self._wrong.wait_s(caller.address)) > 0:
            return refusal(TOO_MANY_TOKENS, wait_s=wait_s)
        return None if self._is_token(given) else self._refused(caller.address, None)

    def _refused(self, address: str, repeated: str | None) -> Response:
        if (wait_s := self._wrong.wait_s(address)) > 0:
            return refusal(TOO_MANY_TOKENS, wait_s=wait_s)
        self._wrong.note(address, repeated)
        return refusal(NO_TOKEN)

    def _entrance(self, scope: Scope, caller: _Caller) -> Response:
        query = scope["query_string"].decode("ascii")
        # One slash only: "//name" would be the address of another site.
        target = "/" + scope["path"].lstrip("/\\") + (f"?{query}" if query else "")
        answer = RedirectResponse(target, status_code=303, headers={"cache-control": "no-store"})
        answer.set_cookie(
            cookie_name(caller.port),
            self._rules.token,
            max_age=_COOKIE_LASTS_S,
            secure=self._rules.secure,
            httponly=True,
            samesite="strict",
        )
        return answer

    def _cleaned(self, scope: Scope, caller: _Caller) -> Scope:
        """The scope for the application: no forwarded headers unless they are our proxy's, the right scheme."""
        if self._proxied(scope):
            return {**scope, "scheme": caller.scheme, "client": (caller.address, 0)}
        kept = [
            pair for pair in scope["headers"] if not pair[0].startswith(b"x-forwarded-") and pair[0] != b"forwarded"
        ]
        return {**scope, "scheme": caller.scheme, "headers": kept}


def _port(text: str | None, scheme: str) -> int:
    return int(text) if text else {"http": 80, "https": 443}[scheme]


def _wrong_place(caller: _Caller, headers: Headers) -> Response | None:
    """Refuse a Host that is not ours, and whatever another site makes a browser send."""
    if caller.host is None:
        return refusal(FOREIGN_HOST)
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return refusal(FOREIGN_SITE)
    origin = headers.get("origin")
    if origin is not None and not _is_ours(origin.lower(), caller):
        return refusal(FOREIGN_SITE)
    return None


def _is_ours(origin: str, caller: _Caller) -> bool:
    scheme, _, authority = origin.partition("://")
    found = _AUTHORITY.fullmatch(authority)
    if found is None or scheme != caller.scheme:
        return False
    return (found[1], _port(found[2], scheme)) == (caller.host, caller.port)


def _with_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=list(message.get("headers", ())))
            for name, value in _ALWAYS:
                headers[name] = value
            # Files bring a stricter one.
            headers.setdefault("content-security-policy", CONTENT_POLICY)
            message = {**message, "headers": headers.raw}
        await send(message)

    return wrapped
