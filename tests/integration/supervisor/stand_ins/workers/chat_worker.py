"""Sleeps, with a child in another session, as Claude's process may be. STUBBORN: it ignores SIGTERM."""

import os
import signal
import subprocess
import sys
import time

if os.environ.get("STUBBORN"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True):
    while True:
        time.sleep(600)
