"""What can be done to labels between weak supervisor and student, as plain functions from labels to labels."""
