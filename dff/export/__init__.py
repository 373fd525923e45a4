"""The edited scene as files that other programs open: points, a mesh, Gaussian splats.

Glue above `dff.scene`: training cameras are rendered with the edits applied, and what their depth
shows is fused here by plain functions on tensors. Nothing here may change a scene or a document.
"""
