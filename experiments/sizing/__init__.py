"""How many units, how small an effect, how many days. Begin with `power`."""
