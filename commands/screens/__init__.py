"""What people see in a terminal: plans, runs and reports, in colour or in plain ASCII."""
