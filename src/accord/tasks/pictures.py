"""Observations that are pictures: how an environment lays them out, and the flat bytes that everything else carries.

A row of a picture is its bytes, channel by channel, so that a segment of 50 Atari steps is 1.4 MB and not the 5.6 MB of
float32. Only the nets read it as a picture, and divide by 255 as they do.
"""

from __future__ import annotations

import math

import numpy as np
from gymnasium import spaces
from jaxtyping import Float, UInt8

Picture = tuple[int, int, int]  # channels, height, width
COARSE = 7  # cells in each direction, where a picture is boiled down to a few numbers


def picture_of(space: spaces.Space) -> Picture | None:
    """Channels, height and width where observations are one uint8 picture, else None.

    Understood are `[height, width]`, `[height, width, channel]` and a stack of grey frames `[frame, height, width]`:
    the shorter one of the first and the last axis holds the channels.
    """
    if not (isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(space.shape) in (2, 3)):
        return None
    shape = space.shape if len(space.shape) == 3 else (1, *space.shape)
    channels, height, width = (shape[2], shape[0], shape[1]) if _channels_last(shape) else shape
    return channels, height, width


def flattened(pixels: UInt8[np.ndarray, "..."]) -> UInt8[np.ndarray, "pixel"]:
    """One picture of an environment as a row."""
    if pixels.ndim == 3 and _channels_last(pixels.shape):
        pixels = np.moveaxis(pixels, -1, 0)
    return pixels.reshape(-1)


def coarse(rows: UInt8[np.ndarray, "time pixel"], picture: Picture) -> Float[np.ndarray, "time cell"]:
    """Each channel's mean brightness, 0 to 1, in the cells of a 7 by 7 grid: what tells queries apart, not rewards."""
    channels, height, width = picture
    rows_of, columns_of = (math.ceil(side / min(side, COARSE)) for side in (height, width))
    whole = rows.reshape(-1, channels, height, width).astype(np.float32) / 255.0
    starts = np.arange(0, height, rows_of), np.arange(0, width, columns_of)
    sums = np.add.reduceat(np.add.reduceat(whole, starts[0], axis=2), starts[1], axis=3)
    sizes = [np.diff(np.append(start, side)) for start, side in zip(starts, (height, width), strict=True)]
    return (sums / np.outer(*sizes)).reshape(len(rows), -1)


def _channels_last(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and shape[2] <= shape[0]
