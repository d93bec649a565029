"""The client of the venue's CLOB: what goes over the wire, what its answers mean, and who may ask how often."""
