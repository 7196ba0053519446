from .run import train as train
from .trained_run import Run as Run
