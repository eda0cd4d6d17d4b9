"""Rooms of a team's chat: alerts for people of the house, not a way to reach a customer."""
