"""Functions that return PyG `Data`: bundled, made, or read from uniform files; splits and checks.

Nothing is imported here, so that reading one data set does not load what another needs.
"""
