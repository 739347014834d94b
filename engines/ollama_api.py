"""An Ollama server: its address behind the guard, its failures named, its models listed and pulled.

Requests go over `httpx`. The `ollama` client serves for the streamed `pull` alone: it can send neither `truncate` nor
`shift`, its types for lists and descriptions drop `remote_host`, which the guard must see, and it cannot ask for the
version. No client here reads proxies from the environment or follows a redirect.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx

from ..errors import BalinError, CallError, EngineUnavailable, PromptTooLong, RemoteRefused
from .guard import check_host, check_tag, client_address, public_error
from .retry import Backoff, TryAgain

_OVERFLOW = re.compile(
    r"exceed_context_size_error|exceeds the available context size|input length exceeds the context length"
    r"|prompt is longer than the context length"
)
_NEEDED = re.compile(r"n_prompt_tokens\W{1,4}(\d+)")
_LIMIT = re.compile(r"n_ctx\W{1,4}(\d+)")


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model that a server has.

    Attributes:
        name: The name with its tag.
        digest: "sha256:…" of the manifest, not of the GGUF; "" where the server gives none.
        size: Bytes on disk.
        remote: It stands for a model on another host and would send text there.
    """

    name: str
    digest: str
    size: int
    remote: bool


@dataclass(frozen=True, slots=True)
class RunningModel:
    """A model that a server has loaded.

    Attributes:
        name: The name with its tag.
        num_ctx: Its context in tokens; None where an old server does not say.
        size: Bytes in memory.
        size_vram: Those of them on a GPU.
    """

    name: str
    num_ctx: int | None
    size: int
    size_vram: int


@dataclass(frozen=True, slots=True)
class PullProgress:
    """One line of a pull.

    Attributes:
        status: What the server does now, in its words.
        digest: The layer that the line is about, or "".
        completed: Bytes of that layer that are here.
        total: Bytes of that layer; 0 where the line is about none.
    """

    status: str
    digest: str
    completed: int
    total: int


def probe_server(host: str | None = None, *, allow_remote: Collection[str] = ()) -> str | None:
    """The version of the Ollama server at `host`, or None if none answers within about a second.

    Raises:
        RemoteRefused: The host is another machine that is not in `allow_remote`.
        InputError: `host` is no address.
    """
    server = Server(host, allow_remote, backoff=Backoff(retries=0), timeout=1.0, connect_timeout=1.0)
    try:
        return server.version()
    except (EngineUnavailable, CallError):
        return None
    finally:
        server.close()


def list_models(host: str | None = None, *, allow_remote: Collection[str] = ()) -> list[InstalledModel]:
    """The models that the server has, last changed first.

    Raises:
        EngineUnavailable: No server, or not one that is allowed.
    """
    return [
        InstalledModel(
            name=name_of(item),
            digest=digest_of(item),
            size=count(item, "size"),
            remote=bool(item.get("remote_host") or item.get("remote_model")),
        )
        for item in _listing(host, allow_remote, "/api/tags")
    ]


def largest_model(host: str | None = None, allow_remote: Collection[str] = ()) -> str | None:
    """The largest model that the server itself runs and that writes; None where it has none.

    Raises:
        EngineUnavailable: No server, or not one that is allowed.
    """
    models = [m for m in list_models(host, allow_remote=allow_remote) if not m.remote and "embed" not in m.name]
    return max(models, key=lambda m: m.size).name if models else None


def running(host: str | None = None, *, allow_remote: Collection[str] = ()) -> list[RunningModel]:
    """The models that the server has loaded now.

    Raises:
        EngineUnavailable: No server, or not one that is allowed.
    """
    return [
        RunningModel(
            name=name_of(item),
            num_ctx=count(item, "context_length") or None,
            size=count(item, "size"),
            size_vram=count(item, "size_vram"),
        )
        for item in _listing(host, allow_remote, "/api/ps")
    ]


def pull_model(
    name: str,
    progress: Callable[[PullProgress], None] = lambda _: None,
    host: str | None = None,
    *,
    allow_remote: Collection[str] = (),
) -> None:
    """Have the server download a model; an interrupted pull goes on where it stopped.

    Raises:
        RemoteRefused: A cloud-tagged model, or a host that is not allowed.
        EngineUnavailable: No server, no such model in its registry, or the download failed.
    """
    import ollama

    check_tag(name)
    url = _guarded(host, allow_remote)
    # No read timeout: between two lines the server may be checking gigabytes.
    client = ollama.Client(url, trust_env=False, follow_redirects=False, timeout=httpx.Timeout(None, connect=5.0))
    status, why = "", ""
    try:
        for line in client.pull(name, stream=True):
            status = line.status or ""
            progress(PullProgress(status, line.digest or "", line.completed or 0, line.total or 0))
        why = f"its last word was {status!r}"
    except ollama.ResponseError as error:
        why = str(error.error)[:200]  # about a name and a registry: a pull carries no transcript
    except (httpx.HTTPError, ConnectionError, ValueError) as error:
        why = type(error).__name__
    finally:
        client.close()  # type: ignore[no-untyped-call]
    if status != "success":
        raise EngineUnavailable(f"Ollama at {url} did not pull {name}: {why}")


class SlowReply(TryAgain):
    """No reply within the time given; worth one further attempt."""


class Server:
    """One Ollama server: JSON in, JSON out, every failure an error of Balin's without a word of the request.

    Args:
        host: The address, as in OLLAMA_HOST; by default that variable, else this machine's port 11434.
        allowed: Hosts other than this machine that may be asked.
        backoff: How often and when to try again.
        timeout: Seconds to wait for a reply where a request names no time of its own.
        connect_timeout: Seconds to wait for a connection.

    Raises:
        RemoteRefused: The host is another machine that is not in `allowed`.
        InputError: `host` is no address.
    """

    def __init__(
        self,
        host: str | None,
        allowed: Collection[str] = (),
        *,
        backoff: Backoff | None = None,
        timeout: float = 30.0,
        connect_timeout: float = 5.0,
    ) -> None:
        self.url = _guarded(host, allowed)
        self.backoff = backoff or Backoff()
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._http = httpx.Client(base_url=self.url, trust_env=False, follow_redirects=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def version(self) -> str:
        """The server's version, such as "0.33.0".

        Raises:
            EngineUnavailable: No server, or one that is no Ollama.
        """
        version = self.ask("GET", "/api/version").get("version")
        if not isinstance(version, str) or not version:
            raise EngineUnavailable(f"what answers at {self.url} tells no version: it is not Ollama")
        return version

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        wait: float | None = None,
        slow: Callable[[int, float], BalinError] | None = None,
        missing: Callable[[], BalinError] | None = None,
    ) -> dict[str, Any]:
        """`once`, tried again as `backoff` says."""
        return self.backoff.run(partial(self.once, method, path, body, wait=wait, slow=slow, missing=missing))[0]

    def once(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        wait: float | None = None,
        slow: Callable[[int, float], BalinError] | None = None,
        missing: Callable[[], BalinError] | None = None,
    ) -> dict[str, Any]:
        """One request and its JSON object.

        Args:
            method: "GET" or "POST".
            path: From "/api".
            body: JSON to send.
            wait: Seconds to wait for the reply.
            slow: The error for no reply in that time, of attempts and seconds; by default the server is unavailable.
            missing: The error for HTTP 404; by default this is no Ollama server.

        Raises:
            TryAgain: A failure that may pass: no connection, no reply, a busy or failing server, a garbled reply.
            PromptTooLong: The prompt does not fit the context.
            CallError: The server refuses this request.
            EngineUnavailable: It refuses any request, or sends it elsewhere.
        """
        wait = self._timeout if wait is None else wait
        timeout = httpx.Timeout(wait, connect=self._connect_timeout, pool=None)
        if self._http.is_closed:
            raise EngineUnavailable(f"the connection to Ollama at {self.url} is closed")
        # The client's own exceptions hold the request, and so the transcript: their names are all that goes on from here.
        try:
            reply = self._http.request(method, path, json=body, timeout=timeout)
        except httpx.ReadTimeout:
            raise SlowReply(slow or partial(self._silent, wait), limit=1) from None
        except httpx.RequestError as error:
            raise TryAgain(partial(self._unreachable, type(error).__name__)) from None
        if reply.status_code == httpx.codes.OK:
            value = _json(reply)
            if not isinstance(value, dict):
                raise TryAgain(partial(self._garbled, path))
            return value
        raise self._refusal(reply, path, body or {}, missing)

    def _refusal(
        self, reply: httpx.Response, path: str, body: Mapping[str, Any], missing: Callable[[], BalinError] | None
    ) -> BalinError | TryAgain:
        """The error that a status other than 200 stands for."""
        status = reply.status_code
        value = _json(reply)
        # llama.cpp's own error arrives as JSON inside the string.
        text = str(value.get("error", "") if isinstance(value, dict) else reply.text)
        known = public_error(text)
        says = f"HTTP {status}: {known}" if known else f"HTTP {status}; its log says why"
        if reply.is_redirect:
            return RemoteRefused(
                f"what answers at {self.url} points elsewhere (HTTP {status}), and Balin does not follow"
            )
        if status in (400, 500) and _OVERFLOW.search(text):
            return _overflow(text, body.get("options") or {})
        if status == httpx.codes.NOT_FOUND:
            unknown = EngineUnavailable(
                f"what answers at {self.url} does not know {path}: it is not Ollama, or too old"
            )
            return missing() if missing else unknown
        if status in (401, 403):
            return EngineUnavailable(f"Ollama at {self.url} refuses access ({says})")
        if status in (429, 502, 503, 504):
            return TryAgain(partial(self._busy, says))
        if status >= 500:
            return TryAgain(partial(self._failing, says))
        return CallError(f"Ollama refused the request ({says})")

    def _silent(self, wait: float, attempts: int, seconds: float) -> EngineUnavailable:
        return EngineUnavailable(f"Ollama at {self.url} does not answer within {wait:g} s {_tried(attempts, seconds)}")

    def _unreachable(self, name: str, attempts: int, seconds: float) -> EngineUnavailable:
        return EngineUnavailable(
            f"Ollama at {self.url} cannot be reached ({name}) {_tried(attempts, seconds)}; start it with `ollama serve`, "
            "or set OLLAMA_HOST to where it is"
        )

    def _busy(self, says: str, attempts: int, seconds: float) -> EngineUnavailable:
        return EngineUnavailable(
            f"Ollama at {self.url} is too busy ({says}) {_tried(attempts, seconds)}; try again later"
        )

    def _failing(self, says: str, attempts: int, seconds: float) -> CallError:
        return CallError(f"Ollama failed ({says}) {_tried(attempts, seconds)}")

    def _garbled(self, path: str, attempts: int, seconds: float) -> CallError:
        return CallError(f"Ollama's reply to {path} is not a JSON object {_tried(attempts, seconds)}")


class _LongerThan(PromptTooLong):
    """The prompt does not fit, by an amount that Ollama before 0.30 does not tell; `needed` is the least it can be."""

    def __init__(self, limit: int) -> None:
        CallError.__init__(
            self, f"the prompt is longer than the context of {limit} tokens; use fewer demos or raise --num-ctx"
        )
        self.needed = limit + 1
        self.limit = limit


def entries(reply: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The models in a reply of /api/tags or /api/ps."""
    models = reply.get("models")
    return [item for item in models if isinstance(item, dict)] if isinstance(models, list) else []


def name_of(item: Mapping[str, Any]) -> str:
    """The name of a listed model."""
    return str(item.get("name") or item.get("model") or "")


def digest_of(item: Mapping[str, Any]) -> str:
    """The manifest's digest of a listed model as "sha256:…", or ""."""
    digest = str(item.get("digest") or "").removeprefix("sha256:")
    return f"sha256:{digest}" if digest else ""


def count(reply: Mapping[str, Any], key: str) -> int:
    """A number of a reply; Ollama leaves out those that are 0."""
    value = reply.get(key)
    return max(int(value), 0) if isinstance(value, int | float) and not isinstance(value, bool) else 0


def full_name(name: str) -> str:
    """A model's name as Ollama compares it: in lower case, with its tag, without the default registry and namespace."""
    full = name.strip().casefold().removeprefix("registry.ollama.ai/").removeprefix("library/")
    return full if ":" in full.rpartition("/")[2] else f"{full}:latest"


def version_tuple(version: str) -> tuple[int, int, int]:
    """The three numbers of a version such as "0.33.0-rc2".

    A build from source calls itself 0.0.0 and may be of any age: it counts as the newest, and its replies tell.
    """
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", version)
    numbers = (int(found[1]), int(found[2]), int(found[3])) if found else (0, 0, 0)
    return numbers if any(numbers) else (999, 0, 0)


def _guarded(host: str | None, allowed: Collection[str]) -> str:
    address = host if host is not None else os.environ.get("OLLAMA_HOST")
    check_host(address, allowed)
    return client_address(address).url


def _listing(host: str | None, allowed: Collection[str], path: str) -> list[Mapping[str, Any]]:
    server = Server(host, allowed, backoff=Backoff(retries=1))
    try:
        return entries(server.ask("GET", path))
    finally:
        server.close()


def _json(reply: httpx.Response) -> object:
    try:
        return reply.json()
    except ValueError:
        return None


def _overflow(text: str, options: Mapping[str, Any]) -> PromptTooLong:
    needed, limit = _NEEDED.search(text), _LIMIT.search(text)
    if needed and limit:
        return PromptTooLong(int(needed[1]) + count(options, "num_predict"), int(limit[1]))
    return _LongerThan(count(options, "num_ctx"))


def _tried(attempts: int, seconds: float) -> str:
    return f"in {attempts} attempt{'s' if attempts > 1 else ''} over {seconds:.0f} s"
