"""The same photos, changed in every way that there is, side by side with what each costs."""
