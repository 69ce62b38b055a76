"""What may follow what: the lifecycles of VM, migration, volume and node, one table each."""
