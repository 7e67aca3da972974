"""Backends for the APIs of cloud providers, and the tokens and signatures that they need."""
