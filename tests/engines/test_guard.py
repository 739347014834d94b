"""Nothing but this machine is asked unless the user named it."""

from __future__ import annotations

import ipaddress

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from balin.engines.guard import check_host, check_reply, check_tag, client_address, public_error
from balin.errors import InputError, RemoteRefused


@pytest.mark.parametrize(
    ("text", "url"),
    [
        (None, "http://127.0.0.1:11434"),
        ("", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:11434", "http://127.0.0.1:11434"),
        (":9999", "http://127.0.0.1:9999"),
        ("localhost", "http://localhost:11434"),
        ("LocalHost:1", "http://localhost:1"),
        ("gpu01", "http://gpu01:11434"),
        ("gpu01:8080", "http://gpu01:8080"),
        ("http://gpu01", "http://gpu01:80"),
        ("https://gpu01", "https://gpu01:443"),
        ("https://gpu01:8443/ollama/", "https://gpu01:8443/ollama"),
        ("127.0.0.1:11434/", "http://127.0.0.1:11434"),
        ("::1", "http://[::1]:11434"),
        ("[::1]:5", "http://[::1]:5"),
        ("[::]", "http://[::1]:11434"),
        ("  127.0.0.1  ", "http://127.0.0.1:11434"),
    ],
)
def test_address_forms_of_ollama_host(text: str | None, url: str) -> None:
    assert client_address(text).url == url


@pytest.mark.parametrize(
    "text",
    [
        "ftp://127.0.0.1",
        "http://me@127.0.0.1",
        "http://127.0.0.1@example.org",
        "http://127.0.0.1\\@example.org",
        "http://127.0.0.1#@example.org",
        "127.0.0.1:70000",
        "127.0.0.1:port",
        "[::1]5",
        "[::1%lo]",
        "[example.org]",
        "a b",
        "host?x=1",
        "127.0.0.1:0",
        "http://host/a b",
    ],
)
def test_what_is_no_address_is_refused_and_not_guessed_at(text: str) -> None:
    with pytest.raises(InputError, match="is no address"):
        client_address(text)


@pytest.mark.parametrize(
    "url", [None, "localhost", "http://localhost:80", "127.0.0.1", "127.8.9.1:1", "::1", "[::1]:2", "0.0.0.0", "::"]
)
def test_this_machine_passes(url: str | None) -> None:
    check_host(url)


@pytest.mark.parametrize(
    "url",
    [
        "gpu01",
        "192.168.1.7",
        "http://10.0.0.1:11434",
        "ollama.com",
        "https://ollama.com",
        "localhost.example.org",
        "127.0.0.1.example.org",
        "localhost.",
        "127.1",
        "2130706433",
        "0x7f000001",
        "[::ffff:127.0.0.1]",
        "[fe80::1]",
        "169.254.169.254",
    ],
)
def test_any_other_machine_is_refused_with_the_option_that_would_allow_it(url: str) -> None:
    with pytest.raises(RemoteRefused) as caught:
        check_host(url)
    host = client_address(url).host
    assert f"--allow-remote {host}" in str(caught.value)
    check_host(url, [host if ":" not in host else f"[{host}]"])


@pytest.mark.parametrize(
    ("allowed", "passes"),
    [
        (["gpu01"], True),
        (["GPU01"], True),
        (["gpu01:8080"], True),
        (["http://gpu01:8080"], True),
        (["other", "gpu01"], True),
        (["gpu01:8081"], False),
        (["https://gpu01"], False),
        (["gpu0"], False),
        (["gpu01.example.org"], False),
        ([""], False),
        ([], False),
    ],
)
def test_allowing_a_host_or_one_port_of_it(allowed: list[str], passes: bool) -> None:
    if passes:
        check_host("gpu01:8080", allowed)
    else:
        with pytest.raises(RemoteRefused):
            check_host("gpu01:8080", allowed)


@given(st.ip_addresses())
def test_of_ip_addresses_only_loopback_ones_pass(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    text = f"[{ip}]" if ip.version == 6 else str(ip)
    if ip.is_loopback or ip.is_unspecified:
        check_host(text)
    else:
        with pytest.raises(RemoteRefused):
            check_host(text)


ADDRESSES = st.one_of(
    st.text(max_size=30),
    st.text(alphabet="htps:/@[]\\.#?%01a7 -", max_size=40),
    st.from_regex(r"(https?://)?[a-z0-9.\-]{1,12}(:[0-9]{1,5})?(/[a-z]{0,3})?", fullmatch=True),
)


@given(ADDRESSES)
def test_the_client_reads_an_address_exactly_as_the_guard_did(text: str) -> None:
    try:
        address = client_address(text)
    except InputError:
        return
    parsed = httpx.URL(address.url)
    assert parsed.host == address.host
    assert (parsed.port or {"http": 80, "https": 443}[parsed.scheme]) == address.port
    assert parsed.userinfo == b""
    assert client_address(address.url) == address


@pytest.mark.parametrize(
    "name",
    [
        "gpt-oss:120b-cloud",
        "glm-5:cloud",
        "GLM-5:Cloud",
        "me/model:cloud",
        "host:5000/me/model:8b-cloud",
        "m:cloud:local",
        " m:cloud ",
    ],
)
def test_cloud_tags_are_refused(name: str) -> None:
    with pytest.raises(RemoteRefused, match="cloud"):
        check_tag(name)


@pytest.mark.parametrize(
    "name", ["qwen2.5:1.5b", "cloud", "cloudy:7b", "me/cloud:7b", "cloud:latest", "my-cloud", "m:clouds"]
)
def test_the_word_cloud_elsewhere_in_a_name_is_no_tag(name: str) -> None:
    check_tag(name)


@pytest.mark.parametrize("reply", [{"remote_host": "https://ollama.com:443"}, {"remote_model": "gpt-oss:120b"}])
def test_a_reply_from_elsewhere_is_refused(reply: dict[str, str]) -> None:
    with pytest.raises(RemoteRefused, match="another host"):
        check_reply({"done": True} | reply, "gpt-oss")


def test_a_local_reply_passes() -> None:
    check_reply({"done": True, "remote_host": "", "model": "m"}, "m")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('"m:1b" does not support thinking', "does not support thinking"),
        (
            "model requires more system memory (9.2 GiB) than is available (3.1 GiB)",
            "model requires more system memory (9.2 GiB) than is available (3.1 GiB)",
        ),
        ("Failed to parse input at pos 0: Ali has pain", None),
        ("", None),
    ],
)
def test_only_fixed_sentences_of_a_server_are_shown(text: str, shown: str | None) -> None:
    assert public_error(text) == shown


@given(st.text(max_size=60), st.text(max_size=60))
def test_nothing_around_a_fixed_sentence_is_shown(before: str, after: str) -> None:
    shown = public_error(f"{before}failed to parse grammar{after}")
    assert shown is not None
    assert public_error(shown) == shown
    assert len(shown) < 100
