"""Where strangers come from, for what is counted by that: an IPv4 address, or the /64 that one customer of IPv6 gets."""

import ipaddress

NETWORK_BITS = 64


def neighbourhood(host: str) -> str:
    """Return what a caller's address is counted under; what is no address, such as a local socket, is one by itself."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, NETWORK_BITS), strict=False))


def of_peer(peer: str) -> str:
    """Return the same for a peer as gRPC names it, such as ipv4:192.0.2.1:5000 or ipv6:%5B2001:db8::1%5D:5000."""
    host = peer.partition(":")[2].rpartition(":")[0]
    return neighbourhood(host.removeprefix("%5B").removesuffix("%5D").strip("[]"))
