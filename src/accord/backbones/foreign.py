"""Causal language models of other architectures than `Shape` can say: Transformers' own passes as a `Decoder`.

Slower than a decoder of ours: a prompt is computed again for each of its responses, nothing is fused, and a GPU's steps
are not recorded. What the engine and the algorithms rely on is looked at when a model is read: that its logits are one
product of its last states, and that it says token by token what it says of whole rows. One that does not is refused.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from accord.backbones.attention import Fork
from accord.backbones.decoder import Cache, Decoder, Shape
from accord.backbones.projection import Projection
from accord.backbones.weights import configuration
from accord.types import InputError

ROWS, PLACES, READ = 3, 9, 4  # of the rows that a model is tried on, so many read at once and the others one by one
CLOSE = 1e-3  # of the deviation of what it says; in float32
SAFE = "*.safetensors"


class Foreign(Decoder):
    """A model of Transformers. Its weights are the decoder's; products of its layers can have adapters."""

    own = False

    def __init__(self, model: Any, shape: Shape) -> None:
        nn.Module.__init__(self)
        self.model, self.shape, self.again = model, shape, False
        self.embedding = model.get_input_embeddings().weight
        head = model.get_output_embeddings().weight
        self.output = None if head is self.embedding else head
        modules = dict(model.base_model.named_modules(prefix=model.base_model_prefix))
        products = {name: one for name, one in modules.items() if type(one) in (nn.Linear, Conv1D)}
        self.turned = [name for name, one in products.items() if isinstance(one, Conv1D)]
        for name, one in products.items():
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, _projection(one))

    def forward(self, tokens: Int[Tensor, "row time"], cache: Cache | None = None) -> Float[Tensor, "row time width"]:
        """Rows from their beginning, padded on the right with any token; `cache` is filled where one is given."""
        time = torch.arange(tokens.shape[1], device=tokens.device)
        reads = (time[:, None] >= time).expand(len(tokens), 1, -1, -1)
        kept = None if cache is None else Kept(cache, None)
        return self._states(tokens, time.expand(len(tokens), -1), reads, kept)

    def fork(
        self, tokens: Int[Tensor, "token"], position: Int[Tensor, "token"], by: Fork, blocks: int | None = None
    ) -> Float[Tensor, "token width"]:
        """Hidden states of prompts and of the responses that go on from them. All blocks alone: `blocks` is None."""
        assert blocks is None
        (stems, tall), (branches, wide) = by.stems, by.branches
        cut = stems * tall

        def laid(line: Tensor) -> Tensor:
            """Each branch behind its stem."""
            places = line[by.there]
            return torch.cat([places[:cut].view(stems, tall)[by.stem], places[cut:].view(branches, wide)], 1)

        above = torch.ones(tall, tall, dtype=torch.bool, device=tokens.device).tril()
        above = torch.nn.functional.pad(above, (0, wide)).expand(branches, 1, -1, -1)
        states = self._states(laid(tokens), laid(position), torch.cat([above, by.reads], 2), None)
        first = (by.stem == torch.arange(stems, device=tokens.device)[:, None]).int().argmax(1)  # a branch of each stem
        line = torch.cat([states[first, :tall].flatten(0, 1), states[:, tall:].flatten(0, 1)])
        return line.index_select(0, by.back)

    def step(self, token: Int[Tensor, "row"], position: Int[Tensor, "row"], cache: Cache) -> Float[Tensor, "row width"]:
        """The next hidden state of every row from its next token, which stands at `position`."""
        reads = torch.arange(cache.keys.shape[3], device=token.device) <= position[:, None]
        return self._states(token[:, None], position[:, None], reads[:, None, None], Kept(cache, position))[:, 0]

    def _states(self, tokens: Tensor, position: Tensor, reads: Tensor, kept: Kept | None) -> Tensor:
        mask = torch.zeros(reads.shape, dtype=self.embedding.dtype, device=tokens.device)
        mask.masked_fill_(~reads, torch.finfo(mask.dtype).min)
        read = self.model.base_model(
            input_ids=tokens, position_ids=position, attention_mask=mask, **_cached(self.model, kept)
        )
        return read.last_hidden_state

    def moved(self, device: torch.device, dtype: torch.dtype) -> Foreign:
        """Itself, on a device and in a precision; what is no weight, such as rotary frequencies, keeps its own."""
        self.to(device)
        for one in self.parameters():
            one.data = one.data.to(dtype)
        return self

    def compiled(self) -> None:
        """Nothing: passes are Transformers'."""

    def layers(self) -> list[Any]:
        """Raises InputError: several processes divide what this does not know."""
        raise InputError("a model that Transformers runs learns in one process: start it without torchrun.")

    def placed(self) -> Iterator[tuple[Projection, list[str]]]:
        """Every adaptable product with its name in Transformers."""
        for name, one in self.model.named_modules():
            if isinstance(one, Projection):
                yield one, [name]

    def tensors(self) -> dict[str, Tensor]:
        """Every weight under its name in Transformers, adapters merged."""
        found: dict[str, Tensor] = {name: one.detach() for name, one in self.model.named_parameters()}  # each once
        found |= dict(self.model.named_buffers())
        for one, (name,) in self.placed():
            found[f"{name}.weight"] = one.merged().T if name in self.turned else one.merged()
            for adapter in ("down", "up.0"):
                found.pop(f"{name}.{adapter}", None)
        kept = self.model.state_dict()  # what is computed is not in it
        return {name: one for name, one in found.items() if name in kept}


class Kept(transformers.Cache):
    """Where attention writes keys and values, and what it reads: whole rows their own, a token those of its row."""

    def __init__(self, cache: Cache, position: Int[Tensor, "row"] | None) -> None:
        super().__init__(layers=[])
        self.cache, self.position = cache, position

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any) -> Any:
        """Called by each layer's attention with [row, kv head, time, number]."""
        kept = self.cache.keys[layer_idx], self.cache.values[layer_idx]
        rows, time = key_states.shape[0], key_states.shape[2]
        if self.position is None:
            for there, new in zip(kept, (key_states, value_states), strict=True):
                there[:rows, :, :time] = new
            return key_states, value_states
        row = torch.arange(rows, device=self.position.device)
        for there, new in zip(kept, (key_states, value_states), strict=True):
            there[row, :, self.position] = new[:, :, 0]
        return kept

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Positions are given, so nothing is counted here."""
        return 0


def _cached(model: Any, cache: transformers.Cache | None) -> dict[str, Any]:
    """A cache by the name that it has in this version of Transformers, or that there is none."""
    name = "cache" if "cache" in inspect.signature(model.base_model.forward).parameters else "past_key_values"
    return {"use_cache": False} if cache is None else {"use_cache": True, name: cache}


def _projection(one: Any) -> Projection:
    """The same product, with a place for adapters."""
    other = isinstance(one, Conv1D)
    weight = one.weight.T.contiguous() if other else one.weight
    found = Projection(1, (1,))
    found.parts = (len(weight),)
    found.weight = nn.Parameter(weight.detach()) if other else one.weight
    found.bias = one.bias
    return found


def read(folder: Path) -> Foreign:
    """The model in a folder of Transformers', in float32. Raises InputError for one that cannot be used, with why."""
    if configuration(folder).get("quantization_config"):
        raise InputError(f"{folder} has quantised weights, which cannot learn: name the model that they were made of.")
    if not any(folder.glob(SAFE)):
        raise InputError(f"{folder} holds no weights as safetensors: save the model with them.")
    transformers.utils.logging.disable_progress_bar()
    loaded: Any
    try:
        loaded = transformers.AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, output_loading_info=True
        )
        model, said = loaded
        left = [*said["missing_keys"], *said["mismatched_keys"], *said["unexpected_keys"]]
        if left:
            raise ValueError(f"{left[0]} is missing, left over or of another size")
        found = Foreign(model.eval(), _shape(model)).moved(torch.device("cpu"), torch.float32)
        _try(found)
        return found
    except Exception as error:  # whatever a model that nobody here has seen may do
        why = " ".join(str(error).split())[:300]
        raise InputError(f"{folder} cannot be run ({type(error).__name__}: {why}): name another model.") from error


def _shape(model: Any) -> Shape:
    """Sizes, of which a cache has to know: as the model's own cache has them after a token."""
    config = model.config.get_text_config()
    made: Any = transformers.DynamicCache()
    with torch.no_grad():
        model.base_model(input_ids=torch.zeros(1, 2, dtype=torch.long), **_cached(model, made))
    sizes = {tuple(part.shape[1::2]) for layer in made.layers for part in (layer.keys, layer.values)}
    if len(sizes) != 1 or len(made.layers) != config.num_hidden_layers:
        raise ValueError("its layers do not keep keys and values of one size")
    kv_heads, head = sizes.pop()
    head_weight = model.get_output_embeddings().weight
    context = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None) or 2048
    return Shape(
        width=head_weight.shape[1],
        inner=0,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        kv_heads=kv_heads,
        head=head,
        vocabulary=head_weight.shape[0],
        context=min(context, getattr(config, "sliding_window", None) or context),
    )


@torch.no_grad()
def _try(found: Foreign) -> None:
    """Raises ValueError where a model does not say what is relied on."""
    places = min(PLACES, found.shape.context)
    tokens = torch.randint(found.shape.vocabulary, (ROWS, places), generator=torch.Generator().manual_seed(0))
    expected = found.model(input_ids=tokens, use_cache=False).logits
    whole, cache = found(tokens), found.cache(ROWS, places)
    found(tokens[:, :READ], cache)
    rows = [found.step(tokens[:, at], torch.full((ROWS,), at), cache) for at in range(READ, places)]
    size = CLOSE * float(expected.std())
    if not torch.allclose(whole @ found.head.T, expected, atol=size, rtol=0.0):
        raise ValueError("its logits are more than a product of its last states and its output matrix")
    if not torch.allclose(torch.stack(rows, 1), whole[:, READ:], atol=CLOSE * float(whole.std()), rtol=0.0):
        raise ValueError("token by token it says other things than of whole rows")
