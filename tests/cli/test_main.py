"""The command line as a whole: help, exit codes, and what an error looks like."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from balin import __version__
from balin.cli import cli, main

sys.path.append(str(Path(__file__).parents[1] / "engines"))
sys.path.append(str(Path(__file__).parents[1] / "eval"))
from calls import WordEngine, some_calls, write_calls  # type: ignore[import-not-found]
from ollama_server import serve  # type: ignore[import-not-found]


def commands() -> list[tuple[str, ...]]:
    """Every command with its parents' names."""
    found: list[tuple[str, ...]] = []

    def walk(command: click.Command, path: tuple[str, ...]) -> None:
        if not isinstance(command, click.Group):
            found.append(path)
            return
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            walk(child, (*path, name))

    walk(cli, ())
    return found


COMMANDS = commands()


def test_all_the_commands_are_there():
    assert set(COMMANDS) == {
        ("doctor",),
        ("models", "list"),
        ("models", "pull"),
        ("data", "check"),
        ("data", "split"),
        ("data", "synth"),
        ("translate",),
        ("evaluate",),
        ("optimize",),
        ("search",),
        ("compare",),
        ("errors",),
        ("baselines",),
        ("export",),
        ("extract",),
        ("report",),
        ("demo",),
    }


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_has_an_example_that_the_command_would_take(balin, path):
    found = balin(*path, "--help")
    assert found.code == 0
    assert found.err == ""
    assert "Example" in found.out
    assert "--json" in found.out
    examples = [line.strip() for line in found.out.splitlines() if line.strip().startswith("balin ")]
    assert any(e.startswith(f"balin {' '.join(path)}") for e in examples), found.out
    for example in examples:
        command: click.Command = cli
        words = example.split(" > ")[0].split()[1:]
        context = click.Context(cli)
        while isinstance(command, click.Group):
            child = command.get_command(context, words.pop(0))
            assert child is not None, example
            command, context = child, click.Context(child)
        # Raises on an unknown option or a wrong value; nothing is run.
        command.make_context("balin", words)


@pytest.mark.parametrize("path", [(), ("models",), ("data",)])
def test_help_of_a_group_names_its_commands(balin, path):
    found = balin(*path, "-h")
    assert found.code == 0
    for command in COMMANDS:
        if command[: len(path)] == path:
            assert command[len(path)] in found.out


def test_the_version(balin):
    assert __version__ in balin("--version").out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("evaluate", "--nonsense"), "No such option"),
        (("nonsense",), "No such command"),
        (("evaluate", "--limit", "0"), "0 is not in the range"),
        (("evaluate", "--limit", "many"), "not a valid integer"),
        (("evaluate", "--route", "sideways"), "sideways"),
        (("evaluate", "--format", "xml"), "xml"),
        (("evaluate", "--num-ctx", "10"), "256"),
        (("report",), "Missing argument"),
        (("data", "split", "x.csv"), "Missing option"),
        (("data", "synth", "x.csv", "--n", "0"), "0 is not in the range"),
        (("models", "nonsense"), "No such command"),
    ],
)
def test_wrong_use_is_2_and_says_what_is_wrong(balin, arguments, message):
    found = balin(*arguments)
    assert found.code == 2
    assert message in found.err
    assert found.out == ""


def test_without_a_command_the_help_is_shown(balin):
    found = balin()
    assert found.code == 2
    assert "evaluate" in found.out + found.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("evaluate", "--data", "none.csv"), 2, "none.csv: there is no such file"),
        (("evaluate", "--data", "."), 2, "cannot be read"),
        (("evaluate", "--data", "calls.docx"), 2, "no such file"),
        (("evaluate", "--features", "none.yaml"), 2, "no feature set 'none.yaml'"),
        (("evaluate", "--demos-from", "none.csv"), 2, "none.csv: there is no such file"),
        (("evaluate", "--program", "none.json"), 2, "no program 'none.json'"),
        (("evaluate", "--split", "none.json"), 2, "no such split file"),
        (("evaluate", "--split", "a.json", "--split-seed", "1"), 2, "give one of them"),
        (("evaluate", "--num-ctx", "99999"), 2, "--num-ctx 99999 is more than the 32768 tokens"),
        (("evaluate", "--host", "http://[bad"), 2, "is no address"),
        (("evaluate", "--model", "gpt-oss:120b-cloud"), 3, "Ollama's cloud"),
        (
            ("evaluate", "--model", "no-such-model", "--engine", "embedded"),
            3,
            "'no-such-model' is not in the catalogue",
        ),
        (("evaluate", "--model", "smolm2:135m", "--engine", "embedded"), 3, "did you mean smollm2:135m?"),
        (("evaluate", "--model", "aya-expanse:8b", "--engine", "embedded"), 3, "`ollama pull aya-expanse:8b`"),
        (("evaluate", "--model", "smollm2:135m", "--engine", "ollama"), 3, "Ollama"),
        (("evaluate", "--model", "smollm2:135m", "--engine", "embedded"), 3, "`balin models pull smollm2:135m`"),
        (("evaluate", "--model", "smollm2:135m"), 3, "`balin models pull smollm2:135m`"),
        (("translate", "--model", "smollm2:135m"), 3, "`balin models pull smollm2:135m`"),
        (("translate", "none.csv"), 2, "none.csv: there is no such file"),
        (("demo", "--model", "smollm2:135m"), 3, "`balin models pull smollm2:135m`"),
        (("models", "pull", "no-such-model"), 2, "'no-such-model' is not in the catalogue"),
        (("models", "pull", "aya-expanse:8b"), 3, "`ollama pull aya-expanse:8b`"),
        (("models", "pull", "smollm2:135m", "--file", "none.gguf"), 2, "none.gguf"),
        (("report", "none"), 2, "no run.json"),
        (("data", "check", "none.csv"), 2, "there is no such file"),
        (("data", "split", "none.csv", "--to", "split.json"), 2, "there is no such file"),
        (("data", "split", "corpus", "--to", "no/folder/split.json"), 2, "cannot be written"),
        (("data", "synth", "load.txt"), 2, "written as .jsonl or .csv"),
        (("data", "synth", "no/folder/load.csv"), 2, "cannot be written"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(balin, no_weights, arguments, code, message):
    found = balin(*arguments)
    assert found.code == code, found.err
    assert message in found.err
    assert found.err.splitlines()[-1].startswith("balin: ")
    assert "Traceback" not in found.err
    assert found.out == ""


@pytest.mark.parametrize("option", ["--out", "--name"])
def test_an_output_folder_that_cannot_be_made_is_said_in_a_sentence(balin, engine, tmp_path, option):
    data = write_calls(tmp_path / "calls.csv", some_calls(2))
    there = {"--out": data / "runs", "--name": "x" * 300}[option]
    found = balin("evaluate", "--data", data, "--engine", "embedded", "--demos", 0, option, there)
    assert found.code == 2
    assert found.err.splitlines()[-1].startswith("balin: ")


def test_an_unforeseen_error_shows_no_transcript(balin, engine, tmp_path, monkeypatch):
    """An exception of a library may quote what it was given."""

    def quotes(number):
        raise ValueError(f"cannot digest {engine.asked[-1]}")

    engine.before = quotes
    data = write_calls(tmp_path / "calls.csv", some_calls(1))
    found = balin("evaluate", "--data", data, "--engine", "embedded", "--demos", 0)
    assert found.code == 1
    assert "c0" not in found.out + found.err
    assert "ValueError" in found.err


def test_interrupted_is_130(balin, engine, tmp_path):
    def stops(number):
        raise KeyboardInterrupt

    engine.before = stops
    data = write_calls(tmp_path / "calls.csv", some_calls(1))
    found = balin("evaluate", "--data", data, "--engine", "embedded", "--demos", 0)
    assert found.code == 130
    assert "what was finished is kept" in found.err


def python_m_balin(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "balin", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, cwd=cwd)


def test_the_process_itself_returns_these_codes(tmp_path):
    done = python_m_balin("data", "check", "corpus", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0)
    wrong = python_m_balin("report", "none", cwd=tmp_path)
    assert (wrong.returncode, wrong.stdout, wrong.stderr.count("\n")) == (2, "", 1)


def test_a_reader_that_goes_away_is_no_crash(tmp_path):
    """As in `balin data check | head -1`."""
    command = [sys.executable, "-m", "balin", "data", "check", "corpus"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read()
    assert "Traceback" not in errors
    assert "BrokenPipe" not in errors


def test_ctrl_c_keeps_the_work_and_the_same_command_goes_on(tmp_path):
    """A real signal to a real process, which asks an Ollama that lives in this one."""
    data = write_calls(tmp_path / "calls.csv", some_calls(5))
    engine = WordEngine()
    held: list[int] = []

    def hold(number: int) -> None:
        if number == 3 and not held:
            held.append(number)
            process.send_signal(signal.SIGINT)
            time.sleep(0.5)

    engine.before = hold
    with serve(engine) as server:
        command = [
            sys.executable,
            "-m",
            "balin",
            "evaluate",
            "--data",
            data,
            "--engine",
            "ollama",
            "--host",
            server.url,
        ]
        command += ["--model", "smollm2:135m", "--demos", "0", "--json", "--out", tmp_path / "runs"]
        process = subprocess.Popen(
            [str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
            # A shell that runs the tests in the background has the signal ignored, and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        out, err = process.communicate(timeout=240)
        assert process.returncode == 130, err
        assert out == ""
        assert "Traceback" not in err
        assert "the same command goes on from there" in err
        assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["models.json", "store"]
        asked = engine.requests
        assert asked == 3
        assert main([str(c) for c in command[3:]]) == 0
        assert engine.requests - asked == 3
        assert main([str(c) for c in command[3:]]) == 0
        assert engine.requests - asked == 3
