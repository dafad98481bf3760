"""The TTS tier: text segmentation, synthesis, speech timing.

It knows nothing of sessions: one stream speaks one reply, and any worker can take it.
"""
