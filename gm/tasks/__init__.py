"""Tasks for trained models: completion, pictures of latent spaces.

    completion   the rest of an example, given some of its elements
    latents      reconstructions, traversals and interpolations

    x = completion.complete(model, params, key, x, known)          # known: bools, in the shape of x
    x = completion.continue_from(model, params, key, prefix)       # the first n elements are given
    x, log_weight = completion.complete_weighted(...)              # known elements anywhere

Functions of a model's capabilities (`gm.core`), never of a model's class.
"""

from gm.tasks import completion, latents

__all__ = ["completion", "latents"]
