"""A network of its own for one Chromium: two Wi-Fis, a router behind them, and the server.

    Chromium's namespace          router's namespace        where the tests run
    wifi-a  198.18.n+1.2  ------  .1
    wifi-b  198.18.n+2.2  ------  .1      .2  ------------  .1  server

A Wi-Fi that is left takes its link and its address away, which the browser hears of. A blackout
happens at the router, behind an interface that looks as healthy as before.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType

from playwright.async_api import Browser, async_playwright

from tests.browser.chromium import CHROMIUM, FLAGS
from tests.waiting import until

__all__ = ["Network", "NetworkUnavailableError", "Wifi"]


class NetworkUnavailableError(Exception):
    """Network namespaces cannot be made here."""


class Wifi:
    """One of the networks that the browser's device can join."""

    def __init__(self, network: Network, device: str, subnet: str) -> None:
        self._network = network
        self._device = device
        self._subnet = subnet
        self._host = 2

    @property
    def gateway(self) -> str:
        return f"{self._subnet}.1"

    async def join(self) -> None:
        """The link comes up, and when it is usable it is given an address, as by DHCP."""
        await self._network.in_browser(f"link set {self._device} up")
        await until(self._is_usable)
        await self._network.in_browser(
            f"addr add {self._subnet}.{self._host}/24 dev {self._device}",
            f"route replace default via {self.gateway}",
        )

    async def leave(self) -> None:
        """The link goes down, and with it the address."""
        await self._network.in_browser(
            f"addr flush dev {self._device}", f"link set {self._device} down"
        )

    async def change_address(self) -> None:
        """The same interface has another address, as after a lease of another router."""
        self._host += 1
        await self._network.in_browser(
            f"addr flush dev {self._device}",
            f"addr add {self._subnet}.{self._host}/24 dev {self._device}",
            f"route replace default via {self.gateway}",
        )

    async def _is_usable(self) -> bool:
        """The link is up, and its own IPv6 address is known to be nobody else's."""
        link = await self._network.in_browser(f"link show dev {self._device}")
        tentative = await self._network.in_browser(f"-6 addr show dev {self._device} tentative")
        return "state UP" in link and not tentative


class Network:
    """Exists from ``async with`` until its end; the browser's device is in no Wi-Fi at first."""

    def __init__(self) -> None:
        self._id = f"rtc{os.getpid()}x{random.randrange(1000)}"
        self._browser = f"{self._id}b"
        self._router = f"{self._id}r"
        self._uplink = f"rtcup{random.randrange(100_000)}"
        first = random.randrange(80) * 3
        self._subnets = [f"198.18.{first + n}" for n in range(3)]
        self.server_address = f"{self._subnets[0]}.1"
        self.a = Wifi(self, "wifi-a", self._subnets[1])
        self.b = Wifi(self, "wifi-b", self._subnets[2])

    async def __aenter__(self) -> Network:
        if os.geteuid() != 0:
            raise NetworkUnavailableError("network namespaces need root")
        if shutil.which("ip") is None:
            raise NetworkUnavailableError("ip is missing: install iproute2")
        try:
            await self._make()
        except NetworkUnavailableError:
            await self._remove()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._remove()

    async def black_out(self) -> None:
        """All packets vanish at the router, both ways; no link changes."""
        await self._in_router(
            f"route add blackhole {self.server_address}/32",
            *(f"route add blackhole {subnet}.0/25" for subnet in self._subnets[1:]),
        )

    async def light_up(self) -> None:
        """The end of ``black_out``."""
        await self._in_router(
            f"route del blackhole {self.server_address}/32",
            *(f"route del blackhole {subnet}.0/25" for subnet in self._subnets[1:]),
        )

    @asynccontextmanager
    async def launch_chromium(self, folder: Path) -> AsyncIterator[Browser]:
        """A browser inside, for which the server is ``localhost``: a secure context.

        Args:
            folder: for the script that starts it.
        """
        script = folder / "chromium-inside"
        script.write_text(f'#!/bin/sh\nexec ip netns exec {self._browser} {CHROMIUM} "$@"\n')
        script.chmod(0o755)
        flags = [
            *FLAGS,
            "--use-fake-device-for-media-stream",
            f"--host-resolver-rules=MAP localhost {self.server_address}",
        ]
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=script, args=flags)
            try:
                yield browser
            finally:
                await browser.close()

    async def in_browser(self, *commands: str) -> str:
        """``ip`` commands for the device that the browser runs on; what they print."""
        return await _ip(self._browser, *commands)

    async def _in_router(self, *commands: str) -> None:
        await _ip(self._router, *commands)

    async def _make(self) -> None:
        browser, router, uplink = self._browser, self._router, self._uplink
        server, wifi_a, wifi_b = self._subnets
        await _ip(
            None,
            f"netns add {browser}",
            f"netns add {router}",
            f"link add {uplink} type veth peer name uplink netns {router}",
            f"addr add {server}.1/24 dev {uplink}",
            f"link set {uplink} up",
        )
        await self._in_router(
            "link set lo up",
            f"addr add {server}.2/24 dev uplink",
            "link set uplink up",
            f"link add air-a type veth peer name wifi-a netns {browser}",
            f"link add air-b type veth peer name wifi-b netns {browser}",
            f"addr add {wifi_a}.1/24 dev air-a",
            f"addr add {wifi_b}.1/24 dev air-b",
            "link set air-a up",
            "link set air-b up",
        )
        forward = "echo 1 > /proc/sys/net/ipv4/ip_forward"
        await _run("ip", "netns", "exec", router, "sh", "-c", forward)
        await _ip(
            None,
            f"route add {wifi_a}.0/24 via {server}.2",
            f"route add {wifi_b}.0/24 via {server}.2",
        )
        await self.in_browser("link set lo up")

    async def _remove(self) -> None:
        """The links go with the namespaces, and the routes with the links."""
        for command in (
            f"link del {self._uplink}",
            f"netns del {self._browser}",
            f"netns del {self._router}",
        ):
            try:
                await _ip(None, command)
            except NetworkUnavailableError:
                continue  # It had not been made.


async def _ip(namespace: str | None, *commands: str) -> str:
    where = [] if namespace is None else ["-n", namespace]
    printed = [await _run("ip", *where, *command.split()) for command in commands]
    return "".join(printed)


async def _run(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    printed, errors = await process.communicate()
    if process.returncode != 0:
        raise NetworkUnavailableError(f"{command}: {errors.decode().strip()}")
    return printed.decode()
