"""StarCraft II micromanagement: an embedded combat engine and the SMAC layer over its unit table."""
