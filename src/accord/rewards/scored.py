"""What an ensemble says of replies, as the protocol of rewards has it."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from accord.types import NotFinite, Scored


def scored(rows: Float[Tensor, "member reply"], version: int) -> Scored:
    """What an ensemble says of replies. Raises NotFinite, naming the first whose value is not finite."""
    bad = (~torch.isfinite(rows).all(0)).nonzero()
    if len(bad):
        raise NotFinite(f"reward version {version}: its value of response {int(bad[0])} is not finite.")
    return Scored(rows.mean(0), rows.std(0, correction=0))
