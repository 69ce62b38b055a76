"""Who stands next to whom: the cluster as a value, and pure decisions about it."""
