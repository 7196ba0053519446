"""What the operating system gives.

``process_pool`` does work in processes that may die, ``processes`` end with their parent, ``signals`` ask to stop,
``resources`` shares processors and GPUs among runs, ``memory`` looks at limits of the shell, ``environment`` reads
variables, ``terminal``, ``console`` and ``progress`` are what people see, ``stopwatch`` counts the time of a run over
all its parts.
"""
