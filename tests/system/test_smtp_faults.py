# SPDX-License-Identifier: MIT
"""Servers that fail in every way at every point of a session: the mail is
delivered once, waits, or comes back, and the log and mailq say why."""
import pytest

import postrider
import smtp_faults


@pytest.mark.slow
def test_nothing_is_lost(tmp_path):
    tmp_path.chmod(0o755)
    world = smtp_faults.World(str(tmp_path), postrider.free_port(),
                              smtp_faults.rows())
    world.start()
    try:
        with postrider.Instance(main=world.main(),
                                master=world.master()) as mta:
            results = world.run(mta)
            assert len(results) == len(world.rcpts(range(2)))
            wrong = smtp_faults.problems(world, results, mta.log())
            assert not wrong, "\n".join(wrong)
    finally:
        world.server.stop()
