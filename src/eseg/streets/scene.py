"""Description of a street scene in metres, independent of the picture's size.

Street coordinates: `x` to the right of the road's centre line, `distance` along the street from the
camera, `height` above the ground. Colours are linear-looking RGB in [0, 1] before light and haze.
"""

from __future__ import annotations

from dataclasses import dataclass

from eseg.streets.textures import Tile
from eseg.streets.things import Colour, Thing

NOTHING = -1
"""Index of a missing surface."""


@dataclass(frozen=True)
class Surface:
    """A material with a class.

    Attributes:
        label: Class id.
        colour: Mean colour in full light.
        tile: Texture.
        density: Texels per metre.
        contrast: Strength of the texture.
        mirror: Share of the sky's colour that a glass surface reflects.
    """

    label: int
    colour: Colour
    tile: Tile = Tile.PLASTER
    density: float = 32.0
    contrast: float = 0.1
    mirror: float = 0.0


@dataclass(frozen=True)
class Facade:
    """A grid of windows.

    Attributes:
        pitch: Metres from one window to the next.
        width: Share of the pitch that is glass.
        storey: Height of a storey.
        base: Height of the first storey with windows.
        sill: Lower border of the glass as a share of the storey.
        head: Upper border of the glass as a share of the storey.
        glass: Index of the windows' surface.
        frame: Index of the surface around the glass.
        shop: Index of the surface of the shop windows below `base`, or `NOTHING`.
        awning: Index of the surface of the board above the shop windows.
        pipe: Index of the surface of the downpipes, or `NOTHING`.
    """

    pitch: float
    width: float
    storey: float
    base: float
    sill: float
    head: float
    glass: int
    frame: int
    shop: int = NOTHING
    awning: int = NOTHING
    pipe: int = NOTHING


@dataclass(frozen=True)
class Segment:
    """A stretch of a vertical plane, from `start` to the next segment's start.

    Attributes:
        start: Distance (`x` on the plane that closes the street) at which it begins.
        surface: Index of its surface, or `NOTHING` for a gap.
        height: Height in metres.
        cap: Index of the surface above `height`: a roof or coping stones.
        cap_height: Height of the cap in metres.
        facade: Its windows, if any.
        ragged: Variation of the height in metres, for tree tops.
    """

    start: float
    surface: int
    height: float = 0.0
    cap: int = NOTHING
    cap_height: float = 0.0
    facade: Facade | None = None
    ragged: float = 0.0


@dataclass(frozen=True)
class Plane:
    """A row of houses, walls or trees along the street.

    Attributes:
        x: Its distance from the road's centre line; negative on the left.
        segments: Stretches in ascending order.
        solid: True if the segment after a gap shows its side in it, as houses do but walls do not.
    """

    x: float
    segments: tuple[Segment, ...]
    solid: bool


@dataclass(frozen=True)
class Crossing:
    """A side street.

    Attributes:
        start: Distance of its near building line.
        end: Distance of its far building line.
        left: True if it opens to the left.
        right: True if it opens to the right.
        pavement: Width of the pavement along both building lines.
        zebra: True if there is a zebra crossing before it.
    """

    start: float
    end: float
    left: bool
    right: bool
    pavement: float
    zebra: bool


@dataclass(frozen=True)
class Ground:
    """Strips of ground along the street.

    Attributes:
        edges: Ascending `x` of the borders between strips.
        strips: Surface index of each strip, one more than `edges`.
        half_width: From the centre line to the kerb.
        road: Index of the surface of the carriageway.
        pavement: Index of the surface of the pavements.
        paint: Index of the surface of road markings.
        dash: (length, period) in metres of the dashed centre line, or None.
    """

    edges: tuple[float, ...]
    strips: tuple[int, ...]
    half_width: float
    road: int
    pavement: int
    paint: int
    dash: tuple[float, float] | None


@dataclass(frozen=True)
class Camera:
    """Position and properties of the camera.

    Attributes:
        x: Position across the street.
        height: Metres above the ground.
        focal: Focal length as a multiple of the geometric mean of height and half the width.
        horizon: Row of the horizon as a share of the picture's height.
        vanish: Column of the vanishing point as a share of the picture's width.
        roll: Slope of the horizon.
        noise: Standard deviation of the sensor noise in mid-grey, in grey levels.
        exposure: Factor on the light of each colour band: exposure and white balance.
        bonnet: Share of the picture's height that the own car's bonnet covers, 0 for none.
    """

    x: float
    height: float
    focal: float
    horizon: float
    vanish: float
    roll: float
    noise: float
    exposure: Colour
    bonnet: float


@dataclass(frozen=True)
class Weather:
    """Sky and light.

    Attributes:
        zenith: Colour of the sky above.
        horizon: Colour of the sky at the horizon, and of the haze.
        clouds: Colour of the clouds.
        cover: Share of the sky that clouds cover, in about [0, 1].
        ambient: Light from the whole sky.
        sun: Light from the sun.
        side: Side of the sun: -1 left, 1 right.
        elevation: Tangent of the sun's elevation across the street.
        skew: Shift of shadows along the street per metre of their width.
        haze: Distance in metres at which 63 % of an object's light is lost.
    """

    zenith: Colour
    horizon: Colour
    clouds: Colour
    cover: float
    ambient: Colour
    sun: Colour
    side: int
    elevation: float
    skew: float
    haze: float


@dataclass(frozen=True)
class Scene:
    """A whole street.

    Attributes:
        camera: The viewpoint.
        weather: Sky and light.
        surfaces: All materials; index 0 is the sky.
        ground: Strips of ground.
        planes: From the farthest to the nearest on each side.
        backdrop: Plane that closes the street; its segments are ordered by `x`.
        end: Distance of the backdrop.
        curve: The street's centre line lies at `curve * distance**2`.
        crossing: A side street, if any.
        things: All objects on the ground.
        grain: Offset into noise and cloud tiles, which differs between scenes.
    """

    camera: Camera
    weather: Weather
    surfaces: tuple[Surface, ...]
    ground: Ground
    planes: tuple[Plane, ...]
    backdrop: Plane
    end: float
    curve: float
    crossing: Crossing | None
    things: tuple[Thing, ...]
    grain: tuple[int, int]
