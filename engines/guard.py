"""What may be asked, and of whom: nothing but this machine unless the user allowed it by name.

An address is taken apart once, here, and put together again from its checked parts, so that the client that connects
cannot read it differently. `localhost` is no guarantee by itself: a local Ollama passes cloud-tagged models on to another
host. Their tags are refused, and so is every reply that names a remote host.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from ..errors import InputError, RemoteRefused

DEFAULT_HOST = "http://127.0.0.1:11434"

_OLLAMA_PORT = 11434
_SCHEME_PORTS = {"http": 80, "https": 443}
_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,252}[a-z0-9_])?\.?\Z")
_HOSTPORT = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<name>[^:\[\]]*))(?::(?P<port>[0-9]{1,5}))?\Z")
_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)*/?\Z")

# Ollama's own fixed sentences. The match is shown and never what follows it, for other parts of a message can quote the
# prompt or the answer (a template's error, "Failed to parse input at pos 0: …").
_PUBLIC = re.compile(
    r"does not support (?:chat|generate|thinking|completion)"
    r"|model requires more system memory \([\d.]+ [KMGT]iB\) than is available \([\d.]+ [KMGT]iB\)"
    r"|model is required|invalid model name|unable to load model|out of memory|not enough memory"
    r"|server busy, please try again\.\s+maximum pending requests exceeded"
    r"|(?:llama runner process|llama-server process) has terminated"
    r"|model runner has unexpectedly stopped"
    r"|timed out waiting for (?:llama runner|llama-server) to start"
    r"|an error was encountered while running the model"
    r"|token repeat limit reached"
    r"|top_logprobs must be between 0 and 20"
    r"|invalid format|failed to parse grammar"
    r"|raw mode does not support template, system, or context"
    r"|this server cannot run this remote model"
)


class Address(NamedTuple):
    """An address in its parts; `host` in lower case, an IP address in its shortest form, without brackets."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def url(self) -> str:
        """The address as a URL without a trailing slash."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"


def client_address(text: str | None) -> Address:
    """Read an address in any form that OLLAMA_HOST allows, as the address for a client to connect to.

    "host", "host:port", ":port", "[::1]:port", and URLs with http or https. The port is 11434 where there is no scheme, and
    the scheme's own (80, 443) where there is one, as in Ollama. "0.0.0.0" and "::", which mean "all interfaces" to a
    server, mean this machine to its client. None and "" are Ollama's default.

    Raises:
        InputError: It is no such address.
    """
    stripped = (text or "").strip()
    if not stripped:
        stripped = DEFAULT_HOST
    address, _ = _parse(stripped)
    return address


def check_host(url: str | None, allowed: Collection[str] = ()) -> None:
    """Let pass what stays on this machine, or was allowed by name.

    Only the name `localhost` and literal loopback addresses (127.0.0.0/8, ::1) are this machine; no name is looked up.

    Args:
        url: An address as in `client_address`.
        allowed: Hosts ("gpu01"), or hosts with the one port that is meant ("gpu01:11434").

    Raises:
        RemoteRefused: It is another machine, and `allowed` does not name it.
        InputError: `url` or an entry of `allowed` is no address.
    """
    address = client_address(url)
    if _is_loopback(address.host):
        return
    for entry in allowed:
        other, has_port = _parse(entry.strip())
        if other.host == address.host and (not has_port or other.port == address.port):
            return
    raise RemoteRefused(
        f"{address.host} is not this machine, and transcripts would be sent to it; "
        f"if that is what you want, say --allow-remote {address.host}"
    )


def check_tag(name: str) -> None:
    """Refuse the model names that a local Ollama passes on to its cloud: the tag `cloud`, and tags that end in `-cloud`.

    The rule is Ollama's own (internal/modelref). A reply that names a remote host is refused besides (`check_reply`).

    Raises:
        RemoteRefused: The name has such a tag. `--allow-remote` does not change that.
    """
    tags = name.strip().casefold().rpartition("/")[2].split(":")[1:]
    if any(tag.strip() == "cloud" or tag.strip().endswith("-cloud") for tag in tags):
        raise RemoteRefused(
            f"{name} runs in Ollama's cloud and not on this machine; choose a model without a cloud tag"
        )


def check_reply(reply: Mapping[str, Any], name: str) -> None:
    """Refuse a reply, a listing or a description that comes from, or stands for, a model on another host.

    Raises:
        RemoteRefused: It has `remote_host` or `remote_model`.
    """
    if reply.get("remote_host") or reply.get("remote_model"):
        raise RemoteRefused(
            f"{name} stands for a model on another host, to which Ollama would send the text; "
            "choose a model that is stored on this machine (OLLAMA_NO_CLOUD=1 switches such models off)"
        )


def public_error(text: str) -> str | None:
    """The part of a server's error message that cannot hold text of a transcript, or None where none is known."""
    found = _PUBLIC.search(text)
    return found.group() if found else None


def _parse(text: str) -> tuple[Address, bool]:
    """The address, and whether its port was written out or fixed by a scheme."""
    wrong = InputError(f"{text!r} is no address of a server; write HOST, HOST:PORT or http://HOST:PORT")
    scheme, found, rest = text.partition("://")
    if not found:
        scheme, rest = "http", text
    scheme = scheme.casefold()
    hostport, slash, path = rest.partition("/")
    if hostport.count(":") > 1 and not hostport.startswith("["):
        hostport = f"[{hostport}]"
    parts = _HOSTPORT.fullmatch(hostport)
    if scheme not in _SCHEME_PORTS or parts is None or not _PATH.fullmatch(slash + path):
        raise wrong
    host = _normal_host(parts["name"], parts["six"])
    port = int(parts["port"]) if parts["port"] else _SCHEME_PORTS[scheme] if found else _OLLAMA_PORT
    if host is None or not 0 < port < 65536:
        raise wrong
    return Address(scheme, host, port, (slash + path).rstrip("/")), bool(parts["port"] or found)


def _normal_host(name: str | None, six: str | None) -> str | None:
    """The host in one spelling, or None where it is none."""
    if not name and six is None:
        return "127.0.0.1"
    try:
        ip = ipaddress.ip_address(name or six or "")
    except ValueError:
        folded = (name or "").casefold()
        return folded if _NAME.fullmatch(folded) else None
    if ip.is_unspecified:
        return "127.0.0.1" if ip.version == 4 else "::1"
    return str(ip)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
