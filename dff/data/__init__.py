"""Data: captures checked and read, the cache of teachers' feature maps, generated scenes.

Rays with their colour and feature targets leave this room for training; it knows nothing of models,
queries or edits. Import what is needed from its modules: some of them load nerfstudio, some do not.
"""
