"""Speech to text: voice activity, endpointing and transcription behind one gRPC service.

It knows audio and words. It knows nothing of sessions, replies or who is speaking.

    servicer → stream → listener → vad, endpointing   where speech begins and ends
                        listener → pending            utterances without an outcome, in order
                                   pending → utterance → worker → engines
                        listener → pauses → turn_taking   semantic endpointing
                                   utterance → details → speakers   what is told besides text
    what they tell each other is `hearing`; positions go through `timeline`, which has audio
    cleaned by `denoise`; `wire` is protobuf

One call is a `Stream`: it reads messages, gives their audio to its `Listener` and writes
what that reports. The `Listener` cuts audio into `Utterance`s and has `Pending` follow each
in a task of its own; an `Utterance` hears itself with one engine of the `Worker` after the
other, on their threads, until one gives it text.
"""
