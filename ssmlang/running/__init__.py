"""What the verbs of a compiled model do: engines run on bound data, parameters learned, results made."""
