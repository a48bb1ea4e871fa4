"""Photos with classes: sets of them, features of frozen networks, accuracies and their pictures. No training here."""
