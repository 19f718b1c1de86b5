"""A language model as a reward: a linear head on what it makes of a response's last token, and adapters below.

Ouyang et al., arXiv:2203.02155, section 3.5, with this project's one likelihood of answers (`annotators`) in place of
equation 1: scales, ties, rankings and ratings count, and so does who answered. An ensemble is several sets of adapters
and heads on one frozen model (Zhai et al., arXiv:2401.00243). Rewards are drawn to 0 by the penalty of Eisenstein et
al. (arXiv:2312.09244, section 3). Differs from the usual implementations in: the head starts at 0, so that every answer
is at first as likely as the other; a prompt is read once for all of its responses; an answer's replies stay in one
micro-batch, so where a minibatch is cut changes no gradient.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from accord.backbones import text, weights
from accord.backbones.batches import WHOLE, Batch, cut, micro_batches
from accord.backbones.decoder import Decoder
from accord.backbones.masters import Masters
from accord.backbones.memory import Room
from accord.backbones.text import LanguageModel
from accord.backbones.tokens import FolderTokens, Tokenizer
from accord.rewards.annotators import Layout, Questions, log_likelihood, questions
from accord.rewards.scored import scored
from accord.rewards.settings import SequenceConfig
from accord.types import Evidence, InputError, Reply, Scored, Segment

AFTER = 0  # any token: a batch holds what foretells a token, and the state of interest foretells the one after the end
FAMILIES = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3"}  # in the names of classes
TENSORS, TEXT = "sequence.safetensors", "sequence.json"
APART = ("head", "people")  # of what a member learned, that is no weight of the decoder


@dataclass(frozen=True, eq=False)
class SequenceReward:
    """The `ReplyReward` protocol: the mean over members, each at deviation 1 over the replies that it was fitted to."""

    decoder: Decoder  # with adapters, which `members` are put in place of
    tokenizer: Tokenizer
    config: SequenceConfig
    members: tuple[dict[str, Tensor], ...]  # what learned, the head, and what was learned of annotators
    centre: Float[Tensor, "member"]
    scale: Float[Tensor, "member"]
    version: int = 1

    def __call__(self, replies: Sequence[Reply]) -> Scored:
        """Raises NotFinite, naming the reply's number, where a member's output is not."""
        return scored(self.values(replies), self.version)

    @torch.no_grad()
    def values(self, replies: Sequence[Reply]) -> Float[Tensor, "member reply"]:
        """What every member thinks of every reply."""
        prompts, responses = read(self.tokenizer, replies)
        batches, found = micro_batches(prompts, responses, budget=self.config.memory), []
        device = self.decoder.embedding.device
        for member in self.members:
            put(self.decoder, member)
            row = torch.zeros(len(replies))
            for batch in (one.to(device) for one in batches):
                last = ends(batch, responses)
                own = valued(self.decoder, batch, last, member["head"].to(device))
                row[batch.reply[last].cpu()] = own.cpu()
            found.append(row)
        return (torch.stack(found) - self.centre[:, None]) / self.scale[:, None]

    def save(self, folder: Path) -> None:
        """What learned; the model below adapters is named, not copied."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"{k}/{name}": one for k, member in enumerate(self.members) for name, one in member.items()}
        tensors |= {"centre": self.centre, "scale": self.scale}
        save_file({name: one.contiguous() for name, one in tensors.items()}, folder / TENSORS)
        precision = str(self.decoder.embedding.dtype).removeprefix("torch.")
        told = {"format": 1, "version": self.version, "precision": precision, "config": asdict(self.config)}
        (folder / TEXT).write_text(json.dumps(told, indent=1), encoding="utf-8")

    def export(self, folder: Path, like: LanguageModel, member: int = 0) -> None:
        """One member, merged, as `AutoModelForSequenceClassification` loads it: its logit is this reward.

        `like` is the model that it was fitted on, for its configuration and tokenizer. There the last token that is
        no pad is read, so the end, which is the pad of many models, may not be one.
        """
        put(self.decoder, self.members[member])
        pad = int(self.tokenizer.end == 0)
        kind = FAMILIES.get(str(like.config["model_type"]))
        if kind is None:
            raise InputError(
                f"the reward stands on a {like.config['model_type']}, and sequence classifiers are written of "
                f"{', '.join(FAMILIES)} alone: name such a model in reward.sequence.model."
            )
        said = {**like.config, "architectures": [f"{kind}ForSequenceClassification"], "pad_token_id": pad}
        said |= {"num_labels": 1, "id2label": {"0": "reward"}, "label2id": {"reward": 0}}
        head = {"score.weight": (self.members[member]["head"] / self.scale[member])[None]}
        weights.write(self.decoder, said, folder, head=head)
        if isinstance(self.tokenizer, FolderTokens):
            inner = copy.deepcopy(self.tokenizer.inner)
            inner.pad_token = inner.convert_ids_to_tokens(pad)
            inner.save_pretrained(folder)


@dataclass(frozen=True, eq=False)
class Values:
    """An encoder of replies whose columns are the members' values, for what reads rows (`sequenced.py`)."""

    reward: SequenceReward

    def __call__(self, segments: Sequence[Segment]) -> Float32[np.ndarray, "segment member"]:
        """Raises InputError for a segment that is no reply."""
        replies = [one for one in segments if isinstance(one, Reply)]
        if len(replies) < len(segments):
            raise InputError(
                f"{len(segments) - len(replies)} of {len(segments)} segments are no replies: give replies."
            )
        return self.reward.values(replies).T.numpy()

    def save(self, folder: Path) -> None:
        """The reward itself."""
        self.reward.save(folder)


def load(folder: Path, exact: bool = False) -> SequenceReward:
    """What `save` wrote, on a model in the precision that it was fitted in; `exact`: in float32.

    Raises InputError where the folder holds no such reward.
    """
    try:
        told = json.loads((folder / TEXT).read_text(encoding="utf-8"))
        # Copies are aligned as fresh tensors are: from another address sums are rounded otherwise.
        tensors = {name: tensor.clone() for name, tensor in load_file(folder / TENSORS).items()}
        config = SequenceConfig(**told["config"])
        members: list[dict[str, Tensor]] = [{} for _ in range(config.members)]
        for name, tensor in tensors.items():
            if "/" in name:
                number, own = name.split("/", 1)
                members[int(number)][own] = tensor
        low = told.get("precision") == "bfloat16" and not exact
        model = text.load(config.model)
        model.decoder.moved(torch.device("cpu"), torch.bfloat16 if low else torch.float32)
        if config.rank:
            model.decoder.adapt(config.rank, 2.0 * config.rank, 0)
        own = (tensors["centre"], tensors["scale"], int(told["version"]))
        return SequenceReward(model.decoder, model.tokenizer, config, tuple(members), *own)
    except (OSError, ValueError, KeyError, TypeError, IndexError, SafetensorError) as error:
        raise InputError(f"{folder} holds no readable reward ({error}): give the folder of a saved one.") from error


def fit(
    evidence: Evidence, model: LanguageModel, config: SequenceConfig, seed: int, version: int = 1
) -> SequenceReward:
    """Adapters and heads, one member after the other. The decoder of `model` learns, or is given adapters, and is kept.

    Raises InputError where answers are about something else than replies, or there are none.
    """
    replies = [one for one in evidence.segments if isinstance(one, Reply)]
    if len(replies) < len(evidence.segments) or not evidence.answers:
        raise InputError(f"{evidence.answers} answers about {len(replies)} replies: a language model reads replies.")
    decoder, tokenizer = model.decoder, model.tokenizer
    prompts, responses = read(tokenizer, replies)
    members = []
    for member in range(config.members):
        own = [seed, member]
        if config.rank:
            decoder.adapt(config.rank, 2.0 * config.rank, int(np.random.default_rng(own).integers(2**31)))
        members.append(Learner(decoder, evidence, prompts, responses, config).learn(np.random.default_rng([*own, 1])))
    bare = SequenceReward(
        decoder, tokenizer, config, tuple(members), torch.zeros(len(members)), torch.ones(len(members)), version
    )
    rows = bare.values(replies)
    spread = rows.std(1)
    return replace(bare, centre=rows.mean(1), scale=torch.where(spread > 1e-8, spread, 1.0))


class Learner:
    """One member as it learns."""

    def __init__(
        self,
        decoder: Decoder,
        evidence: Evidence,
        prompts: list[list[int]],
        responses: list[list[int]],
        config: SequenceConfig,
    ) -> None:
        self.decoder, self.config, self.prompts, self.responses = decoder, config, prompts, responses
        self.parts = asked(evidence)
        self.layout = Layout(self.parts, len(evidence.annotators))
        self.at, self.precision = self.layout.vectors()
        self.people = nn.Parameter(self.at.clone())
        self.head = nn.Parameter(torch.zeros(decoder.shape.width, device=decoder.embedding.device))
        self.answers = [(part, row) for part, one in enumerate(self.parts) for row in range(len(one.outcome))]
        self.room = Room(config.memory)
        self.masters = Masters([*decoder.parameters(), self.head, self.people], config.learning_rate)

    def learn(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """All epochs, the rate falling to 0 along a line; adapters and head as they are then."""
        config, count = self.config, len(self.answers)
        each = max(1, round(count / config.minibatch))
        steps = [some for _ in range(config.epochs) for some in np.array_split(rng.permutation(count), each)]
        for number, some in enumerate(steps):
            self.update([self.answers[k] for k in some], 1.0 - number / len(steps))
        learned = {name: one.detach().clone() for name, one in self.decoder.named_parameters() if one.requires_grad}
        return {**learned, "head": self.head.detach().clone(), "people": self.people.detach().clone()}

    def update(self, some: Sequence[tuple[int, int]], share: float = 1.0) -> float:
        """One step on some answers; their mean loss in nats. The annotators' prior counts for its share of all."""

        def work(tokens: int) -> float:
            total = 0.0
            for part in self.cut(some, tokens):
                lost = self.loss(part) / len(some)
                lost.backward()
                total += float(lost.detach())
            return total

        loss = self.room.within(work, self.masters.forget, max(map(self._tokens, some)))
        prior = 0.5 * (self.precision * (self.people - self.at).square()).sum() / len(self.answers)
        prior.backward()
        self.masters.step(self.config.learning_rate * share)
        return loss

    def loss(self, some: Sequence[tuple[int, int]]) -> Float[Tensor, ""]:
        """The sum over some answers, read in one micro-batch."""
        used = sorted({k for part, row in some for k in self._items(part, row)})
        (batch,) = micro_batches(self.prompts, self.responses, used, WHOLE)
        batch = batch.to(self.head.device)
        last = ends(batch, self.responses)
        own = valued(self.decoder, batch, last, self.head)
        value = torch.zeros(len(self.prompts)).index_put((batch.reply[last].cpu(),), own.cpu())
        people, total = self.layout.views(self.people[None]), torch.zeros(())
        for number, part in enumerate(self.parts):
            rows = torch.tensor([row for one, row in some if one == number], dtype=torch.long)
            if not len(rows):
                continue
            asked: Questions = part.at(rows)
            values = value[asked.items.clamp_min(0)]
            valid = asked.items >= 0
            total = total - log_likelihood(asked, people, values[None], torch.arange(len(rows))[None]).sum()
            mean = (values * valid).sum(1) / valid.sum(1)
            total = total + self.config.centre * mean.square().sum()
        return total

    def _items(self, part: int, row: int) -> list[int]:
        return [k for k in self.parts[part].items[row].tolist() if k >= 0]

    def _tokens(self, answer: tuple[int, int]) -> int:
        items = self._items(*answer)
        return len(self.prompts[items[0]]) + sum(len(self.responses[k]) for k in items)

    def cut(self, some: Sequence[tuple[int, int]], tokens: int) -> list[list[tuple[int, int]]]:
        """Answers of so many tokens together, those of like length side by side; one at least."""
        return cut(sorted(some, key=lambda one: (self._tokens(one), one)), self._tokens, tokens)


def asked(evidence: Evidence) -> tuple[Questions, ...]:
    """The answers, kind by kind."""
    return tuple(questions(part) for part in evidence.parts if len(part.annotator))


def read(tokenizer: Tokenizer, replies: Sequence[Reply]) -> tuple[list[list[int]], list[list[int]]]:
    """Prompts and responses in tokens; a response ends with the end and with one token more, which is not read."""
    prompts = [tokenizer.asked(one.prompt) for one in replies]
    return prompts, [[*tokenizer.encode(one.response), tokenizer.end, AFTER] for one in replies]


def ends(batch: Batch, responses: Sequence[Sequence[int]]) -> Tensor:
    """Which of a batch's places hold the state at a response's end."""
    many = torch.tensor([len(responses[k]) for k in batch.reply.tolist()], device=batch.time.device)
    return (batch.time == many - 1).nonzero()[:, 0]


def valued(decoder: Decoder, batch: Batch, last: Tensor, head: Float[Tensor, "width"]) -> Float[Tensor, "reply"]:
    """The head on those states, in float32."""
    states = decoder.fork(batch.tokens, batch.position, batch.fork).index_select(0, batch.place[last])
    return states.float() @ head


@torch.no_grad()
def put(decoder: Decoder, member: dict[str, Tensor]) -> None:
    """What a member learned in place of what is there."""
    here = dict(decoder.named_parameters())
    for name, one in member.items():
        if name not in APART:
            here[name].copy_(one)
