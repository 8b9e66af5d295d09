"""Published methods that use the measures or are studied with them: pure functions and state."""
