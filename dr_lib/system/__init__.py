"""What the operating system gives: processes that end with their parent, signals, the terminal, the machine."""
