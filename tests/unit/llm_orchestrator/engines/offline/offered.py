"""Tools as applications offer them, for tests that choose among them."""

from __future__ import annotations

import json
from typing import Any

from llm_orchestrator.engine import Tool

Schema = dict[str, Any]

STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}


def tool(name: str, description: str, required: str = "", **properties: Schema) -> Tool:
    """
    Args:
        required: Names of required parameters, separated by spaces.
    """
    schema = {"type": "object", "properties": properties, "required": required.split()}
    return Tool(name, description, json.dumps(schema))


WEATHER = tool(
    "get_weather",
    "Get the current weather for a location",
    "location",
    location={**STRING, "description": "City and country"},
    unit={**STRING, "enum": ["celsius", "fahrenheit"]},
)
TIMER = tool("set_timer", "Sets a countdown timer", "seconds", seconds=INTEGER, label=STRING)
TABLE = tool(
    "book_table",
    "Reserve a table at a restaurant",
    "party_size time",
    party_size=INTEGER,
    time=STRING,
    restaurant={**STRING, "description": "Name of the restaurant"},
)
MESSAGE = tool(
    "send_message",
    "Send a text message to a contact",
    "recipient message",
    recipient=STRING,
    message=STRING,
)
LIGHT = tool(
    "set_light",
    "Turn the lights in a room on or off",
    "room on",
    room={**STRING, "enum": ["kitchen", "living room", "bedroom"]},
    on={"type": "boolean"},
)
SEARCH = tool("search_web", "Search the web", "query", query=STRING)
STOCK = tool(
    "get_stock_price",
    "Get the latest price of a stock",
    "symbol",
    symbol={**STRING, "description": "Ticker or company"},
)
FLIGHTS = tool(
    "search_flights",
    "Find flights between two cities",
    "origin destination",
    origin=STRING,
    destination=STRING,
    date={**STRING, "description": "travel date"},
    passengers=INTEGER,
)
REMINDER = tool(
    "create_reminder", "Create a reminder for the user", "task", task=STRING, time=STRING
)
MUSIC = tool("play_music", "Play a song or artist", "query", query=STRING)
HANG_UP = tool("end_call", "Hang up the phone call")

ALL = (
    WEATHER, TIMER, TABLE, MESSAGE, LIGHT, SEARCH, STOCK, FLIGHTS, REMINDER, MUSIC, HANG_UP
)  # fmt: skip
