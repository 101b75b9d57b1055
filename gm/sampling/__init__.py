"""Sampling: ancestral sampling, decoding and Jacobi iteration; inverse distribution functions.

ancestral  the one scan over the elements of an autoregressive model: each a function of its own
decoding   temperature, top-k and nucleus: logits processors
jacobi     a sample as the fixed point of forward passes
inverse_cdf  any density on the line, from a table of its distribution function

sharper = decoding.chain(decoding.temperature(0.8), decoding.nucleus(0.95))
x = ancestral.sample(model, params, key, logits_processor=sharper)  # one element at a time
x, num_forward_passes = jacobi.sample(model, params, key, logits_processor=sharper)  # the same x
"""

from gm.sampling import ancestral, decoding, inverse_cdf, jacobi

__all__ = ["ancestral", "decoding", "inverse_cdf", "jacobi"]
