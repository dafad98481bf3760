"""The REST side: what clients ask over plain HTTP. One module for each kind of thing.

A handler that wants to know who is asking says

    who = await auth.who(request)                 # auth.Who: tenant, preset; Refused if nobody
    who = await auth.who(request, secrets=False)  # only who holds an API key

and raises `Refused` for what it will not do: `answers.middleware` makes it the error body
of the OpenAI API with the right status. No WebSocket is served here.
"""
