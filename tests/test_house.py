"""Guards of the house: what is packaged, what is shipped, what the documents promise, and that files stay small."""

import ast
import importlib.metadata
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import click
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from balin.cli import cli

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = PYPROJECT["tool"]["setuptools"]
NOT_PACKAGED = {"tests", "benchmarks", "docs", "build", "dist", "runs"}
LOCK = ROOT / "requirements.lock"
HEAVY = (
    "dspy",
    "litellm",
    "pandas",
    "sklearn",
    "scipy",
    "optuna",
    "pyarrow",
    "numpy",
    "openpyxl",
    "xllamacpp",
    "ollama",
    "matplotlib",
    "sacrebleu",
)
LONGEST_FILE = 500
LONGEST_FUNCTION = 60


def packaged_folders() -> list[Path]:
    """The folders at the root that belong to the package, and all folders in them."""
    tops = [
        p
        for p in ROOT.iterdir()
        if p.is_dir() and p.name not in NOT_PACKAGED and p.name.isidentifier() and p.name != "__pycache__"
    ]
    inner = [q for p in tops for q in p.rglob("*") if q.is_dir() and "__pycache__" not in q.parts]
    return sorted(tops + inner)


def package_of(folder: Path) -> str:
    """`balin.data` for the folder `data`."""
    return ".".join(("balin", *folder.relative_to(ROOT).parts))


def python_files() -> list[Path]:
    """The package's own files and the benchmarks."""
    folders = [ROOT, *packaged_folders(), ROOT / "benchmarks"]
    return sorted(f for folder in folders for f in folder.glob("*.py"))


def kept_files() -> Iterator[Path]:
    """Every file that belongs to the project, as far as can be told without git."""
    for base, folders, files in os.walk(ROOT):
        hidden = [d for d in folders if d.startswith(".") and d != ".ci"]
        generated = [d for d in folders if d in {"__pycache__", "build", "dist", "runs"} or d.endswith(".egg-info")]
        folders[:] = [d for d in folders if d not in hidden and d not in generated]
        # In a linked work tree .git is a file that holds a path of the machine.
        yield from (Path(base, f) for f in files if f != ".git" and not f.endswith((".pyc", ".gguf", ".log")))


def is_data(file: Path) -> bool:
    return file.is_file() and file.suffix not in {".py", ".pyc"}


def test_only_the_package_itself_stands_at_the_root():
    assert {f.name for f in ROOT.glob("*.py")} == {"__init__.py", "__main__.py"}, (
        "any other root .py would ship in the wheel"
    )
    assert (ROOT / "py.typed").is_file()
    assert (ROOT / ".links" / "balin").readlink() == Path("..")


def test_pyproject_lists_every_package():
    found = {package_of(folder) for folder in packaged_folders() if (folder / "__init__.py").is_file()}
    assert set(SETUPTOOLS["packages"]) == found | {"balin"}


@pytest.mark.parametrize("folder", packaged_folders(), ids=package_of)
def test_a_folder_with_code_is_a_package_that_says_what_it_is_for(folder):
    if not any(folder.glob("*.py")):
        pytest.skip("no code in it")
    docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
    assert docstring
    assert "to be written" not in docstring.lower()


def test_package_data_names_every_data_file():
    patterns = SETUPTOOLS["package-data"]
    left_out = [
        str(file.relative_to(ROOT))
        for folder in packaged_folders()
        for file in folder.iterdir()
        if is_data(file) and not any(fnmatch(file.name, p) for p in patterns.get(package_of(folder), []))
    ]
    assert not left_out, "in an editable install these are found, in a wheel they would be missing"


def test_no_index_host_and_no_path_of_a_machine_in_any_file():
    # In pieces, so that this file can be searched too.
    hosts = "|".join(("pypi" + r"\.org", "python" + "hosted"))
    places = "|".join(("/" + "work/", "/tmp" + "/w/", "/" + "root/"))
    pattern = re.compile(rf"{hosts}|(?<![\w.~-])(?:{places})".encode())
    found = [
        f"{f.relative_to(ROOT)}: {m.group().decode()}" for f in kept_files() for m in pattern.finditer(f.read_bytes())
    ]
    assert not found


def test_importing_the_command_line_loads_no_heavy_library():
    code = (
        "import sys; from balin.cli import cli; first = set(sys.modules)\n"
        "[cli.get_command(None, name) for name in cli.list_commands(None)]\n"
        f"print(sorted(first & {set(HEAVY)!r}), sorted(set(sys.modules) & {set(HEAVY)!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT.parent)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[] []", "loaded by the command line, loaded by the commands' files"


@pytest.mark.parametrize("file", python_files(), ids=lambda f: str(f.relative_to(ROOT)))
def test_files_and_functions_stay_small(file):
    text = file.read_text(encoding="utf-8")
    assert text.count("\n") <= LONGEST_FILE
    long = [
        f"{node.name}, line {node.lineno}: {lines} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > LONGEST_FUNCTION
    ]
    assert not long


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    if int(importlib.metadata.version("setuptools").split(".")[0]) < 77:
        pytest.skip("this setuptools is older than the locked one and cannot build the wheel")
    source = tmp_path_factory.mktemp("source") / "any name"
    source.mkdir()
    for folder in packaged_folders():
        shutil.copytree(
            folder,
            source / folder.relative_to(ROOT),
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    for file in ROOT.iterdir():
        if file.is_file() and file.name != ".git":
            shutil.copy(file, source)
    out = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        str(out),
        str(source),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("balin-*-py3-none-any.whl"))


class TestTheWheel:
    def test_it_holds_the_package_with_its_data_and_nothing_else(self, wheel):
        names = {n for n in zipfile.ZipFile(wheel).namelist() if not n.startswith("balin-")}
        files = {f for folder in packaged_folders() for f in folder.iterdir() if f.is_file() and f.suffix != ".pyc"}
        files |= {ROOT / "__init__.py", ROOT / "__main__.py", ROOT / "py.typed"}
        assert names == {"balin/" + f.relative_to(ROOT).as_posix() for f in files}
        for needed in ("signatures/palliative13.yaml", "engines/catalogue.yaml", "eval/study_results.csv"):
            assert f"balin/{needed}" in names
        assert any(fnmatch(n, "balin/data/corpus/*.jsonl") for n in names)

    def test_it_carries_the_licence_and_the_command(self, wheel):
        archive = zipfile.ZipFile(wheel)
        (folder,) = {n.split("/")[0] for n in archive.namelist() if n.startswith("balin-")}
        assert "Apache License" in archive.read(f"{folder}/licenses/LICENSE").decode()
        assert "balin = balin.cli:main" in archive.read(f"{folder}/entry_points.txt").decode()
        assert "License-Expression: Apache-2.0" in archive.read(f"{folder}/METADATA").decode()

    def test_it_works_unpacked_and_away_from_the_checkout(self, wheel, tmp_path):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(tmp_path)
        code = (
            f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
            "import balin; from balin.signatures.features import load_feature_set\n"
            "print(balin.__file__, len(load_feature_set('palliative13')))"
        )
        done = subprocess.run(
            [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == [str(tmp_path / "balin" / "__init__.py"), "13"]


def locked_versions() -> dict[str, str]:
    """The pins of the lock, by normalised name."""
    pins = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in pins}


@pytest.mark.parametrize(
    "wanted",
    [
        *PYPROJECT["build-system"]["requires"],
        *PYPROJECT["project"]["dependencies"],
        *PYPROJECT["project"]["optional-dependencies"]["dev"],
        "pip",
    ],
)
def test_the_lock_satisfies_pyproject(wanted):
    requirement = Requirement(wanted)
    version = locked_versions().get(canonicalize_name(requirement.name))
    assert version, "not locked: run make lock"
    assert requirement.specifier.contains(version), f"locked at {version}: run make lock"


def test_the_lock_hashes_every_pin_and_takes_only_wheels():
    text = re.sub(r"#.*", "", LOCK.read_text(encoding="utf-8")).replace("\\\n", " ")
    first, *pins = [line.strip() for line in text.splitlines() if line.strip()]
    assert first == "--only-binary :all:"
    assert len(pins) == len(locked_versions())
    assert not [p[:80] for p in pins if not re.fullmatch(r"\S+==\S+( ; [^-]+?)?(\s+--hash=sha256:[0-9a-f]{64})+", p)]


def written_commands() -> list[tuple[str, str]]:
    """(where, command) of every `balin …` and `make …` in the documents' code and in the examples of --help."""
    found: list[tuple[str, str]] = []
    for file in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        text = file.read_text(encoding="utf-8")
        blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        spans = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
        lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()] + spans
        found += [(file.name, line) for line in lines]
    for path, command in walk(cli, ("balin",)):
        found += [(" ".join(path) + " --help", line) for line in (command.epilog or command.help or "").splitlines()]
    prefix = re.compile(r"^\s*(?:\$ )?(?:\.venv/bin/)?((?:balin|make) [a-z].*)")
    return sorted({(where, match.group(1)) for where, line in found if (match := prefix.match(line))})


def walk(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """A command with all commands below it."""
    yield path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            inner = command.get_command(click.Context(command), name)
            assert inner is not None
            yield from walk(inner, (*path, name))


def why_not(line: str) -> str | None:
    """What is wrong with a command line: its program, a command, a target or an option that does not exist."""
    program, *words = shlex.split(line, comments=True)
    if program == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        return next((f"no target {w}" for w in words if re.fullmatch(r"[a-z]+", w) and w not in targets), None)
    command: click.Command = cli
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        inner = command.get_command(click.Context(command), words[0])
        if inner is None:
            return f"no command {words[0]}"
        command, words = inner, words[1:]
    known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help", "-h"}
    return next((f"no option {w}" for w in words if re.match(r"--?[a-z]", w) and w.split("=")[0] not in known), None)


def test_every_command_in_the_documents_and_in_help_exists():
    commands = written_commands()
    assert any(where == "README.md" for where, _ in commands)
    assert not [f"{where}: {line}: {wrong}" for where, line in commands if (wrong := why_not(line))]


def test_the_changelog_knows_this_version():
    version = re.search(r'^__version__ = "(.+)"', (ROOT / "__init__.py").read_text(encoding="utf-8"), re.MULTILINE)
    assert version
    assert re.search(
        rf"^## \[{re.escape(version.group(1))}\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
