"""What runs inside zygotes and run processes; imported by nobody, started by module name."""
