"""Many runs: sweeps, jobs and their notebooks, status, and the machines that execute them."""
