"""Envoy's configuration for mTLS and forwarding alone. Knows Envoy's v3 API; starts nothing."""

from __future__ import annotations

from .certificates import Issued

API = "type.googleapis.com/envoy.extensions"
HTTP_MANAGER = f"{API}.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = f"{API}.filters.http.router.v3.Router"
DOWNSTREAM_TLS = f"{API}.transport_sockets.tls.v3.DownstreamTlsContext"


def config(port: int, upstream: str, pems: Issued) -> dict[str, object]:
    """TLS 1.3 with a required client certificate, one route, one HTTP/1.1 cluster, no access log."""
    listener = {"name": "https", "address": _address(port), "filter_chains": [_chain(pems)]}
    endpoint = {"endpoint": {"address": _address(int(upstream.rpartition(":")[2]))}}
    cluster = {
        "name": "openai",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "openai", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _chain(pems: Issued) -> dict[str, object]:
    route = {"match": {"prefix": "/"}, "route": {"cluster": "openai", "timeout": "0s"}}
    http = {
        "@type": HTTP_MANAGER,
        "stat_prefix": "bench",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}}],
    }
    return {
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": http}],
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": _tls(pems)},
    }


def _tls(pems: Issued) -> dict[str, object]:
    server = {
        "certificate_chain": {"filename": str(pems.server_cert)},
        "private_key": {"filename": str(pems.server_key)},
    }
    return {
        "@type": DOWNSTREAM_TLS,
        "require_client_certificate": True,
        "common_tls_context": {
            "tls_params": {
                "tls_minimum_protocol_version": "TLSv1_3",
                "tls_maximum_protocol_version": "TLSv1_3",
            },
            "tls_certificates": [server],
            "validation_context": {"trusted_ca": {"filename": str(pems.client.ca)}},
            "alpn_protocols": ["http/1.1"],
        },
    }


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
