"""From a recipe's numbers to a trained recognizer, and how good it is."""
