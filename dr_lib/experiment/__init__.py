"""Many runs: sweeps, jobs and their notebooks, status, and the machines that execute them.

* ``run_experiment`` is ``dr-lab run``; ``plan`` and ``sweeps`` make its configurations,
  ``dry_run`` and ``time_estimate`` say what they will cost.
* ``jobs`` executes them, on this machine or a cluster's (``ray_backend``, ``ray_cluster``); ``job`` is one of them from
  start to end.
* ``status`` says how runs stand; ``experiment`` gives, draws and reports the results.
"""
