"""One OpenSSL context for the DTLS of all calls, each with a certificate of its own.

Read in **aiortc 1.16.0**; ``tests/peer/test_aiortc_internals.py`` fails loudly
when one of these is gone or behaves otherwise:

====================================================  =====================================
private name                                          what for
====================================================  =====================================
``RTCPeerConnection.__certificates``,                 the call's own, put into its
``RTCCertificate._cert, ._key``,                      connection alone
``RTCDtlsTransport._ssl``
``RTCCertificate._create_ssl_context``,               the context, which takes peers with an
``rtcdtlstransport.SSL``                              RSA certificate
====================================================  =====================================
"""

from __future__ import annotations

import functools
from typing import Any

import aiortc.rtcdtlstransport as dtls_module
from aiortc import RTCPeerConnection
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsTransport, SRTPProtectionProfile

from .aiortc_internals import transports

__all__ = ["share_ssl_context"]

_RSA_SUITES = b"ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305:ECDHE-RSA-AES128-SHA"
_ECDSA_SUITES = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:"
    b"ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA"
)


def share_ssl_context(pc: RTCPeerConnection) -> None:
    """Have DTLS done with one OpenSSL context for all calls; call when there are transports.

    aiortc makes a context for each call and puts the certificate into it.  Here the call's
    certificate and key, which are its own as before, are put into its connection alone.

    aiortc offers ECDSA suites only, so that the handshake with a peer whose certificate is
    RSA (GStreamer 1.22) fails whenever aiortc is the DTLS client: the context offers both.
    """
    [certificate] = pc._RTCPeerConnection__certificates  # type: ignore[attr-defined]
    fingerprints = certificate.getFingerprints()
    certificate.getFingerprints = lambda: fingerprints  # is asked for them four times
    certificate._create_ssl_context = _ssl_context
    for transport in transports(pc):
        transport.on("statechange", functools.partial(_certify, transport, certificate))


def _certify(transport: RTCDtlsTransport, certificate: RTCCertificate) -> None:
    """Set the certificate: the connection is there, and has said nothing yet."""
    if transport.state == "connecting":
        connection = transport._ssl
        assert connection is not None
        connection.use_certificate(certificate._cert)
        connection.use_privatekey(certificate._key)


def _ssl_context(srtp_profiles: list[SRTPProtectionProfile]) -> Any:
    return _shared_ssl_context(b":".join(one.openssl_profile for one in srtp_profiles))


@functools.cache
def _shared_ssl_context(srtp_profiles: bytes) -> Any:
    ssl: Any = dtls_module.SSL  # type: ignore[attr-defined]
    context = ssl.Context(ssl.DTLS_METHOD)
    # No session of one call is ever taken up by another.
    context.set_options(ssl.OP_NO_TICKET)
    context.set_session_cache_mode(ssl.SESS_CACHE_OFF)
    # Any certificate: aiortc compares it with the fingerprint in the SDP.
    context.set_verify(ssl.VERIFY_PEER | ssl.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *args: True)
    context.set_cipher_list(_ECDSA_SUITES + b":" + _RSA_SUITES)
    context.set_tlsext_use_srtp(srtp_profiles)
    return context
