"""The words of names, docstrings, errors and pages: the field's own, with few exceptions."""

import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).parents[1]
PAGES = "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs", "notebooks"
CODE = "gm", "experiments", "tests", "benchmarks"
CAUSAL = r"gm/(networks|models|losses|sampling|tasks)/"

# What is not said, what the field says, and where it is not said: everywhere, or by a path.
TERMS = [
    (r"\b(re)?draw(s|n|ing|ings)?\b|\bdrew\b", "sample", ""),
    (r"\bwalk(s|ed|ing)?\b", "incremental sampling", ""),
    (r"\bpasse?s? and (a |the )?step", "forward pass", ""),
    (
        r"\b(a|one|the|each|every|whole|single|parallel|per|two|many|num|of|by|M|D|n) pass(es)?\b",
        "forward pass",
        "",
    ),
    (r"\bS/F\b", "sampling-to-scoring time ratio", ""),
    (r"\b(told|tell|tells) apart\b", "C2ST accuracy", ""),
    (r"[\"'|] ?two-sample (test|accuracy)", "C2ST accuracy", ""),
    (r"\bdef (look|advance)\(|[`\"](look|advance)[`\"]", "block_logits, extend_block", CAUSAL),
    (r"\b(re)?wir(ing|ings|ed)\b", "masks and order", ""),
    (
        r"\bshuffled\b|\bspread\b",
        "random_order, evenly_spaced_degrees",
        r"gm/(networks|models/autoregressive)/",
    ),
    (r"\bMembers\b|(?<!sampled )\bmember nll\b", "mixture of members", ""),
    (r"\b(conditional|likelihood): (core\.)?Head\b", "head", ""),
    (r"\blanes?\b", "batch rows", ""),
    (r"\bdata\.streams\b|\bStreams\b", "truncated_bptt_windows", ""),
    (r"(?<!short-term )\bmemory\b", "hidden state", r"gm/(networks/(causal|recurrent)|data/bptt)"),
    (r"\bPlaces?\b|\bPositions\b", "pixel bias, coordinates, position embedding", CAUSAL),
    (r"\b(recogni[sz]\w*|recognition|judg\w*)\b", "classifier accuracy", ""),
    (r"\bgiven (the|a) label\b", "class-conditional", ""),
    (r"\b(un)?adjust(s|ed|ing)?\b", "logits processor", ""),
    (r"\bslope penalty\b", "gradient_norm_penalty", ""),
    (r"\btrain\.whole\b|\bsharding\.whole\b|\bstays? whole\b", "replicated", ""),
    (r"\bby counting\b|\blikelihood, counting\b", "maximum likelihood (closed form)", ""),
    (r"\bdoctor\b", "inspect", ""),
]


def pattern(term):
    """A term in any case; names of classes as they are."""
    return re.compile(term, 0 if re.search(r"[A-Z][a-z]", term) else re.IGNORECASE)


TERMS = [(pattern(term), instead, re.compile(where)) for term, instead, where in TERMS]
ANY = re.compile("|".join(f"(?:{term.pattern})" for term, _, _ in TERMS), re.IGNORECASE)

# Where such a word is another word: a path, what is found there, and why.
EXCEPTIONS = [
    (r"tests/test_words\.py", r".*", "the list itself"),
    (r"CHANGELOG\.md", r" -> ", "old names beside the new ones"),
    (r"gm/data/digits\.py", r"Optical Recognition of", "the name of a data set"),
    (r".*", r"\bast\.walk\(|walk tb|\bos\.walk\b", "functions of Python"),
]


def files():
    listed = subprocess.run(
        ["git", "ls-files", *PAGES, *CODE], cwd=ROOT, capture_output=True, text=True, check=True
    )
    suffixes = {".py", ".md", ".ipynb", ".toml", ".txt", ".c"}
    return [p for p in listed.stdout.split() if pathlib.Path(p).suffix in suffixes]


def lines(path):
    """What a person reads of a file, by lines: names are split at underscores."""
    text = (ROOT / path).read_text("utf-8")
    return [line.replace("_", " ") for line in text.splitlines()]


def found(path):
    for number, line in enumerate(lines(path), 1):
        if not ANY.search(line):
            continue
        if any(re.match(p, path) and re.search(w, line) for p, w, _ in EXCEPTIONS):
            continue
        for term, instead, where in TERMS:
            match = term.search(line) if where.match(path) else None
            if match:
                yield f"{path}:{number}: {match[0]!r}, say {instead}: {line.strip()}"


def test_the_words_are_those_of_the_field():
    wrong = [problem for path in files() for problem in found(path)]
    assert not wrong, "\n".join(wrong)
