"""Runs Celery with a clock that is off: python -m faults.skewed <seconds> <arguments of celery>."""

import runpy
import sys
import time

import time_machine

seconds = float(sys.argv.pop(1))
time_machine.travel(time.time() + seconds).start()
runpy.run_module("celery", run_name="__main__", alter_sys=True)
