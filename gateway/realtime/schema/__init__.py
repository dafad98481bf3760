"""The published schema of the protocol, `realtime-events.json`: every event of both dialects.

Generated from the types of the `openai` package (its `generated_from` says which version).
Where the live service sends more than those types have, an event says so under `wire`.
"""
