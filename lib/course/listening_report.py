"""The report on a class's listening tests: one HTML file with figures, and the answers as CSV."""

from __future__ import annotations

import html
import io
import math
import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.course.listening import Analysis, analyse, read_answers
from lib.errors import InputError, require_package
from lib.plots import COLORS, style

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

_NOTES = {
    "Items": "Share of right answers with its 95 % interval, which draws listeners; p: how easily "
    "guessing does as well.",
    "Ratings": "Mean ratings of the listeners who are kept, with 95 % intervals, which draw "
    "listeners. The last column leaves nobody out.",
    "Differences": "Mean differences with their 95 % intervals. p: how easily listeners without a "
    "preference would differ as much; corrected for the number of pairs by Holm's method.",
    "Metrics": "How each metric goes with the mean rating of each clip: rank correlation "
    "(Spearman) and linear correlation (Pearson), with 95 % intervals, which draw clips. n is the "
    "number of clips: with few of them, the intervals are wide.",
    "Listeners": "Who rates the hidden reference below 90 in more than 15 % of the items is left "
    "out (BS.1534-3). A few seconds per trial are too few to listen.",
}
_CSS = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem;
  color: #222; background: #fff; }
table { border-collapse: collapse; font-size: 14px; }
th, td { padding: .2rem .7rem; text-align: right; } th { border-bottom: 1px solid #999; }
th:first-child, td:first-child { text-align: left; }
.scroll { overflow-x: auto; } figure { margin: 1rem 0; }
figure svg { max-width: 100%; height: auto; }
.note { color: #555; font-size: 14px; } li { margin: .3rem 0; }
"""


def report(folder: str | Path, out: str | Path | None = None, *, force: bool = False) -> list[Path]:
    """Merge the files of a class into ``report.html`` and one table of answers per test.

    Args:
        folder: where the listeners' files are, see :func:`lib.course.listening.read_answers`.
        out: folder for the report; ``None``: one beside ``folder``, named after it.
        force: replace files that exist.

    Returns:
        What was written: the page first, then ``answers-NAME.csv`` for each test.

    Raises:
        InputError: if files cannot be merged, or a report exists already.

    Example:
        >>> report("no-such-folder")
        Traceback (most recent call last):
        ...
        lib.errors.InputError: no-such-folder: expected a folder with the files of ..., got none
    """
    folder = Path(folder)
    analyses = [analyse(records) for records in read_answers(folder).values()]
    out = Path(out) if out else folder.resolve().with_name(f"{folder.resolve().name}-report")
    texts = {"report.html": _page(analyses)}
    for one in analyses:
        texts[f"answers-{one.test['name']}.csv"] = one.answers.to_csv(
            index=False, lineterminator="\n"
        )
    taken = [name for name in texts if (out / name).exists()]
    if taken and not force:
        raise InputError(f"{out / taken[0]}: expected a free name, got a file; add --force")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: expected a folder, got a file; choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        temporary = out / f".{name}.{uuid.uuid4().hex[:8]}.part"
        try:
            temporary.write_text(text, encoding="utf-8", newline="\n")
            os.replace(temporary, out / name)
        finally:
            temporary.unlink(missing_ok=True)
    return [out / name for name in texts]


def _page(analyses: list[Analysis]) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>Listening tests</title><style>{_CSS}</style></head><body>\n"
        "<h1>Listening tests</h1>\n" + "\n".join(map(_section, analyses)) + "\n</body></html>\n"
    )


def _section(one: Analysis) -> str:
    test = one.test
    listeners = one.answers["listener"].nunique()
    kind = {"abx": "ABX", "mushra": "MUSHRA"}[test["kind"]]
    trials = len(test["items"]) * test.get("repeats", 1)
    parts = [
        f"<h2>{html.escape(test['name'])}, version {test['version']}</h2>",
        f"<p>{kind} test of {html.escape(', '.join(test['systems']))}: {listeners} listener"
        f"{'s' * (listeners > 1)}, {trials} trial{'s' * (trials > 1)} each.</p>",
        "<ul>" + "".join(f"<li>{html.escape(text)}</li>" for text in one.verdicts) + "</ul>",
        *(_abx_figures(one) if test["kind"] == "abx" else _mushra_figures(one)),
    ]
    for heading, table in one.tables.items():
        parts.append(f"<h3>{heading}</h3>")
        if heading != "Listeners" or test["kind"] == "mushra":
            parts.append(f'<p class="note">{_NOTES[heading]}</p>')
        parts.append(f'<div class="scroll">{_table(table)}</div>')
    return "\n".join(parts)


def _table(table: pandas.DataFrame) -> str:
    shown = table.copy()
    for column in shown.columns:
        shown[column] = [_cell(column, value) for value in shown[column]]
    return shown.to_html(index=False, escape=True, border=0)


def _cell(column: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if str(value) in ("True", "False"):
        return "yes" if value else "no"
    if math.isnan(value):
        return "–"
    if column.startswith("p"):
        return "< 0.001" if value < 0.001 else f"{value:.3f}"
    if column.startswith(("Spearman", "Pearson")):
        return f"{value:z.2f}"
    return str(value) if float(value).is_integer() and "mean" not in column else f"{value:z.1f}"


# ------------------------------------------------------------------ figures


def _figure(draw: Any, columns: int, height: float, label: str) -> str:
    """An SVG that ``draw(axes)`` fills; text in it is drawn as outlines, so it needs no font."""
    matplotlib = require_package("matplotlib", "the report")
    figures = require_package("matplotlib.figure", "the report")
    with matplotlib.rc_context({"svg.hashsalt": "listening"}):
        style()
        figure = figures.Figure(figsize=(7.2, height), layout="constrained")
        draw(figure.subplots(1, columns, squeeze=False)[0])
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]  # what stands before names a DTD
    return f'<figure role="img" aria-label="{html.escape(label)}">{svg}</figure>'


def _abx_figures(one: Analysis) -> list[str]:
    listeners, items = one.tables["Listeners"], one.tables["Items"]
    own = 100 * listeners["right"] / listeners["trials"]

    def draw(axes: list[Axes]) -> None:
        _rows(axes[0], items["item"], items["% right"], items["low"], items["high"])
        axes[0].plot(own, [len(items) - 1.3] * len(own), "o", color=COLORS["sky"], alpha=0.6)
        axes[0].axvline(50, color=COLORS["grey"], ls=":")
        axes[0].set(xlim=(0, 102), xlabel="Right answers (%); dotted: guessing")

    label = "Share of right answers with intervals; pale dots are listeners, all items together"
    return [_figure(draw, 1, 1.2 + 0.35 * len(items), label)]


def _mushra_figures(one: Analysis) -> list[str]:
    ratings = one.tables["Ratings"]
    if "Metrics" not in one.tables:
        return []
    kept = one.answers[one.answers["kept"]]

    def draw(axes: list[Axes]) -> None:
        for place, system in enumerate(ratings["system"]):
            own = kept[kept["system"] == system].groupby("listener")["rating"].mean()
            axes[0].plot(own, [place + 0.25] * len(own), "o", color=COLORS["sky"], alpha=0.5)
        _rows(axes[0], ratings["system"], ratings["mean"], ratings["low"], ratings["high"])
        axes[0].set(xlim=(-2, 102), xlabel="Rating; pale dots are listeners")

    label = "Mean rating of each system with its interval; pale dots are listeners"
    figures = [_figure(draw, 1, 1.2 + 0.35 * len(ratings), label)]
    scores = one.test["scores"]
    if not scores:
        return figures
    means = kept.groupby(["system", "item"])["rating"].mean()
    systems = [*one.test["systems"][:-2], one.test["systems"][-1]]

    def scatter(axes: list[Axes]) -> None:
        for axis, (metric, values) in zip(axes, scores.items(), strict=True):
            for system, color, marker in zip(systems, COLORS.values(), "os^vDPX", strict=False):
                pairs = [
                    (values[item][system], means[system, item])
                    for item in values
                    if values[item].get(system) is not None
                ]
                if pairs:
                    axis.plot(*zip(*pairs, strict=True), marker, color=color, label=system)
            axis.set(xlabel=metric, ylim=(-2, 102))
        axes[0].set_ylabel("Mean rating")
        axes[0].figure.legend(
            *axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4
        )

    label = "Mean rating of each clip against each metric; one mark per clip"
    return [*figures, _figure(scatter, len(scores), 2.8, label)]


def _rows(axis: Axes, names: Any, middles: Any, lows: Any, highs: Any) -> None:
    for place, (middle, low, high) in enumerate(zip(middles, lows, highs, strict=True)):
        if not math.isnan(low):
            axis.plot([low, high], [place, place], color=COLORS["vermillion"])
        axis.plot(middle, place, "D", color=COLORS["vermillion"])
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.4, -0.6)
