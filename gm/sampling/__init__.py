"""Sampling: how to draw, where a distribution alone does not say it all.

ancestral  the one scan over the elements of an autoregressive model: each a function of its own
decoding   temperature, top-k and nucleus: a conditional made sharper before it is drawn
jacobi     an autoregressive model's sample by parallel passes, as the fixed point of them

sharper = decoding.chain(decoding.temperature(0.8), decoding.nucleus(0.95))
x = ancestral.sample(model, params, key, logits_processor=sharper)  # one element at a time
x, num_forward_passes = jacobi.sample(model, params, key, logits_processor=sharper)  # the same x
"""

from gm.sampling import ancestral, decoding, jacobi

__all__ = ["ancestral", "decoding", "jacobi"]
