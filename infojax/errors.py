"""Errors that a user can fix; a command line shows their message without a traceback."""


class UserError(ValueError):
    """A configuration, data set or work directory that cannot be used; says what to do."""


class StorageError(OSError):
    """A file of a run cannot be written, as on a full disk; names the path and the reason."""
