"""`python -m llm_orchestrator`: settings in, service out."""

from llm_orchestrator import app
from llm_orchestrator.config import Config
from mesh import config

if __name__ == "__main__":
    config.main(Config, "llm", app.serve)
