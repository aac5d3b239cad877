"""What can be said of a model before data are seen: the engines that can run it, and the report."""
