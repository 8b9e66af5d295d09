"""Published methods that use or are studied with the measures: pure functions and their state."""
