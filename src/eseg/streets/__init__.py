"""Procedural street scenes: a data set that is rendered on the fly.

Eleven classes in perspective, with occlusion, texture, weather and sensor noise. Road and pavement,
building and wall, tree and grass share their materials: only the layout of the street around them,
not a small patch, distinguishes these classes.
"""

from eseg.streets.classes import CLASSES
from eseg.streets.render import render_scene
from eseg.streets.street_split import Streets, StreetsConfig

__all__ = ["CLASSES", "Streets", "StreetsConfig", "render_scene"]
