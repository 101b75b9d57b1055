"""Metrics: scores with standard errors, units, counts and kinds.

`evaluate` scores a model on a whole split and returns a `Score`: a value with its standard error,
unit, count and kind. `exact` is a computed likelihood, `bound` an upper bound on it in
expectation, `estimate` a statistic of samples.

    likelihood   evaluate(model, params, split): mean negative log-likelihood in nats
    importance   log p(x) of a latent-variable model from thousands of posterior samples
    annealed     log p(x) between two bounds: annealed importance sampling, forward and reverse
    certificate  every bound of one model on the same examples, in order
    latents      active units, aggregated posterior against prior, information of z about x
    disentanglement  codes against known factors: mutual information gap, factor accuracy
    mmd          squared maximum mean discrepancy of two samples, unbiased, with its error
    c2st         classifier two-sample test: accuracy in separating samples from data (ideally 0.5)
    classifier_accuracy  accuracy of a classifier of real data on class-conditional samples
    neighbors    entropy and KL divergence of samples by nearest neighbours
    density_ratio  log p / q and KL divergence of samples by a classifier
    permutation  p-values of two-sample tests: MMD, energy distance, any statistic
    modes        how many modes of a known mixture the samples cover
    frechet      Fréchet distance of features (FID), and its value at infinitely many samples
    prdc         precision, recall, density, coverage: quality and variety apart
    memorization  are samples copies of the training set?
    topics       perplexity by document completion, and coherence, of topic models
    baselines    independent pixels and file compressors, which every model should beat
    results      result.json files, and `gm results`, which generates a table from them
    provenance   the hardware, revision and command of a result
"""

from gm.metrics import (
    annealed,
    baselines,
    c2st,
    classifier_accuracy,
    density_ratio,
    disentanglement,
    frechet,
    importance,
    latents,
    memorization,
    mmd,
    modes,
    neighbors,
    permutation,
    prdc,
    topics,
)
from gm.metrics.certificate import Certificate, certificate
from gm.metrics.likelihood import evaluate
from gm.metrics.score import Score

__all__ = [
    "Certificate",
    "Score",
    "annealed",
    "baselines",
    "c2st",
    "certificate",
    "classifier_accuracy",
    "density_ratio",
    "disentanglement",
    "evaluate",
    "frechet",
    "importance",
    "latents",
    "memorization",
    "mmd",
    "modes",
    "neighbors",
    "permutation",
    "prdc",
    "topics",
]
