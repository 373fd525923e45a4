"""Repainting by text: a copy of the colour branch is trained until pictures match the words.

Glue above edits, fields and teachers: it renders a scene's selection, never changes the scene, and
knows neither windows nor command lines. What it leaves is a small file that an edit document uses.
"""
