"""What a policy can improve on before anybody was asked: states far from those visited are worth more.

A policy that has seen more has more to show, so that the first answers tell more.

Source: Lee et al., PEBBLE, arXiv:2106.05091, section 4.1: an estimate of the states' entropy by their nearest
neighbours (Singh et al. 2003). Differs from the paper in: states are counted in deviations, since units of positions
and velocities differ; neighbours are sought among the states scored last and not in the whole memory (a batch is drawn
uniformly from it, so these are a sample of it).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from accord.functional.scaling import Scale, merged, scaled
from accord.types import Scored, StepBatch

NEIGHBOUR = 5  # B-Pref's code
REMEMBERED = 2_048  # states that neighbours are sought among


class StateEntropy:
    """The `Reward` protocol: the distance to the fifth nearest state scored before, in units of its mean so far.

    It is the one reward that moves while a policy learns: what was new becomes known.
    """

    version = 0

    def __init__(self) -> None:
        self.known: Float[Tensor, "state observation"] | None = None
        self.scale: Scale | None = None
        self.distances = Scale.unit(1)

    def __call__(self, batch: StepBatch) -> Scored:
        """Scores the states and remembers them."""
        states = batch.observation[batch.valid]
        self.scale = merged(self.scale or Scale.unit(states.shape[1]), states)
        known = states if self.known is None else torch.cat([self.known, states])
        self.known = known[-REMEMBERED:]
        distance = nearest(scaled(self.scale, states), scaled(self.scale, self.known))
        self.distances = merged(self.distances, distance.unsqueeze(1))
        reward = torch.zeros_like(batch.valid, dtype=torch.float32)
        reward[batch.valid] = distance / self.distances.mean.clamp_min(1e-8)
        return Scored(reward, torch.zeros_like(reward))


def nearest(states: Float[Tensor, "state feature"], known: Float[Tensor, "known feature"]) -> Float[Tensor, "state"]:
    """Distance to the fifth nearest, not counting the state itself, which is among the known."""
    place = min(NEIGHBOUR + 1, len(known))
    return torch.cat([torch.cdist(rows, known).kthvalue(place, 1).values for rows in states.split(1_024)])
