"""`config.toml` as typed structs.

The docstring of each field is its documentation, from which `docs/configuration.md` is generated. The settings of a
kind (a backend, an embedder, a store) are defined beside the kind's class. In this package they are `KindTable`s, which
`adapters` decodes.
"""
