"""`config.toml` as typed structs.

The string below a field is its documentation, from which `docs/configuration.md` is generated. The settings of a kind
(a backend, an embedder, a store) stand beside the kind's class. Here they are `KindTable`s, which `adapters` decodes.
"""
