"""A stand-in for the Gemini Live API, with a mind of its own and bad days.

ADK's ``Gemini`` and Google's client talk to it over a real TLS WebSocket::

    async with StandIn.running(folder, days=[Day(at(Moment.MID_ANSWER, Close(1011)))]) as api:
        for name, value in api.environment.items():
            monkeypatch.setenv(name, value)

``wire`` reads and writes the JSON of both dialects, ``live_model`` is the conversation as a
state machine without a clock or a socket, ``mind`` is what it knows and says, ``misbehaviour``
the vocabulary of what goes wrong, ``server`` the thin shell around them.
``python -m tests.gemini`` runs it in a process of its own.
"""
