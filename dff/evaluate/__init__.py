"""Figures: pictures and masks against ground truth.

Pure functions on arrays below, and the scoring of whole scenes above; nothing here trains.
"""

from dff.evaluate.masks import Confusion, intersection_over_union
from dff.evaluate.pictures import psnr

__all__ = ["Confusion", "intersection_over_union", "psnr"]
