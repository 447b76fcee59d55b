"""Procedural street scenes: the embedded data set, made on the fly.

Eleven classes in perspective, with occlusion, texture, weather and sensor noise. Road and pavement,
building and wall, tree and grass share their materials, so that a small patch does not tell them
apart: the layout of the street around it does.
"""

from eseg.streets.classes import CLASSES
from eseg.streets.render import render_scene
from eseg.streets.street_split import Streets, StreetsConfig

__all__ = ["CLASSES", "Streets", "StreetsConfig", "render_scene"]
