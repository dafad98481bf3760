"""What all connections and requests of this process share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

from aiohttp import web

from gateway.allowance import Allowance
from gateway.auth import Doorman
from gateway.backends import Backends, TurnQueue
from gateway.client_secrets import Secrets
from gateway.config import Config
from gateway.connect_limit import ConnectLimit
from gateway.connection import Connection
from gateway.lobby import Lobby
from gateway.models import Models
from gateway.opening import Opener
from gateway.pacer import Wheel
from gateway.recorder import Recorder
from gateway.sessions.keeper import Keeper
from gateway.sideband import Sidebands


@dataclass(slots=True)
class Gateway:
    config: Config
    doorman: Doorman
    secrets: Secrets
    models: Models
    opener: Opener
    allowance: Allowance
    """What each tenant may ask of the tiers."""
    minting: Allowance
    """How many client secrets each tenant may make, and how many bytes they may hold."""
    recorder: Recorder
    backends: Backends
    turns: TurnQueue | None
    """Where utterances wait that cannot be recognised now."""
    wheel: Wheel
    ready: Callable[[], Mapping[str, bool]]
    """What a whole turn needs → whether it is there."""
    is_full: Callable[[], bool]
    """Whether a tier has no room on any worker."""
    keeper: Keeper
    lobby: Lobby
    sidebands: Sidebands
    connects: ConnectLimit
    """How many clients may come in a second."""
    trusted: Sequence[IPv4Network | IPv6Network]
    """Networks of balancers."""
    open: set[web.WebSocketResponse] = field(default_factory=set)
    """Who takes a place."""
    live: dict[str, Connection] = field(default_factory=dict)
    """The sessions of this process."""
    is_draining: bool = False
    """Whether balancers are told to send nobody new."""
    is_closed: bool = False
    """Whether nobody new is let in."""


GATEWAY = web.AppKey("gateway", Gateway)
