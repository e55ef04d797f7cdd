"""Saying no. Whoever can mend it is told; any other exception is the plugin author's to mend."""


class Failure(Exception):
    """Why a stage cannot do its work."""


class InvalidParameter(Failure):
    """The pipeline's author must mend a parameter."""


class InvalidData(Failure):
    """Whoever made the data must mend it."""


class InvalidState(Failure):
    """The saved state or weights are not what this plugin wrote."""
