"""What a stage sees of the world. Outside of the sandbox lines go nowhere and the seed is 0."""

_host = None


def log(message, level="info"):
    """Writes a line into the run's log. `level` is debug, info, warn or error."""
    if _host:
        _host.log(_host.Level[level.upper()], message)


def progress(done, total=0):
    """Moves the progress bar."""
    if _host:
        _host.progress(done, total)


def metric(name, step, value):
    """Adds a point to a curve that is kept with the run."""
    if _host:
        _host.metric(name, step, value)


def seed():
    """The seed of this stage: the only randomness there is."""
    return _host.seed() if _host else 0


def cancelled():
    """Whether the run was cancelled: return early, with any result."""
    return _host.cancelled() if _host else False
