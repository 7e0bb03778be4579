"""Who may use Ray: whoever has its token runs any code, so there must be one, and others must not read it."""

import os
import stat
from pathlib import Path

from w2s_ray.doctor.finding import Finding, ok, problem, warning
from w2s_ray.doctor.request import Request

_GENERATE = "unset RAY_AUTH_MODE or set it to token; `ray get-auth-token --generate` makes a token"


def token(request: Request) -> list[Finding]:
    """Whether Ray asks for a token, and whether it is there and hidden."""
    if os.environ.get("RAY_AUTH_MODE", "token").lower() != "token":
        says = f"RAY_AUTH_MODE={os.environ['RAY_AUTH_MODE']}: whoever reaches Ray's ports runs any code here"
        return [warning("token", says, _GENERATE)]
    if os.environ.get("RAY_AUTH_TOKEN"):
        return [ok("token", "from RAY_AUTH_TOKEN")]
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token").expanduser()
    if path.is_file():
        return [_hidden(path)]
    if request.is_cluster or os.environ.get("RAY_AUTH_TOKEN_PATH"):
        says = f"no token in RAY_AUTH_TOKEN and none in {path}"
        mend = "set RAY_AUTH_TOKEN to the cluster's, on every node"
        return [problem("token", says, mend) if request.is_cluster else warning("token", says, mend)]
    return [ok("token", f"Ray makes one in {path}")]


def _hidden(path: Path) -> Finding:
    """Looks whether other users of the machine can read the file; Ray itself does not keep them from it."""
    others = stat.S_IRGRP | stat.S_IROTH
    enter = stat.S_IXGRP | stat.S_IXOTH
    is_open = path.stat().st_mode & others and all(f.stat().st_mode & enter for f in (path.parent, path.parent.parent))
    if is_open:
        return warning("token", f"other users of this machine can read {path}", f"chmod 600 {path}")
    return ok("token", f"in {path}")
