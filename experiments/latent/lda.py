"""Latent Dirichlet allocation by collapsed Gibbs sampling or variational Bayes, on documents.

Blei, Ng & Jordan (2003), JMLR 3:993-1022; Griffiths & Steyvers (2004). Topics are scored by
document completion: half of each held-out document is observed, and the other half's perplexity is
reported, with the coherence (NPMI) of the topics in the training documents. The default data are
docstrings of Python's standard library, 200 words to a document, without a download.

python experiments/latent/lda.py
    20 topics, collapsed Gibbs sampling: perplexity 702 (unigram 1,336), 15 s on one CPU core.
python experiments/latent/lda.py variational
    The same by variational Bayes.
python experiments/latent/lda.py ap --documents ap.dat --vocabulary vocab.txt
    50 topics of a file in the format of LDA-C, such as its Associated Press articles, every tenth
    of them held out: perplexity 2,310 (unigram 4,545), coherence 0.21, 2 minutes. ap_variational is
    the other fit (2,730 after 40 steps with eta 0.1).
python experiments/latent/lda.py newsgroups --documents 20ng.npz --vocabulary vocab.txt
    20 topics of train_{offsets,terms,counts}; held out are test_half1 and test_half2. Of 20
    Newsgroups with 3,072 terms: perplexity 1,533 (unigram 2,219), coherence 0.23, 2 minutes.
"""

import dataclasses
import pathlib

from gm.recipes import command


@dataclasses.dataclass(frozen=True)
class Config:
    """What to fit, and how."""

    documents: pathlib.Path | None = None
    """A file of LDA-C, or an .npz with offsets, terms and counts; else Python's docstrings."""
    vocabulary: pathlib.Path | None = None
    """A text with one term a line, for a file of documents."""
    num_topics: int = 20
    """Topics, K."""
    gibbs: bool = True
    """Collapsed Gibbs sampling; else variational Bayes."""
    num_sweeps: int = 300
    """Sweeps of the sampler, or steps of variational Bayes, through all documents."""
    burn_in: int = 200
    """Sweeps of the sampler that are left out of the mean."""
    concentration: float = 0.1
    """Of each topic in the prior of a document's proportions, at the start."""
    eta: float = 0.05
    """Concentration of the prior of topics."""
    seed: int = 0
    """Of the fit, and of the halves of held-out documents."""
    folder: pathlib.Path | None = None
    """For result.json and topics.txt."""


AP = Config(num_topics=50)
VARIATIONAL = {"gibbs": False, "num_sweeps": 50, "eta": 0.2}
PRESETS = {
    "python_docs": Config(),
    "variational": Config(**VARIATIONAL),
    "ap": AP,
    "ap_variational": dataclasses.replace(AP, **VARIATIONAL),
    "newsgroups": Config(eta=0.1),
}

if __name__ == "__main__":
    ASKED = command.parse(PRESETS)  # before JAX is imported, so that --help is quick

import time

import jax

from gm.core import Params
from gm.data.documents import Documents
from gm.models.latent import topic_fits
from gm.recipes import topics


def fit(c: Config, docs: Documents) -> Params:
    """Topics and the concentration of their proportions."""
    key = jax.random.key(c.seed)
    sizes = {"num_terms": docs.num_terms, "num_topics": c.num_topics, "key": key}
    sizes |= {"concentration": c.concentration, "eta": c.eta}
    if c.gibbs:
        sweeps = {"num_sweeps": c.num_sweeps, "burn_in": c.burn_in}
        return topic_fits.collapsed_gibbs(*docs.tokens(), **sizes, **sweeps)
    return topic_fits.variational_bayes(docs.terms, docs.counts, num_steps=c.num_sweeps, **sizes)


def main(c: Config) -> dict[str, float]:
    """Fits, prints topics and scores, and writes them; returns the scores."""
    name, docs, held_out = topics.load(c.documents, c.vocabulary, c.seed)
    begin = time.perf_counter()
    params = jax.block_until_ready(fit(c, docs))
    about = {"experiment": "lda", "model": f"LDA, {c.num_topics} topics"}
    about |= {"principle": "collapsed Gibbs sampling" if c.gibbs else "variational Bayes"}
    about |= {"steps": c.num_sweeps, "seconds": time.perf_counter() - begin}
    return topics.report(name, docs, held_out, params, c.folder, **about)


if __name__ == "__main__":
    command.with_sentences(main, ASKED)
