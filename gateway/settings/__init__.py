"""`config.toml` as typed structs.

Each field's docstring is its documentation: `docs/configuration.md` is generated from it. The settings of a kind (a
backend, an embedder, a store) stand beside its class; here they are `KindTable`s, which `adapters` decodes.
"""
