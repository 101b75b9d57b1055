"""Parts of the site that are generated: tables of results, and a page for every experiment."""

import ast
import itertools
import json
import pathlib
import re

from mkdocs.structure.files import File

from gm.metrics.score import with_error

ROOT = pathlib.Path(__file__).resolve().parent.parent
EXPERIMENTS = ROOT / "experiments"
DATASETS = {
    "ap": "Associated Press articles (2,246 documents, 10,473 terms)",
    "20ng_etm": "20 Newsgroups (3,072 terms)",
    "binarized_mnist": "Binarized MNIST (the fixed set of Larochelle & Murray)",
    "digits": "Digits (8x8 images of scikit-learn, 17 levels)",
    "tiny_shakespeare": "Tiny Shakespeare",
    "dna": "DNA",
    "mushrooms": "Mushrooms",
    "wine_quality/red": "Red wine",
    "wine_quality/white": "White wine",
    "fsdd_decimated_mulaw": "Spoken digits at 4 kHz, 256 mu-law levels",
    "grid25": "25 Gaussians on a grid",
    "two_moons": "Two moons",
    "banana": "A banana (Haario, Saksman & Tamminen)",
    "funnel": "A funnel of 10 dimensions (Neal)",
    "eight_schools": "Eight schools, a posterior of 10 dimensions (Rubin)",
    "four_modes": "Four Gaussians of unequal weight",
}


def on_files(files, config):
    """Adds a page for every experiment file: its source, to read and to copy."""
    for path in sorted(EXPERIMENTS.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        first = ast.get_docstring(ast.parse(path.read_text("utf-8"))).splitlines()[0]
        page = f"# {name}\n\n{first}\n\n```python\n{path.read_text('utf-8')}```\n"
        uri = name.removesuffix(".py") + ".md"
        files.append(File.generated(config, uri, content=page))
    return files


def on_page_markdown(markdown, page, config, files):
    """Fills in the tables of measured numbers."""
    tables = {"results": results, "sampling": sampling, "training": training}
    tables |= {"toys": toys, "reverse": reverse}
    for name, make in tables.items():
        if f"<!-- {name} -->" in markdown:
            markdown = markdown.replace(f"<!-- {name} -->", make())
    return markdown


def results():
    """Every committed result, by data set: ours, the published one, the time, and the file."""
    rows = []
    for path in sorted((EXPERIMENTS / "results").glob("*/result.json")):
        rows += json.loads(path.read_text("utf-8"))
    rows.sort(key=lambda row: (row["dataset"], row["metric"], row["value"]))
    lines = []
    for (dataset, metric), group in itertools.groupby(rows, lambda r: (r["dataset"], r["metric"])):
        if f"\n## {DATASETS.get(dataset, dataset)}\n" not in lines:
            lines += [f"\n## {DATASETS.get(dataset, dataset)}\n"]
        lines += [f"\n{metric[0].upper() + metric[1:]}:\n"]
        lines += ["| model | ours | published | time | file |", "|---|---|---|---|---|"]
        lines += [_row(row) for row in group]
    return "\n".join(lines)


def _row(row):
    ours = f"{with_error(row['value'], row['standard_error'])} {row['unit']} ({row['kind']})"
    published = "-"
    if row["published"] is not None:
        published = f"{row['published']:g} ({row['published_source']})"
    time = _duration(row["seconds"])
    return f"| {row['model']} | {ours} | {published} | {time} | {_link(row['command'])} |"


def _duration(seconds):
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _link(command):
    found = re.search(r"experiments/([\w/]+)\.py((?: (?!--)\S+)*)", command)
    if found is None:
        return f"`{command}`"
    name, preset = found[1], found[2].strip()
    return f"[`{name.rpartition('/')[2]}.py {preset}`](experiments/{name}.md)".replace(" `]", "`]")


def _printed(name):
    """Lines of what a benchmark printed, each with the header it stands under."""
    lines = (ROOT / "benchmarks" / "results" / name).read_text("utf-8").splitlines()
    return [line for line in lines if line[:1].strip() and not line.startswith(("cpu,", "model "))]


def sampling():
    """The sampling-to-scoring time ratio of every model by batch size, and the naive sampler's."""
    sizes, ratios, naive = (1, 16, 64, 256, 1024), {}, {}
    for line in _printed("sampling.txt"):
        found = re.match(r"(.+?) {2,}(\d+) +[\d.]+ +[\d.]+ +([\d.]+)(?: +\d+ +(\d+))?", line)
        name, size = found[1].strip(), int(found[2])
        ratios.setdefault(name, {})[size] = found[3]
        naive.setdefault(name, found[4])
        naive[name] = naive[name] or found[4]
    header = "| model | " + " | ".join(f"batch {size}" for size in sizes) + " | naive / ours, 64 |"
    lines = [header, "|---" * (len(sizes) + 2) + "|"]
    for name, found in ratios.items():
        cells = [found.get(size, "-") for size in sizes] + [naive[name] or "-"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def toys():
    """KL(truth || model) of every flow from every density of the plane."""
    text = (ROOT / "benchmarks" / "results" / "toys.md").read_text("utf-8")
    return text[text.index("| flow ") :].strip()


def reverse():
    """Both divergences of flows fitted by reverse KL and by maximum likelihood, and ESS."""
    rows = []
    for path in sorted((EXPERIMENTS / "results").glob("variational_*/result.json")):
        every = json.loads(path.read_text("utf-8"))
        found = [row for row in every if not row["metric"].endswith((" validation", " step"))]
        numbers = [with_error(row["value"], row["standard_error"]) for row in found]
        rows.append((found[0]["dataset"], found[0]["principle"], *numbers))
        names = [f"{row['metric']}, {row['unit']}" for row in found]
    header = ("target", "principle", *names)
    lines = [f"| {' | '.join(map(_plain, header))} |", "|---" * len(header) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _plain(text):
    """A text in a cell of a table."""
    return text.replace("|", "\\|")


def training():
    """The time of a training step of every model, and what share of the core's arithmetic it is."""
    lines = [
        "| model | batch | ms per step | examples per s | of the rate |",
        "|---|---|---|---|---|",
    ]
    for line in _printed("training.txt"):
        name, *rest = re.split(r" {2,}", line.strip())
        numbers = " ".join(rest).split()
        known = "-" if re.search("NADE|LSTM|GRU", name) else numbers[4]  # XLA counts no loops
        lines.append(f"| {name} | {numbers[0]} | {numbers[1]} | {numbers[2]} | {known} |")
    return "\n".join(lines)
