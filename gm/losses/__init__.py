"""Learning principles: one file each, first as functions of arrays, then as losses of models.

The array functions (`variational.iwae_bound`, `penalties.gradient_penalty`, ...) know nothing of
models and may be lifted into other code as they are. A loss of a model is
`loss(model, params, key, batch, *, options) -> (scalar, metrics)`: it asks for the capability it
needs, gives each example a key of its own, and averages once at the end. `functools.partial(loss,
model)` is what `gm.train.make_step` takes.

  likelihood      maximum likelihood: negative log-likelihood, bits per dimension
  order_agnostic  all orders of an autoregressive model at once
  variational     lower bounds on log p(x): ELBO, importance-weighted bound
  weighted_bounds  Rényi, chi, MIWAE, PIWAE, CIWAE: bounds as functions of log weights
  path_gradients  sticking the landing, doubly reparameterized: pathwise gradients of less variance
  score_function  RLOO, VIMCO, NVIL: gradients for any posterior, discrete ones too
  relaxations     Gumbel-softmax, straight-through and REBAR, for discrete posteriors
  schedules       options of a loss as functions of the step: KL warm-up
  reverse_kl      a model fitted to an unnormalised density, without data
  wake_sleep      learning p and q by samples of each other, for latents without pathwise gradients
  vector_quantization  the losses of a VQ-VAE, codes by gradient or moving averages
  divergences     f-divergences of log probabilities and of log ratios; Rényi's
  lower_bounds    on divergences, from a critic of samples: f-GAN, NWJ, Donsker-Varadhan, InfoNCE
  gaussians       divergences and distances between Normals, in closed form
  exponential_families  the same for Bernoulli, Poisson, Gamma, Dirichlet, ...
  quadrature      divergences between any two densities of the line
  transport       Wasserstein distances: on the line, sliced
  entropic        entropic transport: Sinkhorn's plan, divergence and map
  moments         maximum mean discrepancy, energy distance, kernel Stein discrepancy
  scores          score matching and noise-contrastive estimation
  contrastive_divergence  samples of a Markov chain against data, for unnormalized models
  fixed_points    fits that iterate without gradients (EM), in steps that training can drive
  minimum_distance  the nearest model, for distances of samples and divergences of densities
  adversarial     games of a generator and a critic: any objective with any penalty
  objectives      what both minimise, as functions of scores: GAN, Wasserstein, relativistic, f-GAN
  penalties       on the slope of the critic: WGAN-GP, R1, DRAGAN, ...
  games           other ways to play: extra-gradient, consensus, unrolled; the vector field

`batches` checks what they are given.
"""

from gm.losses import (
    adversarial,
    contrastive_divergence,
    divergences,
    entropic,
    exponential_families,
    fixed_points,
    games,
    gaussians,
    likelihood,
    lower_bounds,
    minimum_distance,
    moments,
    objectives,
    order_agnostic,
    path_gradients,
    penalties,
    quadrature,
    relaxations,
    reverse_kl,
    schedules,
    score_function,
    scores,
    transport,
    variational,
    vector_quantization,
    wake_sleep,
    weighted_bounds,
)

__all__ = [
    "adversarial",
    "contrastive_divergence",
    "divergences",
    "entropic",
    "exponential_families",
    "fixed_points",
    "games",
    "gaussians",
    "likelihood",
    "lower_bounds",
    "minimum_distance",
    "moments",
    "objectives",
    "order_agnostic",
    "path_gradients",
    "penalties",
    "quadrature",
    "relaxations",
    "reverse_kl",
    "schedules",
    "score_function",
    "scores",
    "transport",
    "variational",
    "vector_quantization",
    "wake_sleep",
    "weighted_bounds",
]
