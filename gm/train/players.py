"""Players of a game: losses over disjoint parts of the parameters.

A game's parameters are one dict. Each player minimises its own loss with its own optimizer and
updates only its own entries; those of other players are constants for it. Players are updated in
the order of the dict, and each sees the newest parameters of the others.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

import optax

from gm.core import Loss, Params

SOLE = "all"  # the name of the only player if there is one loss


@dataclasses.dataclass(frozen=True)
class Player:
    """One player of a game.

    Attributes:
      loss: loss(params, key, batch) -> (scalar, metrics), which gets the whole params dict.
      optimizer: any optax optimizer, applied to this player's entries.
      updates: updates per step; the j-th sees the j-th part of the batch.
      entries: the top-level entries of params that it updates; None for the one of its own name.
    """

    loss: Loss
    optimizer: optax.GradientTransformation
    updates: int = 1
    entries: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        check_optimizer(self.optimizer)
        if self.updates < 1:
            raise ValueError(f"a Player makes at least 1 update per step; got {self.updates}.")


@dataclasses.dataclass(frozen=True)
class Game:
    """All players and their entries; one loss is a game with one player for all parameters.

    Attributes:
      players: the players by name, in the order of their updates.
      sole: whether there is one loss over params of any structure.
    """

    players: Mapping[str, Player]
    sole: bool

    @property
    def num_parts(self) -> int:
        """R, the number of equal parts of a batch: the most updates of any player."""
        return max(player.updates for player in self.players.values())

    @property
    def num_updates(self) -> int:
        """Updates per step, summed over players."""
        return sum(player.updates for player in self.players.values())

    def entries(self, name: str) -> tuple[str, ...]:
        """The entries that a player updates."""
        entries = self.players[name].entries
        return (name,) if entries is None else entries

    def own(self, name: str, params: Params) -> Params:
        """The part of params that a player updates."""
        return params if self.sole else {entry: params[entry] for entry in self.entries(name)}

    def merge(self, params: Params, own: Params) -> Params:
        """params with a player's part replaced."""
        return own if self.sole else {**params, **own}

    def label(self, name: str, metric: str) -> str:
        """The name of a player's metric: "critic/loss" in a game, "loss" for one loss."""
        return metric if self.sole else f"{name}/{metric}"

    def check(self, params: Params) -> None:
        """Raises unless exactly one player updates every entry of params."""
        if self.sole:
            return
        if not isinstance(params, Mapping):
            raise TypeError(
                "a game needs params as one dict with an entry per player; "
                f"got {type(params).__name__}."
            )
        have = ", ".join(map(repr, params))
        owners: dict[str, str] = {}
        for name in self.players:
            for entry in self.entries(name):
                if entry not in params:
                    raise ValueError(
                        f"player {name!r} moves params[{entry!r}], which is missing; params has "
                        f"{have}. Name the player after its entry, or give Player(entries=...)."
                    )
                if entry in owners:
                    raise ValueError(
                        f"players {owners[entry]!r} and {name!r} both move params[{entry!r}]; "
                        "players need disjoint entries."
                    )
                owners[entry] = name
        unclaimed = [entry for entry in params if entry not in owners]
        if unclaimed:
            raise ValueError(
                f"no player moves {', '.join(f'params[{entry!r}]' for entry in unclaimed)}; give "
                "them to a player with Player(entries=...), or keep constants out of params."
            )


def check_loss(loss: Any) -> None:
    """Raises TypeError unless the loss is a function of (params, key, batch)."""
    if not callable(loss):
        raise TypeError(
            "a loss is a function (params, key, batch) -> (scalar, metrics), such as "
            f"functools.partial(negative_elbo, model); got {type(loss).__name__}."
        )
    if _first_parameter(loss) == "model":
        name = getattr(loss, "__name__", type(loss).__name__)
        raise TypeError(
            f"{name} takes (model, params, key, batch); a step calls it without the model: give "
            f"functools.partial({name}, model)."
        )


def _first_parameter(loss: Loss) -> str | None:
    """The name of the first parameter; None if it is not known."""
    try:
        return next(iter(inspect.signature(loss).parameters), None)
    except ValueError:  # some builtins have no signature
        return None


def check_optimizer(optimizer: Any) -> None:
    """Raises TypeError unless this is an optax optimizer."""
    if not (callable(getattr(optimizer, "init", None)) and hasattr(optimizer, "update")):
        raise TypeError(
            f"an optimizer is one of optax, such as optax.adam(1e-3); got {optimizer!r:.80}."
        )


def game_of(
    players: Mapping[str, Player] | optax.GradientTransformation, loss: Loss | None = None
) -> Game:
    """A dict of players, or one optimizer (with its loss), as a Game."""
    if not isinstance(players, Mapping):
        return Game({SOLE: Player(loss, players)}, sole=True)
    if not players:
        raise ValueError("a game needs at least one Player; got an empty dict.")
    for name, player in players.items():
        if not isinstance(player, Player):
            raise TypeError(f"players[{name!r}] must be a Player; got {type(player).__name__}.")
    return Game(dict(players), sole=False)
