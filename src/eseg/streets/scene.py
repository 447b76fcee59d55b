"""Description of a street scene in metres, independent of the picture's size.

Street coordinates: `x` to the right of the road's centre line, `distance` along the street from the
camera, `height` above the ground. Surfaces are given by their index in `Scene.surfaces`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from eseg.streets.textures import Tile

Colour: TypeAlias = tuple[float, float, float]
"""Linear-looking RGB in [0, 1], before light and haze."""

NOTHING = -1
"""Index of a missing surface."""

LEFT, RIGHT = -1, 1


@dataclass(frozen=True)
class Surface:
    """A material with a class."""

    label: int  # class id
    colour: Colour  # mean colour in full light
    tile: Tile = Tile.PLASTER
    density: float = 32.0  # texels per metre
    contrast: float = 0.1  # strength of the texture
    mirror: float = 0.0  # share of the sky's colour that a glass surface reflects


@dataclass(frozen=True)
class Facade:
    """A grid of windows."""

    pitch: float  # metres from one window to the next
    width: float  # share of the pitch that is glass
    storey: float  # height of a storey
    base: float  # height of the first storey with windows
    sill: float  # lower border of the glass as a share of the storey
    head: float  # upper border of the glass as a share of the storey
    glass: int  # surface of the windows
    frame: int  # surface around the glass
    shop: int = NOTHING  # surface of the shop windows below `base`
    awning: int = NOTHING  # surface of the board above the shop windows
    pipe: int = NOTHING  # surface of the downpipes


@dataclass(frozen=True)
class Segment:
    """A stretch of a vertical plane, from `start` to the next segment's start."""

    start: float  # distance; `x` on the plane that closes the street
    surface: int  # `NOTHING` for a gap
    height: float = 0.0
    cap: int = NOTHING  # surface above `height`: a roof or coping stones
    cap_height: float = 0.0
    facade: Facade | None = None
    ragged: float = 0.0  # variation of the height in metres, for tree tops


@dataclass(frozen=True)
class Plane:
    """A row of houses, walls or trees along the street."""

    x: float
    segments: tuple[Segment, ...]  # in ascending order
    solid: bool  # True if a gap shows the side of the segment after it, as between houses


@dataclass(frozen=True)
class Crossing:
    """A side street."""

    start: float  # distance of its near building line
    end: float  # distance of its far building line
    left: bool  # True if it opens to the left
    right: bool  # True if it opens to the right
    pavement: float  # width of the pavement along both building lines
    zebra: bool  # True if there is a zebra crossing before it


@dataclass(frozen=True)
class Corridor:
    """Ground plan of a street: widths from the centre line outwards; pairs are (left, right)."""

    half_width: float  # from the centre line to the kerb
    kerb: float  # width of the kerb stones; 0 in an alley
    verge: tuple[float, float]  # grass between kerb and pavement
    pavement: tuple[float, float]
    pedestrian: bool = False  # True if the whole width is pavement
    blind: int = 0  # side of an alley's windowless masonry; 0 in any other street
    crossing: Crossing | None = None

    def borders(self, side: int) -> tuple[float, float, float, float]:
        """Return distances from the centre line to kerb, verge, pavement and building line."""
        index = side > 0
        kerb = self.half_width
        verge = kerb + self.kerb
        pavement = verge + self.verge[index]
        return kerb, verge, pavement, pavement + self.pavement[index]

    def in_crossing(self, distance: float, margin: float = 0.0) -> bool:
        """Return whether the side street, if any, is at a distance or within a margin of it."""
        crossing = self.crossing
        return crossing is not None and crossing.start - margin < distance < crossing.end + margin


@dataclass(frozen=True)
class Ground:
    """Strips of ground along the street."""

    edges: tuple[float, ...]  # ascending `x` of the borders between strips
    strips: tuple[int, ...]  # surface of each strip, one more than `edges`
    half_width: float  # from the centre line to the kerb
    road: int  # surface of the carriageway
    pavement: int  # surface of the pavements
    paint: int  # surface of road markings
    dash: tuple[float, float] | None  # (length, period) in metres of the dashed centre line


@dataclass(frozen=True)
class Camera:
    """Position and properties of the camera."""

    x: float
    height: float
    focal: float  # focal length over the geometric mean of the picture's height and half its width
    horizon: float  # row of the horizon as a share of the picture's height
    vanish: float  # column of the vanishing point as a share of the picture's width
    roll: float  # slope of the horizon
    noise: float  # standard deviation of the sensor noise in mid-grey, in grey levels
    exposure: Colour  # factor on the light of each colour band: exposure and white balance
    bonnet: float  # share of the picture's height that the own car's bonnet covers


@dataclass(frozen=True)
class Weather:
    """Sky and light."""

    zenith: Colour  # of the sky above
    horizon: Colour  # of the sky at the horizon, and of the haze
    clouds: Colour
    cover: float  # share of the sky that clouds cover, in about [0, 1]
    ambient: Colour  # light from the whole sky
    sun: Colour  # light from the sun
    side: int  # side of the sun, `LEFT` or `RIGHT`
    elevation: float  # tangent of the sun's elevation across the street
    skew: float  # shift of shadows along the street per metre of their width
    haze: float  # distance in metres at which 63 % of an object's light is lost


CarShape = Enum("CarShape", "SALOON HATCHBACK SUV VAN")
SignShape = Enum("SignShape", "PROHIBITION WARNING MANDATORY STOP PRIORITY PARKING")


@dataclass(frozen=True)
class Car:
    """A car; its `distance` is that of its nearest point."""

    x: float
    distance: float
    shape: CarShape
    colour: Colour
    away: bool  # True if it drives away from the camera or, if `across`, to the right
    across: bool  # True if it drives across the street


@dataclass(frozen=True)
class Person:
    """A pedestrian."""

    x: float
    distance: float
    height: float
    top: Colour
    trousers: Colour
    skin: Colour
    hair: Colour
    stride: float  # opening of the legs, in [-1, 1]
    turn: float  # factor on the width of the shoulders


@dataclass(frozen=True)
class Lamp:
    """A lamp pole with an arm."""

    x: float
    distance: float
    height: float
    width: float
    colour: Colour
    reach: float  # metres sideways to the arm's end


@dataclass(frozen=True)
class Sign:
    """A traffic sign on its own post."""

    x: float
    distance: float
    height: float  # of the sign's centre
    size: float  # of the sign
    shape: SignShape
    width: float  # of the post
    colour: Colour  # of the post


@dataclass(frozen=True)
class Tree:
    """A street tree."""

    x: float
    distance: float
    radius: float  # of the crown
    stem: float  # height of the stem
    width: float  # of the stem
    crown: int  # shape of the crown, see `textures.crowns`
    flip: bool  # True if the crown is mirrored
    leaves: Colour
    bark: Colour


Thing: TypeAlias = Car | Person | Lamp | Sign | Tree


@dataclass(frozen=True)
class Scene:
    """A whole street."""

    camera: Camera
    weather: Weather
    surfaces: tuple[Surface, ...]  # index 0 is the sky
    ground: Ground
    planes: tuple[Plane, ...]  # from the farthest to the nearest on each side
    backdrop: Plane  # closes the street; its segments are ordered by `x`
    end: float  # distance of the backdrop
    curve: float  # the street's centre line lies at `curve * distance**2`
    crossing: Crossing | None
    things: tuple[Thing, ...]  # all objects on the ground
    grain: tuple[int, int]  # offset into noise and cloud tiles, which differs between scenes
