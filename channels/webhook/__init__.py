"""The lane of webhook steps: calls to addresses that campaigns name."""
