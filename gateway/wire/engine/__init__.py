"""Requests to the engines that run in the gateway's process, and the answers of these engines, as JSON."""
