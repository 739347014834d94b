"""The figures of arms that give probabilities: are these true, and what would another threshold than 0.5 give?"""

from __future__ import annotations

from matplotlib.axes import Axes

from .curves import reliability, threshold_curve
from .drawing import DASHES, PAPER, SOFT, Drawing, colour, key, legend, marker, new_figure
from .grids import Grid, figure
from .mark_rows import WIDTH
from .shown import Selection

FEW = 20


def draw_reliability(selection: Selection) -> Drawing | None:
    """How often what was said with P(true) = p was true; None without probabilities."""
    found = [(i, arm, reliability(arm.table)) for i, arm in enumerate(selection.arms)]
    known = [(i, arm, r) for i, arm, r in found if r is not None]
    if not known:
        return None
    canvas = new_figure(WIDTH, 4 + 0.2 * len(known))
    ax = canvas.add_subplot()
    ax.plot((0, 1), (0, 1), color=SOFT, lw=1, linestyle=":")
    rows = []
    for index, arm, calibration in known:
        ax.plot(
            [b.said for b in calibration.bins],
            [b.true for b in calibration.bins],
            color=colour(index),
            lw=1.4,
            linestyle=DASHES[index % len(DASHES)],
        )
        for item in calibration.bins:
            face = colour(index) if item.n >= FEW else PAPER
            ax.plot(item.said, item.true, marker=marker(index), color=colour(index), mfc=face, ms=6.5, clip_on=False)
        rows += [
            (arm.title, f"{b.low:.1f} to {b.high:.1f}", str(b.n), figure(b.said, 3), figure(b.true, 3))
            for b in calibration.bins
        ]
    _square(ax, "P(true) that the model gave", "Share that was true")
    legend(canvas, [key(i, a.title, line=True) for i, a, r in known])
    return Drawing(
        "reliability",
        "Reliability of P(true)",
        "On the dotted line the probabilities mean what they say; below it the model says yes too surely. Ten bins of equal "
        f"width over all features' answers; hollow: fewer than {FEW} answers. Brier score and expected calibration error "
        "(ECE): 0 is best.",
        "Brier score and ECE by arm: "
        + "; ".join(f"{arm.letter} {r.brier:.3f} and {r.error:.3f}" for _, arm, r in known)
        + ".",
        Grid("Reliability", ("Arm", "P(true)", "Answers", "Mean P(true)", "Share true"), tuple(rows), texts=2),
        canvas,
    )


def draw_thresholds(selection: Selection) -> Drawing | None:
    """Mean MCC, sensitivity and specificity against the threshold on P(true); None without probabilities."""
    found = [(i, arm, threshold_curve(arm.table)) for i, arm in enumerate(selection.arms)]
    known = [(i, arm, c) for i, arm, c in found if c is not None]
    if not known:
        return None
    canvas = new_figure(WIDTH, 6.6 + 0.2 * len(known))
    axes = canvas.subplots(3, 1, sharex=True)
    rows = []
    for index, arm, curve in known:
        for ax, values in zip(axes, (curve.mcc, curve.sensitivity, curve.specificity), strict=True):
            ax.plot(
                curve.threshold,
                values,
                color=colour(index),
                lw=1.6,
                linestyle=DASHES[index % len(DASHES)],
                marker=marker(index),
                markevery=(5 + 2 * index % 10, 20),
                ms=5.5,
            )
        for step in range(10, 100, 10):
            at = (figure(v[step], 3) for v in (curve.mcc, curve.sensitivity, curve.specificity))
            rows.append((arm.title, figure(curve.threshold[step]), *at))
    for ax, name in zip(axes, ("Mean MCC", "Mean sensitivity", "Mean specificity"), strict=True):
        ax.set_ylabel(name)
        ax.axvline(0.5, color=SOFT, lw=1, linestyle=":")
        ax.set_xlim(-0.01, 1.01)
    axes[-1].set_xlabel("Answer True where P(true) is at least")
    legend(canvas, [key(i, a.title, line=True) for i, a, _ in known])
    return Drawing(
        "thresholds",
        "What another threshold would give",
        "Means over the features for one threshold on P(true) for all; dotted: 0.5. A threshold chosen here must be "
        "tested on other transcripts.",
        f"Mean MCC, sensitivity and specificity against the threshold for {len(known)} arms with probabilities.",
        Grid("Thresholds", ("Arm", "Threshold", "Mean MCC", "Mean sensitivity", "Mean specificity"), tuple(rows)),
        canvas,
    )


def _square(ax: Axes, x: str, y: str) -> None:
    ax.set_xlim(-0.02, 1.02)
    ax.set_ylim(-0.02, 1.02)
    ax.set_box_aspect(0.85)
    ax.set_xlabel(x)
    ax.set_ylabel(y)
