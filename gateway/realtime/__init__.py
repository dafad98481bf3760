"""The OpenAI Realtime protocol as a state machine. No I/O, no clock, no randomness.

    effects = session.receive(event)

`event` is something the client sent (`client_events.py`) or something a backend
reported (`signals.py`); `effects` (`effects.py`) is all that must now be done, in
order. `gateway.connection` does it.
"""
