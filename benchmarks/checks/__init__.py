"""What the checks say of many programs, and how long they take."""
