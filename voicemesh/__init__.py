"""The command line, and the whole mesh on one machine. No tier imports it."""
