"""How a user carries on with what was interrupted; apart, since a report says it too and must not bring Optuna."""


def resume_command(name: str, uri: str, address: str | None = None) -> str:
    """Returns the command that carries on with a sweep, or a file of sweeps, from any directory.

    Args:
        name: of the sweep or of the file's sweeps.
        uri: of the store.
        address: of the cluster that has the store, for who looks at it from elsewhere.
    """
    return f"w2s resume {name} " + (f"--address {address}" if address else f"--store {uri}")
