"""The two figures of the README from the recorded answers: MCC by feature, and what translating changes.

    .venv/bin/python benchmarks/readme_figures.py                 # into docs/figures/

They are figures of `report.html`, drawn of the arms that `eval/recorded_predictions.parquet` holds for the dev part.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from balin.eval.comparison import compare_runs
from balin.eval.difference_figures import draw_translation
from balin.eval.drawing import Drawing, style
from balin.eval.figures import draw_mcc
from balin.eval.metrics import AnswerTable
from balin.eval.recorded import recorded_predictions, recorded_results
from balin.eval.runs import answer_table
from balin.eval.shown import Run
from balin.signatures.features import load_feature_set

LIMIT = 150_000  # bytes of a figure
FORMAT = "probe"  # of the arms in the figures: more than three arms cannot be told apart by feature


def main() -> None:
    """Draw both; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, default=Path("docs/figures"))
    folder = parser.parse_args().to
    results, answers = recorded_results(), recorded_predictions()
    comparison = compare_runs(_runs(results, answers))
    with style():
        drawings = [draw_mcc(comparison.selection), draw_translation(comparison)]
    written = [str(_written(drawing, folder)) for drawing in drawings if drawing is not None]
    print(json.dumps({"what": results["what"], "date": results["date"], "written": written}))


def _runs(results: dict[str, Any], answers: pd.DataFrame) -> list[tuple[Run, AnswerTable]]:
    """The arms of that format, the direct one first."""
    labels = {f.id: f.short["en"] for f in load_feature_set("palliative13")}
    return [
        (
            {
                "name": arm["name"],
                "labels": labels,
                "model": {"name": arm["model"]},
                "route": arm["route"],
                "english": arm["english"],
                "translator": {"name": arm["translator"]} if arm["translator"] else None,
                "format": arm["format"],
                "cost": arm,
            },
            answer_table(answers[(answers["arm"] == arm["name"]) & (answers["part"] == "dev")]),
        )
        for arm in results["arms"]
        if arm["format"] == FORMAT and arm["english"] != "given"
    ]


def _written(drawing: Drawing, folder: Path) -> Path:
    """The figure as PNG with a palette of 64 colours, which its few colours need no more than.

    Raises:
        SystemExit: It is too large for a README.
    """
    svg, png = drawing.write(folder)
    svg.unlink()
    with Image.open(png) as picture:
        picture.convert("RGB").quantize(64).save(png, optimize=True)
    if png.stat().st_size > LIMIT:
        raise SystemExit(f"{png}: {png.stat().st_size} bytes are more than {LIMIT}")
    return png


if __name__ == "__main__":
    main()
