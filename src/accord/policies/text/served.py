"""Responses from a vLLM server, behind the same `sample` as the engine of one's own.

    VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 vllm serve MODEL --enable-lora --max-lora-rank 64 \\
        --logprobs-mode processed_logprobs

The server is a process of its own, with the start model; the policy's adapters go to it as folders of PEFT, which both
have to be able to read, so they are on one machine. What it says of the probabilities of its tokens is a little off
what the learner says (other kernels, other precision): `Online` weighs by the ratio, truncated (Espeholt et al.,
arXiv:1802.01561, section 4.1). Its log-probabilities must be those that were drawn from, hence the last option.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import torch

from accord.backbones import peft
from accord.backbones.decoder import Decoder
from accord.policies.text.rollout import Sampled, Sampling, check
from accord.types import InputError

SECONDS = 600.0  # that a batch of responses may take
NAME = "accord"


class Served:
    """A server's address, and which adapters it has."""

    def __init__(self, url: str, end: int, context: int, device: torch.device) -> None:
        """Raises InputError where nothing answers there."""
        self.url, self.end, self.context, self.device = url.rstrip("/"), end, context, device
        self.model = str(self._asked("/v1/models", None)["data"][0]["id"])
        self.version, self.folder = 0, Path(tempfile.mkdtemp(prefix="accord-adapters-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def sample(self, prompts: Sequence[Sequence[int]], group: int, sampling: Sampling, seed: int) -> Sampled:
        """`group` responses to every prompt. Raises InputError as the engine does, and where the server refuses."""
        check(prompts, self.context, sampling.tokens)
        body = {
            "model": f"{NAME}-{self.version}" if self.version else self.model,
            "prompt": [list(prompt) for prompt in prompts],
            "n": group,
            "max_tokens": sampling.tokens,
            "temperature": sampling.temperature,
            "top_k": sampling.top_k or -1,
            "top_p": sampling.top_p,
            "seed": seed,
            "logprobs": 0,
            "return_token_ids": True,
            "skip_special_tokens": False,
        }
        choices = sorted(self._asked("/v1/completions", body)["choices"], key=lambda one: one["index"])
        if len(choices) != len(prompts) * group:
            raise InputError(f"{self.url} gave {len(choices)} responses and {len(prompts) * group} were asked for.")
        return self._sampled(choices)

    def take(self, decoder: Decoder) -> None:
        """The server's policy is the decoder's adapters from here on."""
        before, self.version = self.version, self.version + 1
        folder = self.folder / str(self.version)
        peft.write(decoder, folder, self.model)
        self._asked("/v1/load_lora_adapter", {"lora_name": f"{NAME}-{self.version}", "lora_path": str(folder)})
        if before:
            self._asked("/v1/unload_lora_adapter", {"lora_name": f"{NAME}-{before}"})
            shutil.rmtree(self.folder / str(before))

    def _sampled(self, choices: Sequence[dict[str, Any]]) -> Sampled:
        try:
            ids = [list(map(int, one["token_ids"])) for one in choices]
            logs = [list(map(float, one["logprobs"]["token_logprobs"])) for one in choices]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{self.url} tells no ids or log-probabilities of its tokens ({error!r}): use a vLLM that knows "
                "return_token_ids (0.10.2 or later)."
            ) from error
        lengths = torch.tensor([max(1, len(row)) for row in ids])
        tokens = torch.full((len(ids), int(lengths.max())), self.end)
        log_prob = torch.zeros(tokens.shape)
        for place, (row, log) in enumerate(zip(ids, logs, strict=True)):
            tokens[place, : len(row)] = torch.tensor(row)
            log_prob[place, : len(log)] = torch.tensor(log)
        ended = tokens.gather(1, lengths[:, None] - 1)[:, 0] == self.end
        return Sampled(*(part.to(self.device) for part in (tokens, lengths, log_prob, ended)))

    def _asked(self, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        """A request's answer; what is no JSON (of loading adapters) is {}."""
        data = None if body is None else json.dumps(body).encode()
        try:
            with urlopen(Request(self.url + path, data, {"Content-Type": "application/json"}), timeout=SECONDS) as told:
                text = told.read().decode()
        except HTTPError as error:
            said = " ".join(error.read().decode(errors="replace").split())[:300]
            raise InputError(f"{self.url}{path} refused ({error.code}: {said}): see how it was started.") from error
        except (URLError, OSError, ValueError) as error:
            raise InputError(f"policy.server is {self.url}, and nothing answers there ({error}): start it.") from error
        try:
            found = json.loads(text)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}
