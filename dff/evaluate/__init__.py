"""Figures: pictures and masks against ground truth.

Pure functions on arrays below, and the scoring of whole scenes above; nothing here trains.
"""

from dff.evaluate.masks import Confusion, boundary_iou, intersection_over_union
from dff.evaluate.pictures import psnr

__all__ = ["Confusion", "boundary_iou", "intersection_over_union", "psnr"]
