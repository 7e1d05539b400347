"""Draws what the benchmarks measured, for docs/performance.md.

    python tests/bench/plots.py [--results docs/benchmarks] [--images docs/images]
                                [--page docs/performance.md]

Each NAME.json becomes bench-NAME.svg, and the page shows it between `<!-- plot of NAME -->` and
`<!-- end -->`, with where it was measured; what has no file stays as it is. The same figures give
the same octets with one version of matplotlib. Text stays text, on white, so that a plot reads on a
light page and on a dark one; the colours are Okabe and Ito's, which the colour-blind can
distinguish.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.changes import CHANGES
from bench.compare import SYSTEMS
from bench.results import BadResultsError, Results, Row

DOCS = Path(__file__).parents[2] / "docs"

BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
INK, GRID = "#222222", "#DDDDDD"
COLOURS = dict(zip(SYSTEMS, (BLUE, ORANGE, VERMILION), strict=True))

STYLE: dict[str, object] = {
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": "medium",
    "figure.facecolor": "white",
    "font.family": "sans-serif",
    "font.size": 9,
    "grid.color": GRID,
    "svg.fonttype": "none",
    "svg.hashsalt": "rsfilter",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}

WIDTH_IN = 8.0
"""Inches at 72 points: what a page has beside its navigation."""


def bars(axes: Axes, places: Sequence[float], names: Sequence[str], title: str, unit: str) -> None:
    """Axes for bars or points with these names beside them, and room for their figures."""
    axes.set_yticks(places, names)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    plain(axes.xaxis)
    axes.margins(x=0.25)
    axes.set_title(title)
    axes.set_xlabel(unit)


def beside(axes: Axes, x: float, y: float, figure: str) -> None:
    """The figure, to the right of what ends there."""
    at = {"xytext": (5, 0), "textcoords": "offset points", "va": "center"}
    axes.annotate(figure, (x, y), **at)


def above(axes: Axes, x: float, y: float, figure: str, colour: str = INK) -> None:
    """The figure, above a point."""
    at = {"xytext": (0, 6), "textcoords": "offset points", "ha": "center", "color": colour}
    axes.annotate(figure, (x, y), **at)


def plain(axis: Axis) -> None:
    """Figures as one writes them, without powers: 0.1, 20,000, 1,000,000."""
    axis.set_major_formatter(FuncFormatter(lambda at, _: f"{at:,.0f}" if at >= 1 else f"{at:g}"))
    axis.set_minor_locator(NullLocator())


def short(value: float) -> str:
    """Three digits at most that count: 0.22, 14.7, 108, 5,430."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


# The plot of each benchmark --------------------------------------------------------------------


def compare(found: Results) -> Figure:
    """Routes per second and CPU seconds, by load and system."""
    rows = [row for row in found.rows if row["system"] in COLOURS]
    figure = Figure((WIDTH_IN, 0.9 + 0.27 * len(rows)), layout="constrained")
    rates, costs = figure.subplots(1, 2, sharey=True)
    places = [place + place // len(SYSTEMS) * 0.6 for place in range(len(rows))]
    for place, row in zip(places, rows, strict=True):
        colour, daemon, helper = COLOURS[row["system"]], row["daemon_cpu_s"], row["helper_cpu_s"]
        rates.barh(place, row["routes_per_s"], color=colour)
        beside(rates, row["routes_per_s"], place, short(row["routes_per_s"]))
        costs.barh(place, daemon, color=colour)
        costs.barh(place, helper or 0, left=daemon, color=colour, alpha=0.5, hatch="///")
        text = short(daemon) if helper is None else f"{short(daemon)} + {short(helper)}"
        beside(costs, daemon + (helper or 0), place, text)
    names = [
        f"{row['routes']:,} routes, {routers_of(row)}: {row['system']}"
        if row["system"] == SYSTEMS[0]
        else row["system"]
        for row in rows
    ]
    bars(rates, places, names, "Routes that the last router has", "routes/s")
    bars(costs, places, names, "CPU: daemon + helper (hatched)", "CPU s")
    rates.invert_yaxis()  # shared by both
    for axes in (rates, costs):
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    return figure


def routers_of(row: Row) -> str:
    """Text in words."""
    return "1 router" if row["routers"] == 1 else f"{row['routers']} routers"


def core(found: Results) -> Figure:
    """CPU of a route by size of table, beside the least and the obvious."""
    of = {(row["part"], row["routes"]): row for row in found.rows}
    sizes = sorted(size for part, size in of if part == "bare")
    figure = Figure((WIDTH_IN, 3.6), layout="constrained")
    axes = figure.subplots()
    costs = [of["bare", size]["cpu_us"] for size in sizes]
    axes.plot(sizes, costs, "o-", color=BLUE)
    for size, cost in zip(sizes, costs, strict=True):
        above(axes, size, cost, short(cost), BLUE)
    for part, colour, text in (
        ("afternoon", VERMILION, "json, netaddr and a loop over 1,000 VRPs, no tables"),
        ("floor", GREEN, "msgspec decodes the same octets"),
    ):
        (cost,) = (row["cpu_us"] for row in found.rows if row["part"] == part)
        axes.axhline(cost, color=colour, linestyle="--")
        above(axes, sizes[0], cost, f"{short(cost)}: {text}", colour)
        axes.texts[-1].set_horizontalalignment("left")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.margins(y=0.15)
    axes.set_xticks(sizes)
    plain(axes.xaxis)
    plain(axes.yaxis)
    axes.grid(axis="y")
    axes.set_title("CPU of one route in rsfilter, from lines to commands")
    axes.set_xlabel("routes in the tables")
    axes.set_ylabel("CPU µs")
    return figure


def fanout(found: Results) -> Figure:
    """CPU of one ExaBGP by number of routers, directly and behind a fan-out."""
    rows = [row for row in found.rows if row["shards"] == 1]
    figure = Figure((WIDTH_IN, 0.9 + 0.27 * len(rows)), layout="constrained")
    axes = figure.subplots()
    names, places = [], []
    for number, row in enumerate(rows):
        has_fanout, cost = row["has_fanout"], row["exabgp_cpu_s"]
        text = "one BIRD between" if has_fanout else f"{routers_of(row)}: at ExaBGP"
        names.append(text)
        places.append(number + number // 2 * 0.6)
        axes.barh(places[-1], cost, color=BLUE if has_fanout else VERMILION)
        beside(axes, cost, places[-1], short(cost))
    bars(
        axes,
        places,
        names,
        f"ExaBGP until every router has {found.settings['routes']:,} routes",
        "CPU s of ExaBGP",
    )
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    return figure


def changes(found: Results) -> Figure:
    """Draw how long a change takes: p50 and p99 of single ones, medians of those of the truth."""
    requested = found.settings
    text = {
        "idle": "a route, nothing else changes",
        "busy": f"a route, beside {requested['changes_per_s']:,g} changes/s",
        "same": "the same route again and again",
        "truth_one": "the truth takes 1 route",
        "truth_many": f"the truth takes {requested['truth_lost_routes']:,} routes",
    }
    drawn = [row for row in found.rows if row["system"] in COLOURS]
    rows = sorted(drawn, key=lambda row: CHANGES.index(row["change"]))
    figure = Figure((WIDTH_IN, 1.1 + 0.27 * len(rows)), layout="constrained")
    axes = figure.subplots()
    names: list[str] = []
    places: list[float] = []
    for row in rows:
        first = not names or row["change"] != rows[len(names) - 1]["change"]
        places.append(places[-1] + (1.6 if first else 1.0) if places else 0.0)
        names.append(f"{text[row['change']]}: {row['system']}" if first else row["system"])
        colour, p50, p99 = COLOURS[row["system"]], row["p50_ms"], row["p99_ms"]
        if p99 is not None:
            axes.plot([p50, p99], [places[-1]] * 2, color=colour, linewidth=1.5)
            axes.plot(p99, places[-1], "o", color=colour, markerfacecolor="white")
        axes.plot(p50, places[-1], "o", color=colour)
        figures = short(p50) if p99 is None else f"{short(p50)}, {short(p99)}"
        beside(axes, p50 if p99 is None else p99, places[-1], figures)
    axes.set_xscale("log")
    title = "From the word until the router has it: p50 (full), p99 (hollow)"
    bars(axes, places, names, title, "ms")
    axes.invert_yaxis()
    return figure


def churn(found: Results) -> Figure:
    """Delays and memory, minute by minute."""
    figure = Figure((WIDTH_IN, 4.2), layout="constrained")
    delays, memory = figure.subplots(2, 1, sharex=True)
    minutes = [row["minute"] for row in found.rows]
    lines = (
        (delays, "p99_ms", VERMILION, "s-", "p99"),
        (delays, "p50_ms", BLUE, "o-", "p50"),
        (memory, "exabgp_mb", VERMILION, "s-", "ExaBGP"),
        (memory, "rsfilter_mb", BLUE, "o-", "rsfilter"),
    )
    for axes, key, colour, style, name in lines:
        values = [row[key] for row in found.rows]
        axes.plot(minutes, values, style, color=colour)
        beside(axes, minutes[-1], values[-1], f"{name} {short(values[-1])}")
    for axes, unit in ((delays, "ms"), (memory, "MB resident")):
        axes.margins(x=0.12, y=0.15)
        axes.set_ylim(bottom=0)
        axes.grid(axis="y")
        axes.set_ylabel(unit)
    requested = found.settings
    delays.set_title(f"A single change beside {requested['changes_per_s']:,g} changes/s")
    memory.set_title(f"Memory, with {requested['routes']:,} routes that stay")
    memory.set_xlabel("minute")
    memory.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    return figure


class Plot(NamedTuple):
    """A picture on the page, made of results."""

    draw: Callable[[Results], Figure]
    target: str
    """Target of make, which measures it again."""
    alternative: str
    """Text for a reader who cannot see it."""


PLOTS = {
    "compare": Plot(compare, "bench", "Routes per second and CPU seconds by load and system"),
    "changes": Plot(changes, "bench", "Delay of a change until the router has it, by system"),
    "core": Plot(core, "benchcore", "CPU of one route by size of the table"),
    "fanout": Plot(fanout, "benchfanout", "CPU of ExaBGP by number of routers"),
    "churn": Plot(churn, "benchchurn", "Delays and memory by minute of churn"),
}


# Files -------------------------------------------------------------------------------------------


def save(name: str, found: Results, path: Path) -> None:
    """Draw it, as SVG without a date and without matplotlib's version. BadResultsError, OSError."""
    with rc_context(STYLE):
        try:
            figure = PLOTS[name].draw(found)
        except KeyError as error:
            raise BadResultsError(f"{name}: no {error} in it; measure it again") from error
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def shown(page: str, name: str, text: str) -> str:
    """The page with this text as its plot of that name. ValueError: it has no place for it."""
    place = re.compile(rf"(<!-- plot of {name} -->\n).*?(?=<!-- end -->\n)", re.DOTALL)
    changed, times = place.subn(lambda match: match[1] + text, page)
    if times != 1:
        raise ValueError(f"the page needs one <!-- plot of {name} --> with <!-- end --> below it")
    return changed


def reference(name: str, found: Results, page: Path, image: Path, data: Path) -> str:
    """Text of the page: the image, where it was measured, and how to do it again."""
    plot = PLOTS[name]
    drawn, figures = (os.path.relpath(path, page.parent) for path in (image, data))
    return (
        f"\n![{plot.alternative}]({drawn})\n\n"
        f"{found.where}; [figures]({figures}). "
        f"Again: `make {plot.target} RESULTS=docs/benchmarks`, then `make benchplots`.\n\n"
    )


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--results", type=Path, default=DOCS / "benchmarks")
    parser.add_argument("--images", type=Path, default=DOCS / "images")
    parser.add_argument("--page", type=Path, default=DOCS / "performance.md")
    args = parser.parse_args()
    console = Console(soft_wrap=True, markup=False, highlight=False)
    there = [name for name in PLOTS if (args.results / f"{name}.json").exists()]
    for name in (name for name in PLOTS if name not in there):
        console.print(f"{name}: not measured; make {PLOTS[name].target} RESULTS={args.results}")
    for name in there:
        data, image = args.results / f"{name}.json", args.images / f"bench-{name}.svg"
        try:
            found = Results.read(data)
            save(name, found, image)
        except BadResultsError as error:
            console.print(error)
            return 1
        text = reference(name, found, args.page, image, data)
        args.page.write_text(shown(args.page.read_text(), name, text))
        console.print(f"{name}: {image}")
    return 0 if there else 1


if __name__ == "__main__":
    sys.exit(main())
