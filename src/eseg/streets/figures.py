"""Painting of the objects in the street, from far to near."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw

from eseg.streets.cars import car_faces, car_footprint
from eseg.streets.classes import CAR, PERSON, POLE, SIGN, TREE
from eseg.streets.geometry import View
from eseg.streets.scene import Car, Colour, Lamp, Person, Sign, SignShape, Thing, Tree
from eseg.streets.style import SIGNALS
from eseg.streets.textures import crowns

Point: TypeAlias = tuple[float, float]

_CIRCLE = tuple(
    (math.cos(angle), math.sin(angle)) for angle in np.linspace(0, 2 * math.pi, 20, endpoint=False)
)


@dataclass(frozen=True)
class Light:
    """Light at one place: a colour appears as `colour * gain + veil`, the veil being haze."""

    gain: Colour
    veil: Colour

    def on(self, colour: Colour, factor: float = 1.0) -> tuple[int, int, int]:
        """Return the 8-bit colour in which a surface of some colour appears."""
        (r, g, b), (gr, gg, gb), (vr, vg, vb) = colour, self.gain, self.veil
        return (
            min(255, int(255 * (r * factor * gr + vr))),
            min(255, int(255 * (g * factor * gg + vg))),
            min(255, int(255 * (b * factor * gb + vb))),
        )


class Canvas:
    """An image and its mask, painted together."""

    def __init__(self, image: Image.Image, mask: np.ndarray) -> None:
        self.image, self.mask = image, Image.fromarray(mask)
        self._on_image, self._on_mask = ImageDraw.Draw(self.image), ImageDraw.Draw(self.mask)

    def polygon(
        self, points: Sequence[Point], colour: tuple[int, int, int], label: int | None
    ) -> None:
        """Fill a polygon of (column, row) corners; without a label the mask is not changed."""
        self._on_image.polygon(points, fill=colour)
        if label is not None:
            self._on_mask.polygon(points, fill=label)

    def paste(self, picture: Image.Image, stencil: Image.Image, corner: Point, label: int) -> None:
        """Paste a picture, its upper left at `corner`, where the stencil is set."""
        place = (round(corner[0]), round(corner[1]))
        self.image.paste(picture, place, stencil)
        self.mask.paste(
            label, (*place, place[0] + stencil.width, place[1] + stencil.height), stencil
        )


def draw_thing(canvas: Canvas, view: View, thing: Thing, light: Light) -> None:
    """Paint an object of any kind."""
    figure = _Billboard(canvas, view, thing, light)
    match thing:
        case Car():
            _draw_car(canvas, view, thing, light)
        case Person():
            _draw_person(figure, thing)
        case Lamp():
            _draw_lamp(figure, thing)
        case Sign():
            _draw_sign(figure, thing)
        case Tree():
            _draw_tree(figure, thing)


def half_width(thing: Thing) -> float:
    """Return half of the visible width of an object, in metres."""
    match thing:
        case Car():
            return 2.4 if thing.across else 0.9
        case Person():
            return 0.32
        case Lamp():
            return thing.width / 2
        case Sign():
            return thing.size / 2
        case Tree():
            return thing.radius


def shadow_outline(thing: Thing, lean: tuple[float, float]) -> list[Point]:
    """Return the (x, distance) corners of the ground in the shadow of an object.

    `lean` is the reach (across, along) of the shadow per metre of height.
    """
    match thing:
        case Car():
            left, right, near, far = car_footprint(thing)
            across, along = 0.5 * lean[0], 0.5 * lean[1]
            left, right = min(left, left + across) - 0.08, max(right, right + across) + 0.08
            near, far = min(near, near + along) - 0.12, max(far, far + along) + 0.12
            return [(left, near), (right, near), (right, far), (left, far)]
        case Person():
            return _streak(thing.x, thing.distance, 0.2, lean, thing.height)
        case Lamp() | Sign():
            return _streak(thing.x, thing.distance, thing.width / 2, lean, thing.height)
        case Tree():
            height = thing.stem + thing.radius
            x, distance = thing.x + lean[0] * height, thing.distance + lean[1] * height
            return [(x + thing.radius * c, distance + thing.radius * s) for c, s in _CIRCLE]


def _streak(
    x: float, distance: float, half: float, lean: tuple[float, float], height: float
) -> list[Point]:
    across, along = lean[0] * height, lean[1] * height
    return [
        (x - half, distance - 0.15),
        (x + half, distance - 0.15),
        (x + half, distance + 0.15),
        (x + across + half, distance + along + 0.15),
        (x + across - half, distance + along),
        (x - half, distance + 0.15),
    ]


class _Billboard:
    """A flat figure facing the camera; corners are metres right of and above its foot."""

    def __init__(self, canvas: Canvas, view: View, thing: Thing, light: Light) -> None:
        self.canvas, self.light = canvas, light
        self.column, self.row = view.project(thing.x, thing.distance, 0.0)
        self.scale = view.focal / thing.distance

    def fill(
        self, corners: Sequence[Point], colour: Colour, label: int | None, factor: float = 1.0
    ) -> None:
        points = [(self.column + self.scale * x, self.row - self.scale * y) for x, y in corners]
        self.canvas.polygon(points, self.light.on(colour, factor), label)

    def post(
        self, width: float, top: float, taper: float, colour: Colour, label: int, shade: float
    ) -> None:
        """Paint a post whose right half is darker; `taper` is the share of its width at the top."""
        half, end = width / 2, taper * (width / 2)
        self.fill([(-half, 0.0), (half, 0.0), (end, top), (-end, top)], colour, label)
        self.fill([(0.0, 0.0), (half, 0.0), (end, top), (0.0, top)], colour, None, shade)


def _bar(start: Point, end: Point, start_width: float, end_width: float) -> list[Point]:
    """Return the corners of a limb from one point to another, in metres."""
    across, up = end[0] - start[0], end[1] - start[1]
    length = math.hypot(across, up) or 1.0
    x, y = up / length / 2, -across / length / 2
    return [
        (start[0] - x * start_width, start[1] - y * start_width),
        (start[0] + x * start_width, start[1] + y * start_width),
        (end[0] + x * end_width, end[1] + y * end_width),
        (end[0] - x * end_width, end[1] - y * end_width),
    ]


def _draw_person(figure: _Billboard, person: Person) -> None:
    size, turn, stride = person.height / 1.75, person.turn, 0.2 * person.stride

    def part(corners: Sequence[Point], colour: Colour, factor: float = 1.0) -> None:
        figure.fill([(x * size, y * size) for x, y in corners], colour, PERSON, factor)

    shoe: Colour = (0.12, 0.11, 0.11)
    for side, factor in ((-1, 0.75), (1, 1.0)):
        foot = (side * (0.09 + stride * 0.9), 0.04)
        knee = (side * (0.10 + stride * 0.5), 0.48)
        part(_bar((side * 0.10 * turn, 0.92), knee, 0.24, 0.19), person.trousers, factor)
        part(_bar(knee, foot, 0.19, 0.15), person.trousers, factor)
        part(_bar(foot, (foot[0] + 0.06, 0.0), 0.16, 0.16), shoe)
        shoulder = (side * 0.26 * turn, 1.40)
        hand = (side * (0.30 * turn - stride * 0.6), 0.84)
        part(_bar(shoulder, hand, 0.15, 0.11), person.top, factor * 0.85)
        part(_bar(hand, (hand[0], hand[1] - 0.09), 0.09, 0.07), person.skin, factor)
    hips, chest = 0.20 * turn, 0.28 * turn
    part(
        [(-hips, 0.85), (hips, 0.85), (chest, 1.40), (0.1, 1.47), (-0.1, 1.47), (-chest, 1.40)],
        person.top,
    )
    part([(-0.05, 1.42), (0.05, 1.42), (0.05, 1.55), (-0.05, 1.55)], person.skin, 0.85)
    part([(0.105 * x, 1.62 + 0.125 * y) for x, y in _CIRCLE], person.skin)
    part([(0.115 * x, 1.64 + 0.13 * y) for x, y in _CIRCLE if y > -0.1], person.hair)


def _draw_lamp(figure: _Billboard, lamp: Lamp) -> None:
    reach, top, colour = lamp.reach, lamp.height, lamp.colour
    figure.post(lamp.width, top, 0.7, colour, POLE, 0.7)
    figure.fill(_bar((0.0, top - 0.12), (reach, top + 0.15), 0.2, 0.16), colour, POLE)
    head = _bar((reach - 0.4, top + 0.12), (reach + 0.4, top + 0.12), 0.26, 0.26)
    figure.fill(head, colour, POLE, 0.8)


_SQUARE = ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9))
_DIAMOND = ((0.0, -1.0), (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0))
_TRIANGLE = ((-1.0, -0.75), (1.0, -0.75), (0.0, 1.0))
_OCTAGON = tuple(
    (math.cos(math.pi * (2 * k + 1) / 8), math.sin(math.pi * (2 * k + 1) / 8)) for k in range(8)
)
_RED, _BLUE, _YELLOW, _WHITE, _ = SIGNALS
_INK: Colour = (0.10, 0.10, 0.10)

_PLATES: dict[SignShape, tuple[Sequence[Point], Colour, Colour, Colour]] = {
    # outline, border, field, symbol
    SignShape.PROHIBITION: (_CIRCLE, _RED, _WHITE, _INK),
    SignShape.WARNING: (_TRIANGLE, _RED, _WHITE, _INK),
    SignShape.MANDATORY: (_CIRCLE, _WHITE, _BLUE, _WHITE),
    SignShape.STOP: (_OCTAGON, _WHITE, _RED, _WHITE),
    SignShape.PRIORITY: (_DIAMOND, _WHITE, _YELLOW, _YELLOW),
    SignShape.PARKING: (_SQUARE, _WHITE, _BLUE, _WHITE),
}


def _draw_sign(figure: _Billboard, sign: Sign) -> None:
    radius = sign.size / 2
    figure.post(sign.width, sign.height + 0.6 * radius, 1.0, sign.colour, POLE, 0.75)

    def plate(corners: Sequence[Point], scale: float, colour: Colour, label: int | None) -> None:
        outline = [(scale * x, sign.height + scale * y) for x, y in corners]
        figure.fill(outline, colour, label)

    outline, border, field, symbol = _PLATES[sign.shape]
    plate(outline, radius, border, SIGN)
    plate(outline, radius * (0.74 if border == _RED else 0.88), field, None)
    bar = [(-0.5, -0.12), (0.5, -0.12), (0.5, 0.12), (-0.5, 0.12)]
    if sign.shape in (SignShape.WARNING, SignShape.MANDATORY, SignShape.PARKING):
        bar = [(-0.12, -0.5), (0.12, -0.5), (0.12, 0.5), (-0.12, 0.5)]
    plate(bar, radius, symbol, None)


_TONES = np.minimum(np.outer(np.arange(256), np.arange(256)) // 128, 255).astype(np.uint8)
"""`_TONES[tone][light]`: a tone in the light of a crown, of which 128 leaves it unchanged."""


def _draw_tree(figure: _Billboard, tree: Tree) -> None:
    figure.post(tree.width, tree.stem + 0.6 * tree.radius, 0.6, tree.bark, TREE, 0.7)
    edge = max(2, round(2 * tree.radius * figure.scale))
    shape = crowns()[tree.crown]
    alpha, shade = (Image.fromarray(a) for a in (shape.alpha, shape.light))
    if tree.flip:
        alpha, shade = (a.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for a in (alpha, shade))
    stencil = alpha.resize((edge, edge), Image.Resampling.NEAREST)
    shade = shade.resize((edge, edge), Image.Resampling.BILINEAR)
    tones = _TONES[list(figure.light.on(tree.leaves))]  # (3, 256)
    colours = tones.take(np.asarray(shade), axis=1)  # (3, edge, edge)
    middle = tree.stem + 0.85 * tree.radius
    corner = (figure.column - edge / 2, figure.row - figure.scale * middle - edge / 2)
    crown = Image.merge("RGB", [Image.fromarray(band) for band in colours])
    figure.canvas.paste(crown, stencil, corner, TREE)


def _draw_car(canvas: Canvas, view: View, car: Car, light: Light) -> None:
    for face in car_faces(car, view.scene.camera.x):
        points = [view.project(x, max(far, 0.5), height) for x, far, height in face.corners]
        label = CAR if face.outer else None
        canvas.polygon(points, light.on(face.colour, face.brightness), label)
