"""Names of the data sets that need no YAML, as the command line lists them.

The module imports nothing, so that the help of the command line is quick; the records are in
`eseg.config.named_sets`.
"""

DATASET_NAMES = ("streets", "cityscapes", "ade20k", "vistas", "vistas_v2", "camvid")
