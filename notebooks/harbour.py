"""What the notebooks share: asking `berth`, and pictures that look alike.

Nothing is computed here that `berth` computes: amounts come out of its JSON as exact decimal
strings and become floating point for pictures only.
"""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import sqlite3
import subprocess
import tempfile

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

SOURCE = pathlib.Path(__file__).resolve().parent.parent
SCRATCH = tempfile.TemporaryDirectory(prefix="berth-notebook-")

# Okabe and Ito, "Color Universal Design", 2008: told apart by colour-blind people, and in grey.
ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, RED, PINK, GREY = "#0072B2", "#D55E00", "#CC79A7", "#999999"
TERMS = {
    "device_cpu": YELLOW, "edge": ORANGE, "storage": PINK, "datacentre": BLUE,
    "latency": SKY, "egress": RED, "migration": GREY,
}
TIERS = {"client": YELLOW, "edge": ORANGE, "cloud": BLUE}

matplotlib.rcParams.update({
    "figure.dpi": 100, "figure.constrained_layout.use": True, "font.size": 10, "axes.grid": True,
    "grid.alpha": 0.3, "axes.axisbelow": True, "axes.spines.top": False, "axes.spines.right": False,
})


def program():
    """`berth`: $BERTH, or the release build of this tree, or the one on the path."""
    built = SOURCE / "build" / "release" / "bin" / "berth"
    found = os.environ.get("BERTH") or (str(built) if built.exists() else shutil.which("berth"))
    if not found:
        raise RuntimeError("no berth: run script/build, or set BERTH to the program")
    return found


def berth(*words, answers=(0, 2)):
    """Runs `berth WORDS --json` and returns what it answers; any other exit code is an error."""
    done = subprocess.run([program(), *map(str, words), "--json"], cwd=SOURCE, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if done.returncode not in answers:
        raise RuntimeError(f"berth {' '.join(map(str, words))}: exit code {done.returncode}\n"
                           f"{done.stderr.strip()}")
    return json.loads(done.stdout)


def whatif(world, *words):
    """`berth whatif` on documents; `world` is a list: the world's file and the apps'."""
    return berth("whatif", "--world", *world, *words)


def simulate(scenario, *words):
    """`berth simulate`: what it answers, and its SQLite file (docs/simulator.md)."""
    kept = str(pathlib.Path(SCRATCH.name) / f"{len(os.listdir(SCRATCH.name))}.db")
    return berth("simulate", scenario, "--quiet", "--out", kept, *words), kept


def rows(database, question):
    """What a file of `berth simulate --out` answers to some SQL."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return connection.execute(question).fetchall()


@contextlib.contextmanager
def up(world, *words):
    """A real harbour on this machine for as long as the block lasts: NATS server, scheduler, nodes.
    `berth(...)` inside of it asks that one. Yields its folder."""
    folder = pathlib.Path(SCRATCH.name) / "berth"
    for name in ("nats-server", "haproxy"):
        found = subprocess.run([SOURCE / "script" / name], check=True, text=True,
                               stdout=subprocess.PIPE)
        variable = "BERTH_" + name.upper().replace("-", "_")
        os.environ.setdefault(variable, found.stdout.strip())
    os.environ["BERTH_DIR"] = str(folder)
    try:
        subprocess.run([program(), "up", "--world", world, "--free-ports", "--detach", *words],
                       cwd=SOURCE, check=True, stdout=subprocess.DEVNULL)
        yield folder
    finally:
        subprocess.run([program(), "down"], check=False, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        shutil.rmtree(folder, ignore_errors=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def document(name, text):
    """A document of the notebook's own, in a folder that ends with it."""
    path = pathlib.Path(SCRATCH.name) / f"{len(os.listdir(SCRATCH.name))}-{name}"
    path.write_text(text)
    return str(path)


def example(name):
    return [f"examples/{name}/world.yaml", f"examples/{name}/app.yaml"]


def variation(path, changes):
    """A copy of a document with some text replaced. The programs it names need not exist there."""
    text = (SOURCE / path).read_text()
    for old, new in changes.items():
        assert old in text, f"{path} has no {old!r}"
        text = text.replace(old, new)
    return document(pathlib.Path(path).name, text)


def dollars(text):
    return float(text)


def money(amount):
    return f"${amount:,.2f}"


def tier(site):
    """By the name of the site, as the examples name theirs."""
    head = site.split("/")[0]
    return head if head in ("client", "edge") else "cloud"


def places(side):
    """{"app/workload": "site"} of an answer's `before` or `after`."""
    return {f"{p['app']}/{p['workload']}": p["site"] for p in side["places"]}


def terms(side, amount="bill"):
    return {t["term"]: dollars(t[amount]) for t in side["terms"]}


def stacked(axes, labels, columns, unit):
    """Bars side by side, each a stack of terms; `columns` are {term: dollars}."""
    bottom = [0.0] * len(columns)
    for term, colour in TERMS.items():
        heights = [column.get(term, 0.0) for column in columns]
        if max(heights) > 0:
            axes.bar(labels, heights, bottom=bottom, color=colour, label=term, width=0.6)
            bottom = [b + h for b, h in zip(bottom, heights)]
    for x, total in enumerate(bottom):
        axes.annotate(money(total), (x, total), ha="center", va="bottom")
    axes.set_ylabel(unit)
    axes.margins(y=0.15)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def number(text):
    """Of a sweep's value: "x1.5", "0.2"."""
    return float(text.lstrip("x"))


def sites_of(answer, part):
    """Where `part` is at each point of a sweep, as [(values, site, point)]."""
    today = places(answer["before"])
    found = []
    for point in answer["sweep"]["points"]:
        site = today[part]
        for moved in point.get("moved", []):
            if f"{moved['app']}/{moved['workload']}" == part:
                site = moved["to"]
        found.append(([number(v) for v in point["values"]], site, point))
    return found


def territory(axes, answer, part, xlabel, ylabel):
    """The map of a sweep over two inputs, the first one upwards. Returns {site: points}."""
    points = sites_of(answer, part)
    ys = sorted({values[0] for values, _, _ in points})
    xs = sorted({values[1] for values, _, _ in points})
    names = sorted({site for _, site, _ in points}, key=lambda s: (list(TIERS).index(tier(s)), s))
    shades = {"client": [YELLOW, "#b3a800"], "edge": [ORANGE, "#9c6b00"], "cloud": [BLUE, SKY]}
    used, colours = {}, []
    for name in names:
        shade = shades[tier(name)]
        colours.append(shade[used.get(tier(name), 0) % len(shade)])
        used[tier(name)] = used.get(tier(name), 0) + 1
    cells = [[0] * len(xs) for _ in ys]
    counts = dict.fromkeys(names, 0)
    for values, site, _ in points:
        cells[ys.index(values[0])][xs.index(values[1])] = names.index(site)
        counts[site] += 1
    axes.pcolormesh(xs, ys, cells, cmap=ListedColormap(colours), vmin=-0.5,
                    vmax=len(names) - 0.5, shading="nearest")
    axes.grid(False)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.set_title(part)
    axes.legend(handles=[Patch(color=c, label=n) for c, n in zip(colours, names)], frameon=False,
                loc="upper center", bbox_to_anchor=(0.5, -0.2), ncol=2)
    return counts
