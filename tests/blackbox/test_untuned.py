"""DCMTK as it is installed: Nagle's algorithm in the sender must not meet a delayed acknowledgement in the server."""
import time

import pytest
from testenv import Dcmtk, Narthex, phantom

INSTANCES = 60
DELAYED_ACK_S = 0.040  # what the kernel waits for company for an ACK (tcp(7), TCP_QUICKACK)


@pytest.fixture
def site(tmp_path):
    with Narthex(tmp_path / "nx", init_args=["--allow-ae", "TESTENV=clinical"]) as server:
        yield server


@pytest.mark.parametrize("listener, extra", [("dimse", []), ("dimse_tls", ["+tla", "+cf"])])
def test_no_message_of_an_untuned_sender_waits_for_an_acknowledgement(site, tmp_path, listener, extra):
    """Held back once per instance they take INSTANCES delays and more; the best of three takes less."""
    plan = phantom.Plan(kind="small", instances=INSTANCES, slices=INSTANCES, series=1, rows=64, columns=64)
    phantom.write(plan, tmp_path / "small")
    dcmtk = Dcmtk(site.ports[listener], env={})
    words = [*extra, site.ca] if extra else []
    took = []
    for _ in range(3):
        start = time.monotonic()
        dcmtk.storescu([tmp_path / "small"], *words)
        took.append(time.monotonic() - start)
    print(f"{listener}: best {min(took) * 1000 / INSTANCES:.1f} ms an instance")
    assert min(took) < INSTANCES * DELAYED_ACK_S
