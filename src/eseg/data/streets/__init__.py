"""Procedural street scenes: the embedded data set, made on the fly.

Eleven classes in perspective, with occlusion, texture, weather and sensor noise. Road and pavement,
building and wall, tree and grass share their materials, so that a small patch does not tell them
apart: the layout of the street around it does.
"""

from eseg.data.streets.classes import CLASSES
from eseg.data.streets.dataset import Streets, StreetsConfig
from eseg.data.streets.render import render_scene

__all__ = ["CLASSES", "Streets", "StreetsConfig", "render_scene"]
