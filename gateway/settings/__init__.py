"""`config.toml` as typed structs.

The string below a field is its documentation, from which `docs/configuration.md` is generated. The settings of a
backend, an embedder or a store are defined beside its class. This package reads them as `KindTable`s, which `adapters`
decodes.
"""
