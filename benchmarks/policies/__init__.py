"""What planners and learners reach, beside published values."""
