"""What the JVM prints is passed on until it is told to end."""

from __future__ import annotations

import os

from raydp_ml.session.jvm_output import JvmOutput


def test_all_that_was_printed_before_the_end_is_passed_on(capfd):
    """However far behind the thread is that passes it on."""
    output = JvmOutput()
    errors, told = os.dup(output.stderr), os.dup(output.stdout)
    output.leave_to_jvm()
    os.write(errors, b"".join(b"error %d\n" % i for i in range(3000)) + b"no end of line")
    output.expect_end()
    os.write(errors, b"a complaint\n")
    os.write(told, b"a result\n")
    output.expect_end()
    os.close(errors)
    os.close(told)
    output.join()
    out, err = capfd.readouterr()
    assert out == "a result\n"
    assert err == "".join(f"error {i}\n" for i in range(3000)) + "no end of line"
