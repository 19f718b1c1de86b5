"""Encoders of replies that are fitted once and then read any reply: what a reward needs whose policy goes on writing.

Parts are named and joined by +: `minilm+style` is an embedding beside simple counts. Every part is centred and has
variance 1 in all over the replies that it was fitted to, so that one number such as the length is not drowned by
hundreds of columns of an embedding. Nothing of what anybody answered goes in.

`style` and `length` are what length-controlled evaluations look at first (Dubois et al., arXiv:2404.04475); `plain` is
the embedding with what is linear in the length taken out, for a reward that cannot pay for length.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy.sparse.linalg import svds

from accord.backbones import states
from accord.backbones.sentences import reader
from accord.types import InputError, Reply, Segment

MOST = 300  # columns that words are summed up in
WAVES, BEND = 256, 2.0  # of `curves`; their length in deviations times sqrt(counts)
LINKS = frozenset("because therefore since however thus although so if but while hence unless".split())
SELVES = frozenset("i my me mine we our us you your".split())
TENSORS, TEXT = "encoder.safetensors", "encoder.json"

Block = Float[np.ndarray, "text column"]
Texts = Sequence[tuple[str, str]]  # prompt and response


@dataclass(frozen=True, eq=False)
class Part:
    """One way to read texts. `kept` is what it took from those that it was fitted to; `terms` are words, of `tfidf`."""

    name: str
    kept: Mapping[str, np.ndarray] = field(default_factory=dict)
    terms: tuple[str, ...] = ()

    def __call__(self, texts: Texts) -> Block:
        """Rows of any texts, in the part's own units."""
        return READ[self.name](self, texts)


@dataclass(frozen=True, eq=False)
class TextEncoder:
    """Parts side by side, each centred and scaled as a whole, turned so that few texts have few columns."""

    parts: tuple[Part, ...]
    centre: tuple[np.ndarray, ...]
    size: tuple[float, ...]
    turn: np.ndarray  # [column, fewer]; without rows: columns stay as they are

    def __call__(self, segments: Sequence[Segment]) -> Float32[np.ndarray, "segment column"]:
        """Raises InputError for a segment that is no reply."""
        texts = [(one.prompt, one.response) for one in segments if isinstance(one, Reply)]
        if len(texts) < len(segments):
            raise InputError(f"{len(segments) - len(texts)} of {len(segments)} segments are no replies: give replies.")
        blocks = [
            (part(texts) - centre) / size for part, centre, size in zip(self.parts, self.centre, self.size, strict=True)
        ]
        rows = np.concatenate(blocks, 1)
        return (rows @ self.turn if len(self.turn) else rows).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Writes `encoder.safetensors` and `encoder.json`."""
        tensors = {"turn": self.turn, "size": np.array(self.size)}
        for number, (part, centre) in enumerate(zip(self.parts, self.centre, strict=True)):
            tensors[f"{number}/centre"] = centre
            tensors |= {f"{number}/kept/{name}": array for name, array in part.kept.items()}
        save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, folder / TENSORS)
        parts = [{"name": part.name, "terms": part.terms} for part in self.parts]
        (folder / TEXT).write_text(json.dumps({"format": 1, "parts": parts}), encoding="utf-8")


def load(folder: Path) -> TextEncoder:
    """What `save` wrote. Raises InputError where the folder holds no encoder."""
    try:
        text, tensors = json.loads((folder / TEXT).read_text(encoding="utf-8")), load_file(folder / TENSORS)
        parts, centres = [], []
        for number, one in enumerate(text["parts"]):
            own = f"{number}/kept/"
            kept = {name.removeprefix(own): array for name, array in tensors.items() if name.startswith(own)}
            parts.append(Part(known(one["name"]), kept, tuple(one["terms"])))
            centres.append(tensors[f"{number}/centre"])
        return TextEncoder(tuple(parts), tuple(centres), tuple(map(float, tensors["size"])), tensors["turn"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise InputError(f"{folder} holds no readable encoder ({error}): give the folder of a saved reward.") from error


def encoder(name: str, replies: Sequence[Reply]) -> TextEncoder:
    """The reading of that name, fitted to these replies. Raises InputError for an unknown part or a missing library."""
    texts = list(dict.fromkeys((one.prompt, one.response) for one in replies))
    parts, centres, sizes, blocks = [], [], [], []
    for word in name.split("+"):
        part, rows = fitted(word, texts)
        centre = rows.mean(0)
        size = float(np.sqrt(np.square(rows - centre).sum(1).mean())) or 1.0
        parts.append(part)
        centres.append(centre)
        sizes.append(size)
        blocks.append((rows - centre) / size)
    rows, turn = np.concatenate(blocks, 1), np.zeros((0, 0))
    if rows.shape[1] > len(rows):  # distances and inner products between these texts stay as they are
        turn = np.ascontiguousarray(np.linalg.svd(rows, full_matrices=False)[2].T)
    return TextEncoder(tuple(parts), tuple(centres), tuple(sizes), turn)


def known(part: str) -> str:
    """The name of a part. Raises InputError for another word."""
    if part not in READ:
        raise InputError(f'a reading has the part "{part}": use {", ".join(READ)}, joined by +.')
    return part


def fitted(name: str, texts: Texts) -> tuple[Part, Block]:
    """A part fitted to texts, and their rows."""
    part = FIT[name](texts) if known(name) in FIT else Part(name)
    return part, part(texts)


def _length(part: Part, texts: Texts) -> Block:
    """The logarithm of the number of letters."""
    return np.log1p([[float(len(response))] for _, response in texts])


def _style(part: Part, texts: Texts) -> Block:
    """Twenty simple counts of a text, each at deviation 1: length, words, sentences, marks, capitals, links."""
    rows = np.array([_counts(response) for _, response in texts], np.float64)
    return (rows - part.kept["mean"]) / part.kept["sd"]


def _fit_style(name: str) -> Callable[[Texts], Part]:
    def fit(texts: Texts) -> Part:
        rows = np.array([_counts(response) for _, response in texts], np.float64)
        sd = rows.std(0)
        return Part(name, {"mean": rows.mean(0), "sd": np.where(sd > 0.0, sd, 1.0)})

    return fit


def _counts(text: str) -> list[float]:
    words = re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?", text)
    lower = [word.lower() for word in words]
    sentences = max(1, len([one for one in re.split(r"[.!?]+", text) if one.strip()]))
    many, letters = max(1, len(words)), max(1, len(text))
    marks = [text.count(mark) / many for mark in (",", '"', "'")]
    ends = [text.count(mark) / sentences for mark in ("?", "!")]
    return [
        np.log1p(len(text)),
        np.log1p(len(words)),
        len("".join(words)) / many,
        len(set(lower)) / many,
        np.log1p(sentences),
        many / sentences,
        sum(map(str.isupper, text)) / letters,
        sum(map(str.isdigit, text)) / letters,
        *marks,
        *ends,
        float(text[:1].isupper()),
        float(text.rstrip()[-1:] in tuple('.!?"')),
        sum(len(word) > 6 for word in words) / many,
        sum(word in SELVES for word in lower) / many,
        sum(word in LINKS for word in lower) / many,
        np.log1p(max(map(len, words), default=0)),
        text.count("\n") / sentences,
    ]


def _curves(part: Part, texts: Texts) -> Block:
    """Waves of a squared-exponential kernel over `style`: what need not rise or fall with a count. Always the same."""
    rows, rng = _style(part, texts), np.random.default_rng(0)
    frequency = rng.standard_normal((rows.shape[1], WAVES)) / (BEND * np.sqrt(rows.shape[1]))
    return np.cos(rows @ frequency + rng.uniform(0.0, 2.0 * np.pi, WAVES))


def _fit_tfidf(texts: Texts) -> Part:
    """Words and pairs of words by how rare they are, from those that stand in three texts or more."""
    least = 3 if len(texts) > 30 else 1
    made = _counter(min_df=least)
    counted: Any
    try:
        counted = made.fit_transform([response for _, response in texts])
    except ValueError as error:
        raise InputError(f"the replies have no words in common ({error}): leave tfidf out.") from error
    kept = {"idf": np.asarray(made.idf_, np.float64)}
    columns = min(MOST, *(side - 1 for side in counted.shape))
    if columns >= 2:
        rows: Any = svds(counted.astype(np.float64), k=columns, rng=0)[2]
        kept["turn"] = np.ascontiguousarray(rows.T)
    return Part("tfidf", kept, tuple(map(str, made.get_feature_names_out())))


def _tfidf(part: Part, texts: Texts) -> Block:
    made = _counter(vocabulary={term: place for place, term in enumerate(part.terms)})
    made.idf_ = part.kept["idf"]
    counted: Any = made.transform([response for _, response in texts])
    return counted @ part.kept["turn"] if "turn" in part.kept else counted.toarray()


def _counter(**more: Any):  # noqa: ANN202  the class of an extra
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
    except ModuleNotFoundError as error:
        raise InputError(f"scikit-learn is missing ({error}): pip install 'accord[text]' and run again.") from error
    return TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", **more)


def _minilm(part: Part, texts: Texts) -> Block:
    """The sentence embedding."""
    return _embedded(tuple(response for _, response in texts))


@lru_cache(maxsize=1)  # several readings of the same replies begin with it, and it takes most of their time
def _embedded(responses: tuple[str, ...]) -> Block:
    rows = reader()(responses).astype(np.float64)
    rows.flags.writeable = False  # whoever asks is given the same rows
    return rows


def _smollm2(part: Part, texts: Texts) -> Block:
    """What SmolLM2 makes of a response to its prompt."""
    return states.reader()(texts).numpy().astype(np.float64)


def _fit_plain(texts: Texts) -> Part:
    rows = READ["minilm"](Part("minilm"), texts)
    return Part("plain", {"line": np.linalg.lstsq(_lengths(texts), rows, rcond=None)[0]})


def _plain(part: Part, texts: Texts) -> Block:
    """The sentence embedding without what is linear in the logarithm of the length."""
    return READ["minilm"](part, texts) - _lengths(texts) @ part.kept["line"]


def _lengths(texts: Texts) -> Block:
    long = _length(Part("length"), texts)
    return np.concatenate([np.ones_like(long), long], 1)


READ: dict[str, Callable[[Part, Texts], Block]] = {
    "length": _length,
    "style": _style,
    "curves": _curves,
    "tfidf": _tfidf,
    "minilm": _minilm,
    "smollm2": _smollm2,
    "plain": _plain,
}
FIT: dict[str, Callable[[Texts], Part]] = {
    "style": _fit_style("style"),
    "curves": _fit_style("curves"),
    "tfidf": _fit_tfidf,
    "plain": _fit_plain,
}
