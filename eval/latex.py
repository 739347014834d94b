r"""A grid as a LaTeX table, for `\usepackage{booktabs}` and a UTF-8 document."""

from __future__ import annotations

import re

from .grids import Grid

_MINUS = re.compile(r"(?<![\w.-])-(?=\d)")

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "−": r"$-$",
    "–": "--",
    **{character: f"\\{character}" for character in "&%$#_"},
}


def latex_table(grid: Grid) -> str:
    """A `table` with its title as caption and its notes below; no line break at the end."""
    columns = "l" * grid.texts + "r" * (len(grid.columns) - grid.texts)
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{latex_text(grid.title)}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            _row(grid.columns),
            r"\midrule",
            *(_row(row) for row in grid.rows),
            r"\bottomrule",
            r"\end{tabular}",
            *(rf"\par\footnotesize {latex_text(note)}" for note in grid.notes),
            r"\end{table}",
        ]
    )


def latex_text(text: str) -> str:
    """`text` on one line, with every character that LaTeX reads as its own language escaped, and minus signs as such."""
    line = _MINUS.sub("−", " ".join(text.split()))
    return "".join(_SPECIAL.get(character, character) for character in line)


def _row(cells: tuple[str, ...]) -> str:
    # A cell that begins with "[" would be read as the option of the line break before it.
    return " & ".join(f"{{}}{text}" if (text := latex_text(cell)).startswith("[") else text for cell in cells) + r" \\"
