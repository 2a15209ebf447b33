"""Node-level learning with attention on large graphs, and honest measurement of how far it sees."""

__version__ = "0.1.0"
