"""Text goes to the engine and to the store, and nowhere else: no connection, no log, no report, no file at home."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from balin.cli import main
from balin.engines.ollama import OllamaEngine
from balin.engines.weights import default_models_dir
from balin.errors import CallError, CallTimeout, EmptyAnswer, EngineUnavailable, IncompleteAnswer, PromptTooLong

sys.path.append(str(Path(__file__).parent / "eval"))
sys.path.append(str(Path(__file__).parent / "engines"))
from calls import Call, WordEngine, take, to_english, write_calls  # type: ignore[import-not-found]
from ollama_server import Reply, serve  # type: ignore[import-not-found]

CANARY = "Zaubernuss"
ENGLISH_CANARY = "Hamamelis"
DEMO_CANARY = "Rotkehlchen"

# Runs Balin's command line with every attempt to look up or reach another machine refused and written down, and every file
# that is opened for writing written down too. An audit hook sees what Python code does by whatever road.
GUARD = """
import json, os, sys
seen = {"reached": [], "written": []}
report = sys.argv.pop(1)
LOCAL = ("127.", "::1", "localhost", "")

def hook(event, arguments):
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else str(address)
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        host = arguments[0] or ""
        host = host.decode() if isinstance(host, bytes) else host
    elif event == "open" and isinstance(arguments[0], str) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
        seen["written"].append(os.path.abspath(arguments[0]))
        return
    else:
        return
    if not host.startswith(LOCAL[:3]) and host:
        seen["reached"].append([event, host])
        raise OSError("refused by the test")

sys.addaudithook(hook)
from balin.cli import main
code = main(sys.argv[1:])
if os.environ.get("BALIN_TEST_ESCAPE"):
    import socket
    try:
        socket.socket().connect(("192.0.2.1", 80))
    except OSError:
        pass
sys.stdout.flush()
found = json.dumps(seen)
with open(report, "w") as file:
    file.write(found)
os._exit(code)
"""


class Guarded:
    """What a guarded process did."""

    def __init__(self, folder: Path, *arguments: object, **environment: str) -> None:
        self.home, self.work, self.temporary = (folder / name for name in ("home", "work", "tmp"))
        for made in (self.home, self.work, self.temporary):
            made.mkdir()
        kept = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "LD_LIBRARY_PATH", "SYSTEMROOT")}
        settings = {
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            "BALIN_MODELS": str(default_models_dir()),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONIOENCODING": "utf-8",
            **environment,
        }
        report = folder / "seen.json"
        done = subprocess.run(
            [sys.executable, "-c", GUARD, str(report), *map(str, arguments)],
            capture_output=True,
            timeout=240,
            cwd=self.work,
            env=kept | settings,
            check=False,
        )
        self.code, self.out, self.err = done.returncode, done.stdout.decode(), done.stderr.decode()
        assert report.exists(), self.err
        seen = json.loads(report.read_text())
        self.reached: list[list[str]] = seen["reached"]
        self.written = [Path(p) for p in seen["written"]]


def with_canaries(path: Path) -> Path:
    """One call to be scored, with a word in its text and another in its English that stand nowhere else."""
    call = Call("only", frozenset({"fever"}), remark=CANARY)
    write_calls(path, [call])
    text = path.read_text(encoding="utf-8").replace(call.text("en"), f"The patient {ENGLISH_CANARY}: Fever.")
    path.write_text(text, encoding="utf-8")
    return path


def demos_with_canary(path: Path) -> Path:
    return write_calls(path, [Call("demo", frozenset({"pain"}), remark=DEMO_CANARY)])


def holding(folder: Path, word: str) -> set[str]:
    """The files under a folder in which a word stands, tables read as tables, and names of files."""
    found = set()
    for path in folder.rglob("*"):
        if word in str(path.relative_to(folder)):
            found.add(str(path.relative_to(folder)))
        if path.is_file():
            text = path.read_bytes().decode("utf-8", "replace")
            if path.suffix == ".parquet":
                text += pd.read_parquet(path).to_csv()
            escaped = json.dumps(word)[1:-1]
            if word in text or escaped in text:
                found.add(path.name)
    return found


def check_files(out: Path, run: Path) -> None:
    """The canaries are in the store and the demo's in the program, all for their owner only."""
    assert holding(out, CANARY) <= {"translations.jsonl", "predictions.jsonl"}
    assert holding(out, ENGLISH_CANARY) <= {"translations.jsonl", "predictions.jsonl"}
    assert holding(out, DEMO_CANARY) <= {"translations.jsonl", "predictions.jsonl", "program.json"}
    assert holding(run, CANARY) == holding(run, ENGLISH_CANARY) == set()
    assert holding(run, DEMO_CANARY) <= {"program.json"}
    for folder in (out, out / "store", run):
        assert folder.stat().st_mode & 0o777 == 0o700, folder
    for path in (*(out / "store").iterdir(), *run.iterdir()):
        assert path.stat().st_mode & 0o777 == 0o600, path


@pytest.mark.live
def test_nothing_but_this_machine_is_reached_and_nothing_is_left_at_home(tmp_path):
    data = with_canaries(tmp_path / "calls.csv")
    demos = demos_with_canary(tmp_path / "demos.csv")
    found = Guarded(
        tmp_path, "evaluate", "--data", data, "--model", "smollm2:135m", "--engine", "embedded", "--format", "probe",
        "--demos", 1, "--demos-from", demos, "--num-ctx", 1024, "--json", BALIN_TEST_ESCAPE="1",
    )  # fmt: skip
    assert found.code == 0, found.err
    # The one that the guard itself tried at the end, to show that it would have seen others.
    assert found.reached == [["socket.connect", "192.0.2.1"]]
    assert list(found.home.rglob("*")) == []
    assert [p for p in found.temporary.rglob("*") if p.is_file()] == []
    runs = found.work / "runs"
    strange = [p for p in found.written if not p.is_relative_to(runs) and p != Path(os.devnull)]
    assert strange == []
    assert [p.name for p in found.work.iterdir()] == ["runs"]
    document = json.loads(found.out.splitlines()[-1])
    check_files(runs, found.work / document["run"])
    assert "program.json" in holding(runs, DEMO_CANARY)
    for word in (CANARY, ENGLISH_CANARY, DEMO_CANARY):
        assert word not in found.out + found.err


@pytest.mark.live
def test_a_real_prompt_that_is_too_long_shows_no_text(tmp_path):
    data = with_canaries(tmp_path / "calls.csv")
    found = Guarded(
        tmp_path, "evaluate", "--data", data, "--model", "smollm2:135m", "--engine", "embedded", "--format", "lines",
        "--demos", 0, "--num-ctx", 256, "--json",
    )  # fmt: skip
    assert found.code == 1, found.err
    assert found.reached == []
    document = json.loads(found.out.splitlines()[-1])
    assert document["answers"]["error"] == 13
    assert json.loads((found.work / document["run"] / "run.json").read_text())["failures"] == {"prompt_too_long": 1}
    assert CANARY not in found.out + found.err
    assert holding(found.work, CANARY) == set()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between attempts at a server nobody waits."""
    defaults = OllamaEngine.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "sleep", lambda seconds: None)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> WordEngine:
    made = WordEngine()
    take(monkeypatch, made)
    return made


def evaluate(*more: object, data: Path, out: Path) -> int:
    arguments = ("evaluate", "--data", data, "--model", "smollm2:135m", "--out", out, "--json", *more)
    return main([str(a) for a in arguments])


def shown(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> str:
    out, err = capfd.readouterr()
    return out + err + caplog.text


ROUTES: dict[str, tuple[str, ...]] = {
    "direct": (),
    "translated": ("--route", "translated"),
    "given": ("--route", "translated", "--english", "given"),
}


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("answer_format", ["lines", "json", "present", "probe"])
def test_the_text_is_in_the_store_and_nowhere_else(tmp_path, engine, capfd, caplog, route, answer_format):
    caplog.set_level(logging.DEBUG)
    engine.english = lambda text: to_english(text).replace(CANARY, f"{CANARY} {ENGLISH_CANARY}")
    data, demos = with_canaries(tmp_path / "calls.csv"), demos_with_canary(tmp_path / "demos.csv")
    options = ("--engine", "embedded", "--demos", 1, "--demos-from", demos, "--format", answer_format, *ROUTES[route])
    assert evaluate(*options, data=data, out=tmp_path / "runs") == 0
    text = shown(capfd, caplog)
    for word in (CANARY, ENGLISH_CANARY, DEMO_CANARY):
        assert word not in text
    run = next(p.parent for p in (tmp_path / "runs").glob("*/run.json"))
    check_files(tmp_path / "runs", run)
    assert holding(run, DEMO_CANARY) == {"program.json"}
    assert main(["report", str(run), "--json"]) == main(["report", str(run), "--markdown"]) == 0
    text = shown(capfd, caplog)
    for word in (CANARY, ENGLISH_CANARY, DEMO_CANARY):
        assert word not in text


FAILURES = [
    PromptTooLong(5000, 4096),
    IncompleteAnswer("cut"),
    EmptyAnswer("nothing"),
    CallTimeout("slow"),
    CallError("llama.cpp refused the request"),
]


@pytest.mark.parametrize("route", ["direct", "translated"])
@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_a_failed_call_shows_no_text(tmp_path, engine, capfd, caplog, failure, route):
    caplog.set_level(logging.DEBUG)

    def fails(number: int) -> None:
        raise failure

    engine.before = fails
    data = with_canaries(tmp_path / "calls.csv")
    assert evaluate("--engine", "embedded", "--demos", 0, *ROUTES[route], data=data, out=tmp_path / "runs") == 1
    assert CANARY not in shown(capfd, caplog)
    assert holding(tmp_path / "runs", CANARY) == set()
    run = next(p.parent for p in (tmp_path / "runs").glob("*/run.json"))
    assert json.loads((run / "run.json").read_text())["failures"] == {failure.kind: 1}


@pytest.mark.parametrize("error", [ValueError, RuntimeError, KeyError, UnicodeError, OSError, EngineUnavailable])
def test_an_error_that_nobody_foresaw_shows_no_text(tmp_path, engine, capfd, caplog, error):
    """An exception of a library, or a fault of Balin's own, may quote what it was given."""
    caplog.set_level(logging.DEBUG)

    def fails(number: int) -> None:
        text = "gone" if error is EngineUnavailable else f"cannot digest {engine.asked[-1]!r}"
        raise error(text)

    engine.before = fails
    data = with_canaries(tmp_path / "calls.csv")
    code = evaluate("--engine", "embedded", "--demos", 0, data=data, out=tmp_path / "runs")
    assert code not in (0, 2, 130)
    text = shown(capfd, caplog)
    assert CANARY not in text
    assert error.__name__ in text or error is EngineUnavailable


def test_what_models_write_is_not_shown_either(tmp_path, engine, capfd, caplog):
    """A model repeats the text, in place of an answer."""
    caplog.set_level(logging.DEBUG)
    engine._said_before = engine._said
    engine._said = lambda text, source: engine._said_before(source, source)
    data = with_canaries(tmp_path / "calls.csv")
    for answer_format in ("lines", "json", "present"):
        options = ("--engine", "embedded", "--demos", 0, "--format", answer_format)
        assert evaluate(*options, data=data, out=tmp_path / "runs") == 0
    assert CANARY not in shown(capfd, caplog)
    assert holding(tmp_path / "runs", CANARY) == {"predictions.jsonl"}


ECHOING: list[Any] = [
    (500, {"error": f"Failed to parse input at pos 0: {CANARY}"}),
    (400, {"error": f"invalid prompt {CANARY}"}),
    (200, {"message": {"role": "assistant", "content": CANARY}, "done": False}),
    (200, {"model": "m", "created_at": "", "done": True, "error": CANARY}),
    (418, f"<html>{CANARY}</html>".encode()),
]


@pytest.mark.parametrize(("status", "body"), ECHOING)
def test_a_server_that_echoes_the_text_in_its_errors(tmp_path, capfd, caplog, status, body):
    caplog.set_level(logging.DEBUG)
    data = with_canaries(tmp_path / "calls.csv")
    with serve(WordEngine()) as server:
        server.fail("chat", Reply(status, body), times=20)
        code = evaluate("--engine", "ollama", "--host", server.url, "--demos", 0, data=data, out=tmp_path / "runs")
    assert code in (1, 3)
    assert CANARY not in shown(capfd, caplog)
    assert holding(tmp_path / "runs", CANARY) == set()


def test_rows_that_are_refused_are_named_without_their_text(tmp_path, capfd, caplog):
    caplog.set_level(logging.DEBUG)
    data = write_calls(tmp_path / "calls.csv", [Call(f"c{i}", remark=CANARY) for i in range(3)])
    text = data.read_text(encoding="utf-8").replace("False", CANARY[:3], 1).replace("c1,", ",", 1)
    data.write_text(text, encoding="utf-8")
    assert main(["data", "check", str(data), "--rejects", str(tmp_path / "rejects.csv"), "--json"]) == 1
    assert CANARY not in shown(capfd, caplog)
    assert CANARY not in (tmp_path / "rejects.csv").read_text(encoding="utf-8")


def test_dspy_remembers_nothing(tmp_path, engine):
    import dspy
    from dspy.clients import base_lm

    assert (
        evaluate("--engine", "embedded", "--demos", 0, data=with_canaries(tmp_path / "c.csv"), out=tmp_path / "r") == 0
    )
    assert list(getattr(base_lm, "GLOBAL_HISTORY", [])) == []
    assert dspy.settings.disable_history
    assert not dspy.cache.enable_disk_cache
    assert not dspy.cache.enable_memory_cache


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Hosts that this process looked up or connected to; all are refused but the loopback address."""
    hosts: list[str] = []
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def connected(self: socket.socket, address: Any) -> None:
        if address[0] != "127.0.0.1":
            hosts.append(address[0])
            raise ConnectionRefusedError("refused by the test")
        connect(self, address)

    def looked_up(host: Any, *arguments: Any, **options: Any) -> Any:
        if host not in ("127.0.0.1", "localhost", "::1"):
            hosts.append(host)
            raise socket.gaierror("refused by the test")
        return look_up(host, *arguments, **options)

    monkeypatch.setattr(socket.socket, "connect", connected)
    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    return hosts


REMOTE = [
    "http://gpu01:11434",
    "gpu01.example.org",
    "192.0.2.7",
    "https://ollama.com",
    "http://localhost.example.org",
    "[2001:db8::1]",
]
COMMANDS: dict[str, tuple[object, ...]] = {
    "evaluate": ("evaluate", "--limit", 1, "--engine", "ollama"),
    "translate": ("translate", "--limit", 1, "--engine", "ollama"),
}


@pytest.mark.parametrize("host", REMOTE)
@pytest.mark.parametrize("command", COMMANDS)
def test_another_machine_is_refused_before_anything_is_sent(tmp_path, capfd, reached, engine, host, command):
    arguments = (*COMMANDS[command], "--model", "smollm2:135m", "--host", host, "--out", tmp_path / "runs")
    assert main([str(a) for a in arguments]) == 3
    assert reached == []
    assert engine.requests == 0
    assert "--allow-remote" in capfd.readouterr().err


@pytest.mark.parametrize("host", REMOTE)
@pytest.mark.parametrize("weights", [True, False])
def test_auto_never_reaches_another_machine(tmp_path, capfd, reached, monkeypatch, host, weights):
    """It takes the embedded engine and says why, or there is none to take."""
    monkeypatch.setenv("BALIN_MODELS", str(tmp_path / "none"))
    if weights:
        take(monkeypatch, WordEngine())
    arguments = ("evaluate", "--limit", 1, "--model", "smollm2:135m", "--host", host, "--out", tmp_path / "runs")
    assert main([str(a) for a in arguments]) == (0 if weights else 3)
    assert reached == []
    err = capfd.readouterr().err
    assert "--allow-remote" in err
    assert ("engine: embedded llama.cpp" in err) == weights


def test_another_machine_in_the_environment_is_refused_too(tmp_path, capfd, reached, monkeypatch):
    monkeypatch.setenv("OLLAMA_HOST", "gpu01:11434")
    arguments = ("evaluate", "--limit", 1, "--engine", "ollama", "--model", "smollm2:135m", "--out", tmp_path / "runs")
    assert main([str(a) for a in arguments]) == 3
    assert reached == []
    assert "gpu01 is not this machine" in capfd.readouterr().err


def test_only_the_host_that_was_allowed_is_reached(tmp_path, capfd, reached):
    for allowed, expected in (("gpu02", set()), ("192.0.2.7", {"192.0.2.7"})):
        reached.clear()
        arguments = ("evaluate", "--limit", 1, "--engine", "ollama", "--host", "192.0.2.7", "--allow-remote", allowed)
        assert main([str(a) for a in (*arguments, "--model", "smollm2:135m", "--out", tmp_path / "runs")]) == 3
        assert set(reached) == expected


@pytest.mark.parametrize(
    "model", ["gpt-oss:120b-cloud", "deepseek-v3.1:671b-CLOUD", "qwen3-coder:cloud", "library/kimi:cloud"]
)
@pytest.mark.parametrize("option", ["--model", "--translator"])
def test_models_of_ollamas_cloud_are_refused_though_the_server_is_local(tmp_path, capfd, model, option):
    data = with_canaries(tmp_path / "calls.csv")
    with serve(WordEngine(), model=model) as server:
        options = {"--model": "smollm2:135m", "--engine": "ollama", "--host": server.url, "--demos": 0, option: model}
        listed = [str(x) for pair in options.items() for x in pair]
        code = main(
            ["evaluate", "--data", str(data), "--route", "translated", *listed, "--out", str(tmp_path / "runs")]
        )
        assert server.count("chat") == 0
    assert code == 3
    assert "cloud" in capfd.readouterr().err


def test_a_model_that_a_server_would_pass_on_is_refused(tmp_path, capfd):
    """It has no cloud tag, but the server's listing names a remote host."""
    data = with_canaries(tmp_path / "calls.csv")
    with serve(WordEngine()) as server:
        listing = {"name": "smollm2:135m", "model": "smollm2:135m", "remote_host": "https://ollama.com:443"}
        server.fail(
            "tags", Reply(200, {"models": [listing | {"remote_model": "gpt-oss:120b", "digest": "d" * 64}]}), times=5
        )
        code = evaluate("--engine", "ollama", "--host", server.url, "--demos", 0, data=data, out=tmp_path / "runs")
        assert server.count("chat") == server.count("load") == 0
    assert code == 3
    assert "another host" in capfd.readouterr().err


def test_the_demo_data_of_these_tests_hold_the_canaries(tmp_path):
    """Or nothing above would prove anything."""
    assert holding(tmp_path, CANARY) == set()
    with_canaries(tmp_path / "calls.csv")
    demos_with_canary(tmp_path / "demos.csv")
    pd.DataFrame({"text": [CANARY]}).to_parquet(tmp_path / "x.parquet")
    assert holding(tmp_path, CANARY) == {"calls.csv", "x.parquet"}
    assert holding(tmp_path, ENGLISH_CANARY) == {"calls.csv"}
    assert holding(tmp_path, DEMO_CANARY) == {"demos.csv"}
