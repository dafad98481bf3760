"""Keeps what happened: facts from the Redis Streams go to PostgreSQL, history comes back over gRPC.

    facts ⇒ consumer → rows → store ⇒ PostgreSQL → ack
    caller ⇒ servicer → store → rows ⇒ caller

A fact is stored once, however often it is delivered. Nothing here waits for a turn and no
turn waits for this; sessions and live replies are the gateway's.
"""
