"""The error of what a user can mend: launch prints it as one line, without a traceback."""


class UserError(ValueError):
    """A configuration, data set or work directory that cannot be used, with what to do."""
