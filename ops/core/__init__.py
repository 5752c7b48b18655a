"""What every other package stands on: stdlib alone, but for settings."""
