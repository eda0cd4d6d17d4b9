"""Web placements: messages that wait in our own store until their visitor comes."""
