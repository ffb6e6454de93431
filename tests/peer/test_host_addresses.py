"""The addresses of this machine, as the kernel lists them."""

from __future__ import annotations

import ipaddress
import shutil
import socket
import subprocess
from collections.abc import Iterator

import pytest

from rtc_server.peer import host_addresses as module
from rtc_server.peer.host_addresses import host_addresses


def test_the_kernel_and_ifaddr_name_the_same_addresses() -> None:
    """One is asked where there is netlink, the other elsewhere."""
    assert sorted(module._dumped()) == sorted(module._listed())


def test_loopback_and_link_local_addresses_are_left_out() -> None:
    for text in host_addresses():
        address = ipaddress.ip_address(text)
        assert text not in ("127.0.0.1", "::1")
        assert address.version == 4 or not address.is_link_local


def test_one_ip_version_can_be_left_out() -> None:
    assert all(":" not in one for one in host_addresses(use_ipv6=False))
    assert all(":" in one for one in host_addresses(use_ipv4=False))


def test_without_netlink_ifaddr_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """On other systems, and where a sandbox forbids it."""
    expected = sorted(host_addresses())

    def forbidden() -> list[tuple[int, str]]:
        raise PermissionError

    monkeypatch.setattr(module, "_dumped", forbidden)
    assert sorted(host_addresses()) == expected


@pytest.fixture
def another_address() -> Iterator[str]:
    """An address that loopback has for the time of the test."""
    ip = shutil.which("ip")
    if ip is None:
        pytest.skip("needs the ip command")
    address = "198.51.100.77"
    command = [ip, "addr", "{}", f"{address}/32", "dev", "lo"]
    added = subprocess.run([one.format("add") for one in command], capture_output=True, check=False)
    if added.returncode:
        pytest.skip("may not change addresses")
    yield address
    subprocess.run([one.format("del") for one in command], capture_output=True, check=True)


def test_an_address_that_comes_and_goes_is_seen_at_once(another_address: str) -> None:
    assert another_address in host_addresses()


def test_a_damaged_answer_of_the_kernel_is_not_read_for_ever() -> None:
    """Lengths of nothing step on."""
    assert list(module._messages(bytes(64)))
    assert list(module._usable(bytes([socket.AF_INET, 32, 0, 0, 0, 0, 0, 0]) + bytes(32))) == []
