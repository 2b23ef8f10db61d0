"""docs/performance.md, made from docs/performance.json and the notes beside this file: `make bench-docs`."""

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

from tests.load import results
from tests.load.report import asked

DOCS = Path(__file__).parents[2] / "docs"
NOTES = Path(__file__).parent / "notes"
CHARTS = DOCS / "performance"
Group = Mapping[str, Any]

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "holdspace"  # the same figures make the same files
mpl.rcParams["svg.fonttype"] = "none"  # text stays text

HEAD = """# Performance

How close the platform comes to the limits of what it stands on. Every figure but a few limits in milliseconds is a
ratio to a reference measured in the same run: cells of a table take turns, round by round, and a ratio is taken within
its round, so that a slow minute of the machine slows both. The median of the rounds counts; least and most are shown.
Durability is as in production (fsync and synchronous_commit on), and the load generator is part of the cost. Where a
goal is missed the table also shows how far something goes that does less.

Between cells a fixed loop of Python tells how fast the processor is at the moment: limits in milliseconds move with it.
A table during which it took a fifth longer than in a quiet hour, by its median, was not kept: the one before stays.

What paragraphs say in microseconds and seconds was measured singly, on shared machines with 2 cores; most of it on a
Python built without profile-guided optimization, which takes a seventh more. SendMessage took 449 microseconds of its
service there and 391 on Debian's Python, an echo 217 and 192 (medians of nine rounds in turn), so `make` takes the
system's.

    make bench                       # everything; ONLY=P1,P7 ROUNDS=3 for parts, PEERS=1 for another library too
    make bench ONLY=P1 SAVE=1        # put what is found into docs/performance.json
    make bench-check                 # fail where a goal's figure is 20 % worse than the one kept there
    make bench-docs                  # make this file and its charts

A goal that is missed is shown as missed; the paragraphs say where the time goes and what stands in the way.
"""


def write() -> None:
    """Writes the document and a chart for each group."""
    found = results.load(results.COMMITTED)
    CHARTS.mkdir(exist_ok=True)
    for name, group in found.items():
        draw(group, CHARTS / f"{name}.svg")
    (DOCS / "performance.md").write_text(text(found))


def text(found: Mapping[str, Group]) -> str:
    """Returns the document as Markdown."""
    parts = [HEAD, *summary(found)]
    noted: set[str] = set()
    for name, group in found.items():
        chart = CHARTS.relative_to(DOCS) / f"{name}.svg"
        parts += [f"## {group['title']}", *table(group), f"![{group['title']}]({chart})"]
        parts += [note for id_ in ids(group) if id_ not in noted and (note := note_of(id_))]
        parts += [origin(group)]
        noted.update(ids(group))
    return "\n\n".join(parts) + "\n"


def ids(group: Group) -> list[str]:
    """Returns the goals' ids, each once, in order."""
    return list(dict.fromkeys(goal["id"] for goal in group["goals"]))


def note_of(id_: str) -> str:
    path = NOTES / f"{id_}.md"
    return f"**{id_}.** {path.read_text().strip()}" if path.exists() else ""


def summary(found: Mapping[str, Group]) -> list[str]:
    """Returns how many goals are met, and which are not."""
    goals = [goal for group in found.values() for goal in group["goals"] if goal["is_met"] is not None]
    missed = [goal for goal in goals if not goal["is_met"]]
    rows = [f"- {goal['id']} {goal['says']}: {goal['median']:.3g}, asked {asked(goal)}" for goal in missed]
    return [f"{len(goals) - len(missed)} of {len(goals)} goals are met. Missed:", "\n".join(rows)] if missed else []


def table(group: Group) -> list[str]:
    """Returns a Markdown table of the group's goals."""
    rows = ["| id | what | asked | median | least | most | |", "|---|---|---|---|---|---|---|"]
    for goal in group["goals"]:
        met = {None: "", True: "met", False: "**missed**"}[goal["is_met"]]
        figures = " | ".join(f"{goal[name]:.3g}" for name in ("median", "lowest", "highest"))
        rows.append(f"| {goal['id']} | {goal['says']} | {asked(goal)} | {figures} | {met} |")
    return ["\n".join(rows)]


def draw(group: Group, path: Path) -> None:
    """Draws each figure as a bar from its least to its most with its median, and the limit where there is one."""
    from matplotlib.figure import Figure

    goals = group["goals"][::-1]
    figure = Figure(figsize=(9, 0.8 + 0.42 * len(goals)), layout="constrained")
    axes = figure.add_subplot()
    for place, goal in enumerate(goals):
        colour = {None: "tab:gray", True: "tab:green", False: "tab:red"}[goal["is_met"]]
        axes.plot([goal["lowest"], goal["highest"]], [place, place], color=colour, linewidth=5, alpha=0.4)
        axes.plot(goal["median"], place, "o", color=colour)
        limit = goal["least"] if goal["least"] is not None else goal["most"]
        if limit is not None:
            axes.plot([limit, limit], [place - 0.35, place + 0.35], color="black", linewidth=1.5)
    axes.set_xscale("log")
    axes.set_yticks(range(len(goals)), [shortened(f"{goal['id']} {goal['says']}") for goal in goals], fontsize=7)
    axes.set_xlabel("median, least and most; the black line is the limit", fontsize=8)
    axes.grid(visible=True, axis="x", which="both", alpha=0.2)
    figure.savefig(path, metadata={"Date": None})


def shortened(text: str, characters_max: int = 90) -> str:
    return text if len(text) <= characters_max else f"{text[: characters_max - 1]}…"


def origin(group: Group) -> str:
    machine = group["machine"]
    versions = ", ".join(f"{name} {machine[name]}" for name in (*results.PACKAGES, "kafka", "python"))
    return (
        f"Measured {group['measured_at'][:10]}, {group['rounds']} rounds, on {machine['processor']}, "
        f"{machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}; {versions}.{pace(group)}"
    )


def pace(group: Group) -> str:
    """Returns a sentence on how fast the processor was, none for figures from before that was kept."""
    found = group.get("pace_ms")
    if not found:
        return ""
    return f" A fixed loop took {statistics.median(found):.0f} ms between cells, {min(found):.0f} to {max(found):.0f}."


if __name__ == "__main__":
    write()
