"""Replies as rows of numbers, from parts that are named: `minilm+style` is an embedding beside simple counts.

Every part has variance 1 in all (`features.fit_scaler` leaves that as it is), so that one number such as the length is
not drowned by hundreds of columns of an embedding. Parts are fitted to all texts at hand, those of held-out answers
too: that is unsupervised, nothing of what anybody answered goes in. Where every reply is asked about many times, each
has a column of its own beside its parts (`own`), else the parts are made to explain what is peculiar to those replies.

`style` and `length` are what length-controlled evaluations look at first (Dubois et al., arXiv:2404.04475); `plain` is
the embedding with what is linear in the length taken out, for a reward that cannot pay for length.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32
from scipy.sparse.linalg import svds

from accord.backbones.sentences import embed
from accord.rewards.crossval import Reading
from accord.types import Evidence, InputError, Reply, Segment

READINGS = ("length", "style", "tfidf", "minilm", "plain", "minilm+length", "minilm+curves", "tfidf+minilm+curves")
MOST = 300  # columns that words are summed up in
WAVES, BEND = 256, 2.0  # of `curves`; their length in deviations times sqrt(counts)
OWN, OFTEN = 1.0, 8.0  # variance of a reply's own column, where the mean reply is in so many answers
LINKS = frozenset("because therefore since however thus although so if but while hence unless".split())
SELVES = frozenset("i my me mine we our us you your".split())

Block = Float[np.ndarray, "text column"]


@dataclass(frozen=True, eq=False)
class Known:
    """An encoder of replies that have been read already. Raises InputError for another one."""

    place: Mapping[tuple[str, str], int]
    rows: Float32[np.ndarray, "text column"]

    def __call__(self, segments: Sequence[Segment]) -> Float32[np.ndarray, "segment column"]:
        found = [self.place.get((one.prompt, one.response), -1) for one in segments if isinstance(one, Reply)]
        if len(found) < len(segments) or -1 in found:
            raise InputError("a segment is no reply that was read: give readings all replies that they are to know.")
        return self.rows[found]


def readings(names: Sequence[str], replies: Sequence[Reply], own: bool) -> dict[str, Reading]:
    """The replies read in each of these ways; what ways share is computed once.

    Raises InputError for a part that is not known, or whose library is missing.
    """
    distinct = list(dict.fromkeys((one.prompt, one.response) for one in replies))
    place = {key: number for number, key in enumerate(distinct)}
    done: dict[str, Block] = {}
    found = {}
    for name in names:
        parts = []
        for part in name.split("+"):
            if part not in PARTS:
                raise InputError(f'a reading has the part "{part}": use {", ".join(PARTS)}, joined by +.')
            if part not in done:
                done[part] = balanced(PARTS[part](distinct))
            parts.append(done[part])
        if own:
            parts.append(np.sqrt(OWN * len(parts)) * np.eye(len(distinct)))
        found[name] = Reading(encode=Known(place, turned(np.concatenate(parts, 1)).astype(np.float32)))
    return found


def often(evidence: Evidence) -> bool:
    """Whether the mean segment is asked about so often that it can have a value of its own."""
    return 2.0 * evidence.answers / max(1, len(evidence.segments)) >= OFTEN


def balanced(rows: Block) -> Block:
    """Centred, and scaled as a whole to variance 1."""
    rows = rows - rows.mean(0)
    size = np.sqrt(np.square(rows).sum(1).mean())
    return rows / size if size > 0.0 else rows


def turned(rows: Block) -> Float[np.ndarray, "text fewer"]:
    """The same rows in no more columns than there are texts: distances and inner products stay as they are."""
    if rows.shape[1] <= len(rows):
        return rows
    left, size, _ = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    return left * size


Texts = Sequence[tuple[str, str]]  # prompt and response


def length(texts: Texts) -> Block:
    """The logarithm of the number of letters."""
    return np.log1p([[float(len(response))] for _, response in texts])


def style(texts: Texts) -> Block:
    """Twenty simple counts of a text, each at deviation 1: length, words, sentences, marks, capitals, links."""
    rows = np.array([_counts(response) for _, response in texts], np.float64)
    sd = rows.std(0)
    return (rows - rows.mean(0)) / np.where(sd > 0.0, sd, 1.0)


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


def tfidf(texts: Texts) -> Block:
    """Words and pairs of words by how rare they are, from those that stand in three texts or more."""
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
    except ModuleNotFoundError as error:
        raise InputError(f"scikit-learn is missing ({error}): pip install 'accord[text]' and run again.") from error
    least = 3 if len(texts) > 30 else 1
    made = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=least, token_pattern=r"(?u)\b\w+\b")
    try:
        counted = made.fit_transform([response for _, response in texts])
    except ValueError as error:
        raise InputError(f"the replies have no words in common ({error}): leave tfidf out.") from error
    columns = min(MOST, *(side - 1 for side in counted.shape))
    if columns < 2:
        return counted.toarray()
    left, size, _ = svds(counted.astype(np.float64), k=columns, rng=0)
    return left * size


def minilm(texts: Texts) -> Block:
    """The sentence embedding."""
    return embed([response for _, response in texts]).astype(np.float64)


def plain(texts: Texts) -> Block:
    """The sentence embedding without what is linear in the logarithm of the length."""
    rows, long = minilm(texts), length(texts)
    long = np.concatenate([np.ones_like(long), long], 1)
    return rows - long @ np.linalg.lstsq(long, rows, rcond=None)[0]


def curves(texts: Texts) -> Block:
    """Waves of a squared-exponential kernel over `style`: what need not rise or fall with a count. Always the same."""
    rows, rng = style(texts), np.random.default_rng(0)
    frequency = rng.standard_normal((rows.shape[1], WAVES)) / (BEND * np.sqrt(rows.shape[1]))
    return np.cos(rows @ frequency + rng.uniform(0.0, 2.0 * np.pi, WAVES))


PARTS: dict[str, Callable[[Texts], Block]] = {
    "length": length,
    "style": style,
    "curves": curves,
    "tfidf": tfidf,
    "minilm": minilm,
    "plain": plain,
}
