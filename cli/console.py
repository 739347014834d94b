"""What a person sees: notes and progress on the error stream, results on the output, JSON as its last line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..eval.arm import Advance

_PHASES = {"translate": "translating", "extract": "extracting"}


def note(text: str) -> None:
    """One sentence about what is going on."""
    click.echo(text, err=True)


def print_json(document: Any) -> None:
    """One JSON document on one line; the last thing a command prints with --json."""
    click.echo(json.dumps(document, ensure_ascii=False, allow_nan=False))


def show(item: Any, *, aside: bool = False) -> None:
    """Print a table or a text; aside goes to the error stream, where the output belongs to JSON."""
    if isinstance(item, str):
        click.echo(item, err=aside)
        return
    from rich.console import Console

    # Where there is no terminal rich assumes 80 columns, too few for a table of features.
    console = Console(stderr=aside, highlight=False)
    if not console.is_terminal:
        console = Console(stderr=aside, highlight=False, width=110)
    console.print(item)


@contextmanager
def progress() -> Iterator[Advance]:
    """A bar a phase with counts, time gone and time left; plain lines where the error stream is no terminal."""
    if not sys.stderr.isatty():
        yield _lines
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column

    columns = (
        # A long description would push counts and times off a narrow terminal.
        TextColumn("{task.description}", table_column=Column(max_width=40, no_wrap=True, overflow="ellipsis")),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    # The stream itself: what silences a library for a while, as for MIPROv2 and GEPA, must not stop the bars that are redrawn meanwhile.
    with Progress(*columns, console=Console(file=sys.stderr), transient=False) as bars:
        tasks: dict[str, Any] = {}

        def advance(phase: str, done: int, total: int) -> None:
            if phase not in tasks or done == 0:
                tasks[phase] = bars.add_task(_PHASES.get(phase, phase), total=total)
            bars.update(tasks[phase], completed=done, total=total)

        yield advance


def _lines(phase: str, done: int, total: int) -> None:
    step = max(1, total // 10)
    if done == total or (done and done % step == 0):
        click.echo(f"{_PHASES.get(phase, phase)} {done}/{total}", err=True)


@contextmanager
def bytes_progress(title: str) -> Iterator[Any]:
    """A bar of bytes with the phase's name; a line for each tenth where the error stream is no terminal."""
    if not sys.stderr.isatty():
        shown: dict[str, int] = {}

        def lines(phase: str, done: int, total: int) -> None:
            tenth = 10 * done // total if total else 0
            if tenth > shown.get(phase, 0):
                shown[phase] = tenth
                click.echo(f"{title}: {phase} {done / 1e6:.0f} of {total / 1e6:.0f} MB", err=True)

        yield lines
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(title)
        yield lambda phase, done, total: bars.update(task, description=f"{title}: {phase}", completed=done, total=total)
