"""Sampling: ancestral sampling, decoding, Jacobi iteration; inverse CDFs; Markov chains, annealing.

ancestral  the one scan over the elements of an autoregressive model: each a function of its own
decoding   temperature, top-k and nucleus: logits processors
jacobi     a sample as the fixed point of forward passes
inverse_cdf  any density on the line, from a table of its distribution function
hamiltonian  a Markov kernel for any density on R^D
annealing  annealed importance sampling, forward and reverse, with any kernel

sharper = decoding.chain(decoding.temperature(0.8), decoding.nucleus(0.95))
x = ancestral.sample(model, params, key, logits_processor=sharper)  # one element at a time
x, num_forward_passes = jacobi.sample(model, params, key, logits_processor=sharper)  # the same x
"""

from gm.sampling import ancestral, annealing, decoding, hamiltonian, inverse_cdf, jacobi

__all__ = ["ancestral", "annealing", "decoding", "hamiltonian", "inverse_cdf", "jacobi"]
