"""Sends datagrams through a SOCKS5 proxy (PySocks) and prints what came back as JSON.

usage: udp_client.py PROXY_HOST PROXY_PORT USER PASSWORD HOST PORT MESSAGE...
"""

import json
import socket
import sys

import socks


def main() -> None:
    proxy_host, proxy_port, user, password, host, port, *messages = sys.argv[1:]
    client = socks.socksocket(socket.AF_INET, socket.SOCK_DGRAM)
    client.set_proxy(socks.SOCKS5, proxy_host, int(proxy_port), username=user, password=password)
    client.settimeout(20)
    answers = []
    for message in messages:
        client.sendto(message.encode(), (host, int(port)))
        answer, _ = client.recvfrom(65536)
        answers.append(answer.decode())
    print(json.dumps(answers))


main()
