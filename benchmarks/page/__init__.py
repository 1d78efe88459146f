"""The page that replays policies."""
