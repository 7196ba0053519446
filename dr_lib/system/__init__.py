"""What the operating system gives.

``process_pool`` does work in processes that may die, and that end with their parent; ``signals`` ask to stop,
``resources`` shares processors, GPUs and memory, ``posix`` has what not every system has, ``environment`` reads
variables, ``terminal`` and ``progress`` are what people see.
"""
