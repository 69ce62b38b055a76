"""The command line: its commands, screens and exit codes."""
