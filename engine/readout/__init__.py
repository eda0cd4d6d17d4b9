"""What a campaign was worth: exposures and events into the statistics. Begin with `findings`."""
