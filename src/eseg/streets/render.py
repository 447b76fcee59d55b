"""Rendering of a scene: light, sky, objects and camera."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from eseg.runtime.class_table import IGNORE_INDEX
from eseg.streets.classes import GRASS, PAVEMENT, ROAD
from eseg.streets.figures import Canvas, Light, draw_thing, half_width, shadow_outline
from eseg.streets.geometry import Shade, Surfels, View, trace
from eseg.streets.layout import draw_scene
from eseg.streets.scene import Lamp, Scene, Sign, Thing
from eseg.streets.textures import (
    MIP_LEVELS,
    NOISE_SHIFTS,
    TILE_SIZE,
    Tile,
    cloud_field,
    sensor_noise,
    tile_atlas,
)


def render_scene(seed: int | Sequence[int], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Render one street.

    Equal arguments give equal bytes. The street does not depend on the size: a larger picture shows
    the same street in finer detail.

    Args:
        seed: One number, or several that are combined; none negative.
        size: (height, width) in pixels.

    Returns:
        The image, uint8 RGB (height, width, 3), and the mask, uint8 class ids (height, width).
    """
    scene = draw_scene(np.random.default_rng(np.random.SeedSequence(seed)))
    view, shadow = View(scene, size), Shade(scene)
    surfels = trace(view, shadow)
    things = sorted(
        (thing for thing in scene.things if _is_visible(thing, view, surfels)),
        key=lambda thing: -thing.distance,
    )
    labels = np.array([surface.label for surface in scene.surfaces], np.uint8)
    mask = labels.take(surfels.surface)
    occlusion = _contact_shadows(view, things)
    np.copyto(occlusion, np.float32(1.0), where=~_ON_GROUND.take(mask))
    canvas = Canvas(_shade(view, surfels, occlusion), mask)
    for thing in things:
        draw_thing(canvas, view, thing, _light_at(scene, shadow, thing))
    if scene.camera.bonnet:
        _draw_bonnet(view, canvas)
    return _expose(scene, canvas), np.array(canvas.mask)


_ON_GROUND = np.isin(np.arange(256), (ROAD, PAVEMENT, GRASS))

_SMALLEST = 3.5 / 256
"""Least width of slender things that are drawn, as a share of half the picture's width."""


def _is_visible(thing: Thing, view: View, surfels: Surfels) -> bool:
    """Return whether a thing is in the picture, in front of the houses, and large enough."""
    width = view.size[1]
    column, _ = view.project(thing.x, thing.distance, 0.0)
    reach = view.focal * half_width(thing) / thing.distance
    if column + reach < 0 or column - reach >= width:
        return False
    if isinstance(thing, Lamp | Sign) and (
        view.scene.camera.focal * thing.width / thing.distance < _SMALLEST
    ):
        return False
    middle = min(max(round(column), 0), width - 1)
    return bool(surfels.nearest[middle] > thing.distance)


def _contact_shadows(view: View, things: Sequence[Thing]) -> np.ndarray:
    """Return the share of light on the ground between the things, float32 (height, width)."""
    height, width = view.size
    picture = Image.new("L", (width, height), 255)
    draw = ImageDraw.Draw(picture)
    weather = view.scene.weather
    sunny = max(weather.sun) > 0.2
    across = -weather.side / weather.elevation if sunny else 0.0
    lean = (across, -weather.skew * abs(across))
    for thing in things:
        outline = shadow_outline(thing, lean)
        points = [view.project(x, max(distance, 0.8), 0.0) for x, distance in outline]
        draw.polygon(points, fill=120 if sunny else 165)
    softness = (0.006 if sunny else 0.016) * (height * width / 2) ** 0.5
    blurred = picture.filter(ImageFilter.BoxBlur(softness))
    return np.asarray(blurred, np.float32) * np.float32(1 / 255)


def _light_at(scene: Scene, shadow: Shade, thing: Thing) -> Light:
    """Return the light on a thing, which depends on shadow and distance."""
    weather, exposure = scene.weather, scene.camera.exposure
    height = float(shadow.height(thing.x, np.array([thing.distance], np.float32))[0])
    sun = 0.75 if height < 0.8 else 0.0
    lost = 1.0 - float(np.exp(-thing.distance / weather.haze))
    red, green, blue = (
        gain * (ambient + sun * direct) * (1 - lost)
        for gain, ambient, direct in zip(exposure, weather.ambient, weather.sun, strict=True)
    )
    veil = [gain * lost * value for gain, value in zip(exposure, weather.horizon, strict=True)]
    return Light((red, green, blue), (veil[0], veil[1], veil[2]))


def _shade(view: View, surfels: Surfels, occlusion: np.ndarray) -> Image.Image:
    """Return the street with colour, texture, light and haze, as an RGB picture."""
    camera, weather, surfaces = view.scene.camera, view.scene.weather, view.scene.surfaces
    index = surfels.surface.astype(np.intp)  # (height, width), as all arrays that `take` it
    density = np.array([surface.density for surface in surfaces], np.float32).take(index)
    offset = np.array([surface.tile * TILE_SIZE**2 for surface in surfaces], np.int32).take(index)
    contrast = np.array([surface.contrast for surface in surfaces], np.float32).take(index)
    mirror = np.array([surface.mirror for surface in surfaces], np.float32)

    texels = density * surfels.footprint  # (height, width), texels per pixel
    level = np.zeros(texels.shape, np.int8)
    for step in range(1, MIP_LEVELS):
        level += texels > 0.75 * 2**step
    texel = offset + level * np.int32(len(Tile) * TILE_SIZE**2)  # (height, width), in the atlas
    texel += ((surfels.v * density).astype(np.int32) & (TILE_SIZE - 1)) * TILE_SIZE
    texel += (surfels.u * density).astype(np.int32) & (TILE_SIZE - 1)
    brightness = tile_atlas().take(texel)
    brightness *= contrast
    brightness += 1.0
    brightness *= occlusion

    clear = np.exp(surfels.distance * np.float32(-1 / weather.haze))
    veil = 1 - clear
    brightness *= clear
    is_sky = index == 0
    reflecting = mirror.take(index) * clear if mirror.any() else None
    sky = _sky(view)  # three of (height, width)
    bands: list[Image.Image] = []
    colours = np.array([surface.colour for surface in surfaces], np.float32)  # (surfaces, 3)
    for band in range(3):
        light = np.float32(weather.ambient[band]) + np.float32(weather.sun[band]) * surfels.sunlit
        value = colours[:, band].take(index)
        value *= brightness
        value *= light
        value += veil * np.float32(weather.horizon[band])
        if reflecting is not None:
            value += reflecting * (sky[band] * np.float32(0.92) - value)
        np.copyto(value, sky[band], where=is_sky)
        value *= np.float32(255 * camera.exposure[band])
        np.clip(value, 0, 255, out=value)
        bands.append(Image.fromarray(value.astype(np.uint8)))
    return Image.merge("RGB", bands)


def _sky(view: View) -> list[np.ndarray]:
    """Return a gradient with clouds that shrink towards the horizon, one array per band."""
    weather, grain = view.scene.weather, view.scene.grain
    below = view.drop.min(axis=1) >= 0
    horizon_row = int(np.argmax(below)) if below.any() else view.size[0]
    up = np.maximum(-view.drop[:horizon_row], 0)  # (rows above the horizon, width)
    rise = np.minimum(up * np.float32(1.7), 1.0)
    depth = np.float32(30.0) / (up + np.float32(0.12))
    field = cloud_field()
    mask = len(field) - 1
    row = ((depth * np.float32(3.2)).astype(np.int32) + grain[0]) & mask
    column = ((view.slope * depth * 2).astype(np.int32) + grain[1]) & mask
    cover = field.reshape(-1).take(row * len(field) + column)
    cover -= np.float32(1.0 - 2.2 * weather.cover)
    cover *= np.float32(0.7)
    np.clip(cover, 0, np.float32(0.9), out=cover)
    bands = []
    for zenith, horizon, cloud in zip(weather.zenith, weather.horizon, weather.clouds, strict=True):
        # Panes below the horizon may mirror the sky's lower border.
        band = np.full(view.size, horizon, np.float32)
        above = band[:horizon_row]
        above += rise * np.float32(zenith - horizon)
        above += cover * (np.float32(cloud) - above)
        bands.append(band)
    return bands


def _draw_bonnet(view: View, canvas: Canvas) -> None:
    """Draw the own car's bonnet at the lower border, without label."""
    (height, width), bonnet = view.size, view.scene.camera.bonnet
    top = height * (1 - bonnet)
    red, green, blue = view.scene.weather.horizon
    for lift, shine in ((0.0, 40), (0.012, 90)):
        outline = [
            (width * (0.5 + 0.62 * x), top + height * (lift + 0.75 * bonnet * x * x))
            for x in np.linspace(-1, 1, 25).tolist()
        ]
        outline += [(width * 1.2, height * 1.1), (-width * 0.2, height * 1.1)]
        colour = (round(shine * red), round(shine * green), round(shine * blue))
        canvas.polygon(outline, colour, IGNORE_INDEX)


@lru_cache(maxsize=8)
def _vignette(size: tuple[int, int]) -> np.ndarray:
    """Return the darkening towards the corners, float32 (height, width, 1)."""
    rows, columns = (np.linspace(-1, 1, length) ** 2 for length in size)
    return (1 - 0.09 * (rows[:, None] + columns)).astype(np.float32)[..., None]


_LENS = ImageFilter.Kernel((3, 3), (1, 2, 1, 2, 9, 2, 1, 2, 1))


def _expose(scene: Scene, canvas: Canvas) -> np.ndarray:
    """Apply the camera's soft lens, darker corners and sensor noise."""
    image = np.asarray(canvas.image.filter(_LENS), np.float32)  # (height, width, 3)
    size = image.shape[:2]
    top, left = scene.grain[0] % NOISE_SHIFTS, scene.grain[1] % NOISE_SHIFTS
    noise = sensor_noise(size)[top : top + size[0], left : left + size[1]]
    image = image * _vignette(size)
    image += noise * np.float32(scene.camera.noise)
    image += np.float32(0.5)
    return np.clip(image, 0, 255, out=image).astype(np.uint8)
