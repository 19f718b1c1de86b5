"""AdamW on float32 masters of weights that may be bfloat16, with gradients added up in float32 over micro-batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from accord.backbones.sharding import like, whole
from accord.types import NotFinite


class Masters:
    """The optimiser of some parameters. A float32 parameter is its own master.

    Loshchilov and Hutter, arXiv:1711.05101. A bfloat16 weight cannot take a step below .4% of itself, so steps of 1e-6
    would be lost; its gradient is moved to float32 as soon as a micro-batch has made it.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], rate: float, decay: float = 0.0, norm: float = 1.0) -> None:
        self.live = [one for one in parameters if one.requires_grad]
        self.norm = norm
        self.masters = [one if one.dtype == torch.float32 else one.detach().float() for one in self.live]
        self.optimiser = torch.optim.AdamW(
            self.masters, lr=rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=decay, fused=True
        )
        for one, master in zip(self.live, self.masters, strict=True):
            if one is not master:
                one.register_post_accumulate_grad_hook(self._moving(master))

    def _moving(self, master: Tensor) -> Callable[[Tensor], None]:
        def move(one: Tensor) -> None:
            fresh = one.grad
            if fresh is None:
                return
            master.grad = fresh.float() if master.grad is None else master.grad.add_(fresh)
            one.grad = None

        return move

    @torch.no_grad()
    def step(self, rate: float | None = None) -> float:
        """One step down the gradient, cut to `norm`; returns the norm it had. Raises NotFinite for a NaN."""
        if rate is not None:
            for group in self.optimiser.param_groups:
                group["lr"] = rate
        size = whole(torch.nn.utils.clip_grad_norm_(self.masters, self.norm, foreach=True))
        if not bool(torch.isfinite(size)):
            self.optimiser.zero_grad()
            raise NotFinite("the gradient holds a value that is no number: lower policy.learning_rate.")
        self.optimiser.step()
        self.optimiser.zero_grad()
        for one, master in zip(self.live, self.masters, strict=True):
            if one is not master:
                one.copy_(master)
        return float(size)

    def forget(self) -> None:
        """The gradients that micro-batches have left so far."""
        self.optimiser.zero_grad()
        for one in self.live:
            one.grad = None

    def tensors(self) -> dict[str, Tensor]:
        """Masters and moments under stable names, for a checkpoint."""
        found = {f"master.{i}": whole(master.detach()) for i, master in enumerate(self.masters)}
        for i, state in self.optimiser.state_dict()["state"].items():
            found |= {f"adam.{i}.{name}": whole(value) for name, value in state.items()}
        return found

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """What `tensors` gave."""
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            sort, i, *key = name.split(".")
            if sort == "master":
                divided = like(value, self.masters[int(i)])
                self.masters[int(i)].copy_(divided)
                self.live[int(i)].copy_(divided)
            else:
                moment = like(value, self.masters[int(i)]) if key[0] != "step" else value
                state.setdefault(int(i), {})[key[0]] = moment.clone()
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": state})
