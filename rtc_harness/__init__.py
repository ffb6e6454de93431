"""A client of the public contract: places real WebRTC calls and measures them from outside.

It knows the server only through ``docs/contract.md``; the one thing it may import from
``rtc_server`` is ``rtc_server.messages``.  The way in for tests and other programs is
:class:`rtc_harness.client.RtcClient`, for the command line :mod:`rtc_harness.cli`.
"""
