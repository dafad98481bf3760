"""`python -m persistence`: settings in, service out."""

from __future__ import annotations

from mesh import config
from persistence import app
from persistence.config import Config

if __name__ == "__main__":
    config.main(Config, "persistence", app.serve)
