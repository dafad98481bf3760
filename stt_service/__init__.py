"""Speech to text: voice activity, endpointing and transcription behind one gRPC service.

It knows audio and words. It knows nothing of sessions, replies or who is speaking.
"""
