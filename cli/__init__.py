"""The command line: one thin file a command. Heavy libraries load when a command runs, not before.

options.py    options that commands share
console.py    what a person sees: notes, progress, errors, the last line of JSON
doctor.py · models.py · data.py · translate.py · evaluate.py · optimize.py · search.py · compare.py · errors.py ·
baselines.py · report.py · export.py · extract.py · demo.py    the commands
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import traceback
from pathlib import Path

import click

from .. import __version__
from ..errors import BalinError

_PASSWORD = re.compile(r"(://[^/@\s]*?:)[^/@\s]+(?=@)|([?&]password=)[^&\s]+")
_COMMANDS = {
    "doctor": "Say what works here, what does not, and what could leave this machine.",
    "models": "List the models that Balin knows, and pull the weights of embedded ones.",
    "data": "Check a data file, split it, or make rows for a load test.",
    "translate": "Translate a data file's transcripts and check the translations.",
    "evaluate": "Answer every feature for a part of a data file, and score the answers.",
    "optimize": "Choose the demos of the prompt for each model and route.",
    "search": "Search models, routes, prompts, formats, demos and thresholds together.",
    "compare": "Compare runs: differences with intervals and p-values, and the translation effect.",
    "errors": "Show where runs err, and have the answers that all of them get wrong judged.",
    "baselines": "Score programs that need no language model: what a model must beat.",
    "export": "Write a run as a bundle that runs anywhere.",
    "extract": "Answer every feature for each transcript of a file, with a bundle.",
    "report": "Show a run's tables again; no model is asked.",
    "demo": "See all of it in about twenty minutes on the shipped corpus.",
}


class _LazyGroup(click.Group):
    """Imports a command's file only when that command is called; the list above serves --help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f".{cmd_name}", __package__)
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="balin")
def cli() -> None:
    """Call transcripts to yes/no clinical features, with small language models that never leave the building.

    \b
    Begin with:    balin demo
    Your data:     balin data check calls.csv
                   balin evaluate --data calls.csv --model qwen2.5:7b-instruct

    Exit codes: 0 done, 1 a check failed, 2 wrong use, 3 no engine or model, 130 interrupted with the work kept.
    """


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    told = sys.argv[1:] if arguments is None else arguments
    try:
        code = cli.main(told, prog_name="balin", standalone_mode=False, obj=("balin", *map(without_password, told)))
    except BalinError as error:
        click.echo(f"balin: {error}", err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except (KeyboardInterrupt, click.Abort):
        click.echo("balin: interrupted; what was finished is kept, and the same command goes on from there", err=True)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except Exception as error:
        if os.environ.get("BALIN_TRACEBACK") == "1":
            raise
        click.echo(f"balin: {_place(error)}", err=True)
        return 1
    return code if isinstance(code, int) else 0


def without_password(argument: str) -> str:
    """An argument of the command line as reports may show it: a database's URL without its password."""
    return _PASSWORD.sub(r"\1\2***", argument)


def _place(error: Exception) -> str:
    """Kind and place of an error that nobody foresaw; its message is withheld, for it may quote a transcript."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"an error that Balin did not foresee: {type(error).__name__} in {Path(frame.filename).name}, line {frame.lineno}. "
        "Its text is withheld, since it may hold a transcript's; BALIN_TRACEBACK=1 shows it. Please report it without that text"
    )
