"""Texture tiles, noise fields and tree crowns, made once per process from fixed seeds.

A tile is a periodic height field with mean 0 and a spread of about 1; a surface multiplies its
colour by `1 + contrast * tile`. Every tile has several blurred versions (mip levels), so that
distant surfaces do not flicker.
"""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

import numpy as np

TILE_SIZE = 256
"""Texels along one edge of a tile; a power of two, so that wrapping is a bit mask."""

MIP_LEVELS = 5


Tile = IntEnum("Tile", "ASPHALT SETTS SLABS BRICK PLASTER FOLIAGE ROOF PANES", start=0)
"""Textures of surfaces."""


class Crown(NamedTuple):
    """Outline and shading of a tree crown; both uint8 (size, size)."""

    alpha: np.ndarray  # 255 where there are leaves, else 0
    light: np.ndarray  # 128 means unchanged; brighter towards the top


def _noise(
    rng: np.random.Generator, size: int, coarse: float, fine: float, slope: float = 1.0
) -> np.ndarray:
    """Draw periodic noise of standard deviation 1 and mean 0, float32 (size, size).

    Its frequencies, in cycles per tile, are from `coarse` to `fine`, with amplitudes proportional
    to the frequency to the minus `slope`.
    """
    spectrum = np.fft.rfft2(rng.standard_normal((size, size)))  # (size, size // 2 + 1)
    cycles = np.hypot(np.fft.fftfreq(size, 1 / size)[:, None], np.fft.rfftfreq(size, 1 / size))
    band = (cycles >= coarse) & (cycles <= fine)
    gain = np.where(band, np.maximum(cycles, 1.0) ** -slope, 0.0)
    field = np.fft.irfft2(spectrum * gain, s=(size, size))
    return _standardised(field)


def _standardised(field: np.ndarray) -> np.ndarray:
    return ((field - field.mean()) / field.std()).astype(np.float32)


def _courses(
    rng: np.random.Generator,
    rows: int,
    columns: int,
    joint: float,
    spread: float,
    bevel: float = 0.0,
) -> np.ndarray:
    """Draw stones or bricks in running bond: every second course is shifted by half a stone."""
    texel = np.arange(TILE_SIZE) / TILE_SIZE  # (size,)
    course = np.floor(texel * rows).astype(int)  # (size,)
    along = texel[None, :] * columns + 0.5 * (course[:, None] % 2)  # (size, size)
    stone = np.floor(along).astype(int) % columns  # (size, size)
    tones = rng.normal(0.0, spread, (rows, columns))[course[:, None], stone]  # (size, size)
    in_course = (texel * rows) % 1.0  # (size,)
    edge_u = np.minimum(along % 1.0, 1.0 - along % 1.0) / columns
    edge_v = (np.minimum(in_course, 1.0 - in_course) / rows)[:, None]  # (size, 1)
    edge = np.minimum(edge_u, edge_v) * TILE_SIZE  # (size, size), texels to the nearest joint
    return tones - np.where(edge < joint, 2.0, 0.0) + bevel * np.minimum(edge, 4.0) / 4.0


def _tile(tile: Tile) -> np.ndarray:
    rng = np.random.default_rng([20220328, int(tile)])
    grain = _noise(rng, TILE_SIZE, 30.0, 128.0, 0.0)
    stains = _noise(rng, TILE_SIZE, 1.0, 16.0, 1.2)
    match tile:
        case Tile.ASPHALT:
            field = 0.75 * grain + 0.65 * stains
        case Tile.SETTS:
            field = _courses(rng, 32, 20, 1.0, 0.8, bevel=0.6) + 0.35 * grain + 0.5 * stains
        case Tile.SLABS:
            field = _courses(rng, 8, 6, 1.0, 0.6) + 0.45 * grain + 0.5 * stains
        case Tile.BRICK:
            field = _courses(rng, 32, 10, 1.0, 0.7) + 0.35 * grain + 0.5 * stains
        case Tile.PLASTER:
            field = 0.4 * grain + stains
        case Tile.FOLIAGE:
            leaves = _noise(rng, TILE_SIZE, 10.0, 80.0, 0.6)
            field = leaves + 0.35 * grain + 0.5 * stains
        case Tile.ROOF:
            field = _courses(rng, 24, 32, 1.0, 0.5, bevel=0.8) + 0.5 * stains
        case Tile.PANES:
            field = rng.standard_normal((TILE_SIZE, TILE_SIZE))
    return _standardised(field)


def _blurred(field: np.ndarray, factor: int) -> np.ndarray:
    """Average over blocks of `factor` texels, at the original size."""
    blocks = field.reshape(TILE_SIZE // factor, factor, TILE_SIZE // factor, factor)
    return blocks.mean(axis=(1, 3)).repeat(factor, axis=0).repeat(factor, axis=1)


@lru_cache(maxsize=1)
def tile_atlas() -> np.ndarray:
    """Return all tiles at all mip levels, float32 (levels * tiles * TILE_SIZE**2,).

    The texel (v, u) is at `((level * tiles + tile) * TILE_SIZE + v) * TILE_SIZE + u`; level `i` is
    averaged over 2**i texels.
    """
    tiles = [_tile(tile) for tile in Tile]
    levels = [[_blurred(field, 2**level) for field in tiles] for level in range(MIP_LEVELS)]
    return np.asarray(levels, dtype=np.float32).reshape(-1)


@lru_cache(maxsize=1)
def cloud_field() -> np.ndarray:
    """Return periodic clouds, float32 (512, 512) with mean 0 and standard deviation 1."""
    return _noise(np.random.default_rng(7101), 512, 2.0, 120.0, 1.7)


NOISE_SHIFTS = 64
"""Rows and columns by which the noise field exceeds a picture, which shows a part of it."""


@lru_cache(maxsize=4)
def sensor_noise(size: tuple[int, int]) -> np.ndarray:
    """Return camera noise of standard deviation 1, partly common to the three bands.

    Returns:
        float32 (height + NOISE_SHIFTS, width + NOISE_SHIFTS, 3).
    """
    rng = np.random.default_rng(7102)
    shape = (size[0] + NOISE_SHIFTS, size[1] + NOISE_SHIFTS)
    luma = rng.standard_normal((*shape, 1), dtype=np.float32)
    noise = rng.standard_normal((*shape, 3), dtype=np.float32)
    noise *= np.float32(0.6)
    noise += np.float32(0.8) * luma
    return noise


CROWN_SIZE = 160
CROWN_SHAPES = 8


@lru_cache(maxsize=1)
def crowns() -> tuple[Crown, ...]:
    """Return a few tree crowns of different shape, each filling its square."""
    return tuple(_crown(np.random.default_rng([7103, shape])) for shape in range(CROWN_SHAPES))


def _crown(rng: np.random.Generator) -> Crown:
    grid = (np.arange(CROWN_SIZE) + 0.5) / CROWN_SIZE * 2 - 1
    y, x = grid[:, None], grid[None, :]
    body = np.full((CROWN_SIZE, CROWN_SIZE), -1.0)  # above 0 inside the crown
    shade = np.zeros((CROWN_SIZE, CROWN_SIZE))
    for _ in range(rng.integers(9, 15)):
        angle, distance = rng.uniform(0, 2 * np.pi), 0.6 * np.sqrt(rng.uniform())
        centre_x, centre_y = distance * np.cos(angle), 0.9 * distance * np.sin(angle)
        radius = rng.uniform(0.26, 0.42)
        ball = 1 - ((x - centre_x) ** 2 + (y - centre_y) ** 2) / radius**2  # (size, size)
        # Each cluster of leaves is lit from above, so that the crown looks round.
        lit = 0.55 * (centre_y - y) / radius  # (size, 1)
        shade = np.where(ball > body, lit, shade)
        body = np.maximum(body, ball)
    rough = _noise(rng, 256, 8.0, 60.0, 0.8)[:CROWN_SIZE, :CROWN_SIZE]
    leaves = _noise(rng, 256, 20.0, 100.0, 0.3)[:CROWN_SIZE, :CROWN_SIZE]
    light = 1.0 + 0.35 * shade - 0.22 * y + 0.17 * leaves
    alpha = np.where(body + 0.22 * rough > 0.05, 255, 0)
    return Crown(alpha.astype(np.uint8), np.clip(128 * light, 45, 205).astype(np.uint8))
