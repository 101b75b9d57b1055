"""Sampling: how to draw, where a distribution alone does not say it all.

decoding   temperature, top-k and nucleus: a conditional made sharper before it is drawn
jacobi     an autoregressive model's sample by parallel passes, as the fixed point of them

adjust = decoding.chain(decoding.temperature(0.8), decoding.nucleus(0.95))
x = walk.sample(model, params, key, adjust=adjust)                   # one element at a time
x, num_passes = jacobi.sample(model, params, key, adjust=adjust)     # the same x, all at once
"""

from gm.sampling import decoding, jacobi

__all__ = ["decoding", "jacobi"]
