"""Methods that the papers build on: pure functions and the state that they carry."""
