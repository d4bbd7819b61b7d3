"""Programs of their own, and a search for what they leave."""

from tests.session.conftest import run_program

__all__ = ["run_program"]
