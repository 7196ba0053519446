"""Many runs: sweeps, jobs and their notebooks, status, and the machines that execute them.

* ``run_experiment`` is ``dr-lab run``; ``plan``, ``sweeps`` and ``seeds`` make its configurations, ``preflight`` checks
  them, ``dry_run`` and ``time_estimate`` say what they will cost.
* ``jobs`` executes them, ``job`` is one of them from start to end, ``backend`` this machine or Ray's (``ray``).
* ``monitor``, ``status`` and ``status_table`` say how runs stand; ``experiment_tables`` gives the results as tables,
  ``experiment`` draws and reports them too.
"""
