"""A readout for people and machines. Begin with `report`."""
