"""The figures of a search: how its score rose, and which settings mattered."""

from __future__ import annotations

from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .drawing import BAND, INK, PAPER, SOFT, Drawing, colour, legend, new_figure, style
from .grids import Grid, figure
from .mark_rows import WIDTH
from .search_record import PRUNED, SearchRecord, choices_grid, importances, setting_name

_STYLES = {  # marker, filled, what the legend calls it
    "scored": ("o", True, "scored"),
    "pruned": ("v", False, "pruned: score of fewer transcripts"),
    "final": ("*", True, "the same on all of dev"),
}


def draw_search(record: SearchRecord) -> list[Drawing]:
    """The figures that the search has something for."""
    with style():
        drawn = [_history(record), _importances(record)]
    return [drawing for drawing in drawn if drawing is not None]


def _history(record: SearchRecord) -> Drawing | None:
    """Every configuration's score in the order of trying, and the best so far; None where nothing was scored."""
    scored = record.scored
    if not scored:
        return None
    canvas = new_figure(WIDTH, 4.4)
    ax = canvas.add_subplot()
    best, rises = float("-inf"), []
    for t in scored:
        best = max(best, t.score or 0.0)
        rises.append((t.place, best))
    last = max(t.place for t in record.tried)
    ax.plot(*zip(*rises, (last, best), strict=True), color=INK, lw=1.2, drawstyle="steps-post", zorder=1)
    points = [("scored", t.place, t.score) for t in scored if t.score is not None]
    points += [("pruned", t.place, t.score) for t in record.tried if t.outcome == PRUNED and t.score is not None]
    points += [("final", t.place, t.final) for t in record.tried if t.final is not None]
    kinds = {"scored": colour(0), "pruned": SOFT, "final": colour(1)}
    for kind, x, y in points:
        mark, filled, _ = _STYLES[kind]
        face = kinds[kind] if filled else PAPER
        ax.plot(x, y, marker=mark, color=kinds[kind], mfc=face, ms=9 if mark == "*" else 5.5, linestyle="none")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("Configuration, in the order of trying")
    ax.set_ylabel(f"{record.objective}, mean over the features")
    shown = [k for k in _STYLES if any(kind == k for kind, _, _ in points)]
    handles = [
        Line2D([], [], marker=_STYLES[k][0], color=kinds[k], mfc=kinds[k] if _STYLES[k][1] else PAPER,
               ms=9 if k == "final" else 5.5, linestyle="none", label=_STYLES[k][2])
        for k in shown
    ]  # fmt: skip
    legend(canvas, [*handles, Line2D([], [], color=INK, lw=1.2, label="best so far")])
    rows = tuple((str(t.place), t.outcome, figure(t.score, 3), figure(t.final, 3), t.words) for t in record.tried)
    unscored = len(record.tried) - len(scored) - sum(t.outcome == PRUNED for t in record.tried)
    return Drawing(
        "history",
        "The search, configuration by configuration",
        "The line is the best so far. The best of many is somewhat too good: its score on all of dev, where there is a star, "
        "and above all on the test part is what counts." + (f" {unscored} had no score." if unscored else ""),
        f"{record.objective} of {len(record.tried)} configurations in the order of trying; the best has {best:.3f}.",
        Grid("Configurations", ("No.", "Ended", record.objective, "All of dev", "Configuration"), rows),
        canvas,
    )


def _importances(record: SearchRecord) -> Drawing | None:
    """How much each setting mattered; None where too little was tried to say."""
    found = importances(record)
    if found is None:
        return None
    names = list(found)
    canvas = new_figure(WIDTH, 0.8 + 0.36 * len(names))
    ax = canvas.add_subplot()
    ax.barh(range(len(names)), [100 * found[n] for n in names], color=colour(0), height=0.6)
    for y, name in enumerate(names):
        ax.annotate(
            f"{100 * found[name]:.0f} %", (100 * found[name], y), (4, 0), textcoords="offset points", va="center"
        )
    for y in range(0, len(names), 2):
        ax.axhspan(y - 0.5, y + 0.5, color=BAND, lw=0, zorder=0)
    ax.set_yticks(range(len(names)), [setting_name(n) for n in names])
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlim(0, max(100 * v for v in found.values()) * 1.15)
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False, axis="y")
    ax.set_xlabel("Share of the importance, %")
    return Drawing(
        "importances",
        "Which settings mattered",
        "How much of the differences between the scored configurations a random forest puts down to each setting. Good settings "
        "were tried more often, so this tells what happened in this search, not what a setting does.",
        "Importance of settings: " + ", ".join(f"{setting_name(n)} {100 * v:.0f} %" for n, v in found.items()) + ".",
        choices_grid(record),
        canvas,
    )
