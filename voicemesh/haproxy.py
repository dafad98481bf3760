"""HAProxy before several gateways: its configuration.

The configuration is the file deploy/haproxy/haproxy.cfg, word for word: what `voicemesh up
--haproxy` runs is what one deploys. Addresses and limits are variables of its environment.
"""

from __future__ import annotations

from pathlib import Path

BACKEND = "gateways"
SLOTS = 64
"""Places for gateways: as many processes as one HAProxy can send clients to."""

_GLOBAL = """\
# HAProxy 2.6 and later, before several gateways. Made by voicemesh/haproxy.py, which
# `voicemesh up --haproxy` runs too; a test holds the two to each other.
#
# A session stays with one gateway: clients are sent by a hash of their session's id, and a new
# session gets its id here, so that it comes back to where it was. Should that gateway be
# gone, the next one takes the session over.
#
# Gateways come and go without a reload: `voicemesh balance`, beside this, puts those that are
# listed in Redis into the prepared places below. In Kubernetes see haproxy-kubernetes.cfg.
#
# Variables, all with a default:
#   HAPROXY_HTTP, HAPROXY_HTTPS  where clients connect
#   HAPROXY_CERT                 certificate, chain and private key in one PEM file
#   HAPROXY_PRIVATE              metrics and statistics, for operators only
#   HAPROXY_ADMIN                the socket that `voicemesh balance` talks to
#   HAPROXY_MAXCONN              clients in all; two file descriptors each
#   HAPROXY_SOURCE_MAX           clients of one address at a time
#   HAPROXY_SOURCE_RATE          new requests of one address in ten seconds
#   HAPROXY_SLOWSTART            how long a gateway that joins takes to get its whole share

global
    maxconn "${HAPROXY_MAXCONN-100000}"
    no strict-limits    # with fewer descriptors it says so and serves fewer
    log stdout format raw local0 warning
    stats socket "${HAPROXY_ADMIN-/run/haproxy/admin.sock}" mode 600 level admin
    ssl-default-bind-options ssl-min-ver TLSv1.3 no-tls-tickets
    # A reload must not cut calls: the old process stays as long as a session may last.
    hard-stop-after 65m

defaults
    mode http
    log global
    # Paths without what follows a question mark: some clients put their keys there.
    log-format "%ci:%cp %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %tsc %fc/%bc/%sc/%rc %HM %HPO"
    option log-separate-errors
    option dontlognull
    timeout client 30s
    timeout http-request 5s     # the gateways have none of their own
    timeout http-keep-alive 30s
    timeout queue 2s
    timeout client-fin 5s
    timeout check 400ms
    # Of WebSockets. A gateway pings clients after five minutes of silence and hangs up on those
    # that do not answer; this must be longer.
    timeout tunnel 70m

frontend edge
    bind "${HAPROXY_HTTP-:8080}" backlog 16384
"""

_TLS = """\
    bind "${HAPROXY_HTTPS-:8443}" ssl crt "${HAPROXY_CERT-/etc/haproxy/site.pem}" alpn http/1.1 backlog 16384
"""  # noqa: E501 - HAProxy joins no lines

_EDGE = """\

    stick-table type ipv6 size 200k expire 30s store conn_cur,http_req_rate(10s)
    http-request track-sc0 src
    http-request deny deny_status 429 if { sc_conn_cur(0) gt "${HAPROXY_SOURCE_MAX-5000}" }
    http-request deny deny_status 429 if { sc_http_req_rate(0) gt "${HAPROXY_SOURCE_RATE-2000}" }

    # What gateways tell operators is not for clients.
    http-request deny deny_status 404 unless { path -m beg /v1/ /openai/ }

    # Whose session this is. What a client names is hashed whatever it looks like: that there is
    # no such session the gateway says on the WebSocket, where browsers can see it.
    http-request set-var(txn.sid) url_param(session_id)
    http-request set-var(txn.sid) url_param(conversation_id) unless { var(txn.sid) -m len 1: }
    http-request set-var(txn.sid) url_param(call_id) unless { var(txn.sid) -m len 1: }
    http-request set-var(txn.sid) req.hdr(x-session-id) unless { var(txn.sid) -m len 1: }

    # A new session gets its id here. Only we may say so.
    http-request del-header x-new-session-id
    http-request set-var(txn.new) uuid() unless { var(txn.sid) -m len 1: }
    http-request set-var-fmt(txn.sid) sess_%[var(txn.new),regsub(-,,g)] if { var(txn.new) -m found }
    http-request set-header x-new-session-id %[var(txn.sid)] if { var(txn.new) -m found }

    http-request del-header x-forwarded-for
    option forwardfor
    http-request set-header x-forwarded-proto https if { ssl_fc }
    http-request set-header x-forwarded-proto http unless { ssl_fc }
    default_backend gateways
"""

_BACKEND = """\

backend gateways
    balance hash var(txn.sid)
    hash-type consistent sdbm avalanche
    # The weight makes the hash even: 512 points of the ring each. No gateway gets more than 2.5
    # times its share of open sessions. It must be above 2: when one of two has just died and
    # still counts, the other one has twice its share already.
    hash-balance-factor 250

    # A handshake is answered in milliseconds. A gateway that hangs or was killed costs nobody a
    # connection: after two seconds, or at once, another one is asked.
    timeout connect 500ms    # also the rest before the next attempt
    timeout server 2s
    retries 3
    option redispatch 1
    retry-on conn-failure empty-response response-timeout
    # REST calls work for longer before they answer, and are not begun twice.
    http-request set-timeout server 300s unless { hdr(upgrade) -m str -i websocket }
    http-request disable-l7-retry unless { hdr(upgrade) -m str -i websocket }

    option httpchk
    http-check send meth GET uri /readyz ver HTTP/1.1 hdr host gateway
    http-check expect status 200
    # 404 is a gateway that drains: those it has stay, nobody new is sent.
    http-check disable-on-404
    default-server check inter 500ms fastinter 200ms downinter 500ms fall 2 rise 2
    default-server weight 32 slowstart "${HAPROXY_SLOWSTART-20s}"
    # Who refuses clients is gone, and is not asked again before it passes checks.
    default-server observe layer4 error-limit 3 on-error mark-down

"""

_PLACES = """\
    # Places for `voicemesh balance` to fill. The hash goes by id: an id never moves.
"""

_PRIVATE = """\

frontend private
    bind "${HAPROXY_PRIVATE-127.0.0.1:8404}"
    timeout client 10s
    # Whether anybody can be served at all.
    monitor-uri /healthz
    monitor fail if { nbsrv(gateways) lt 1 }
    http-request use-service prometheus-exporter if { path /metrics }
    stats enable
    stats uri /stats
    stats refresh 5s
"""

_RESOLVERS = """\

resolvers cluster
    parse-resolv-conf
    accepted_payload_size 8192
    hold valid 2s
    hold obsolete 2s
    timeout resolve 1s
    timeout retry 500ms
"""

_PODS = """\
    # The pods of the StatefulSet `gateway`, by their own names: a place's id is its pod's number,
    # so that every HAProxy sends a session to the same pod. Those that are not there yet have no
    # address, and join within seconds of their start. One process each: set GATEWAY_PROCESSES=1,
    # and more pods instead of more processes.
"""


def config(*, tls: bool = True, slots: int = SLOTS) -> str:
    """deploy/haproxy/haproxy.cfg.

    Args:
        tls: Whether clients can also connect over TLS.
        slots: How many gateways there is room for.
    """
    places = "".join(f"    server gw{n} 127.0.0.1:1 id {n} disabled\n" for n in range(1, slots + 1))
    return _GLOBAL + (_TLS if tls else "") + _EDGE + _BACKEND + _PLACES + places + _PRIVATE


def kubernetes_config(pods: int = 32) -> str:
    """deploy/haproxy/haproxy-kubernetes.cfg."""
    places = "".join(
        f'    server gw{n} "gateway-{n}.gateway.${{NAMESPACE-default}}.svc.cluster.local:8080"'
        f" id {n + 1} resolvers cluster init-addr none\n"
        for n in range(pods)
    )
    return _GLOBAL + _TLS + _EDGE + _BACKEND + _PODS + places + _RESOLVERS + _PRIVATE


if __name__ == "__main__":
    folder = Path(__file__).parents[1] / "deploy" / "haproxy"
    (folder / "haproxy.cfg").write_text(config())
    (folder / "haproxy-kubernetes.cfg").write_text(kubernetes_config())
