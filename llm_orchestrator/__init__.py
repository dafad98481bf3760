"""Turns a conversation into the assistant's next words: prompts, providers, failover, tools.

It holds no conversation: a request carries its whole context. It does not speak to
clients of the mesh and does not store anything.
"""
