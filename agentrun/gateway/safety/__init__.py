"""What is asked and answered, checked."""
