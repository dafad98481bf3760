"""`python -m stt_service`: settings in, service out."""

from mesh import config
from stt_service.app import serve
from stt_service.config import Config

if __name__ == "__main__":
    config.main(Config, "stt", serve)
