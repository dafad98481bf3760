"""`python -m tts_service`: settings in, service out."""

from mesh import config
from tts_service.app import serve
from tts_service.config import Config

if __name__ == "__main__":
    config.main(Config, "tts", serve)
