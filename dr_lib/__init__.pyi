from .config import RunConfig as RunConfig
from .data.dataset import RetinopathyDataset as RetinopathyDataset
from .data.manifest import read_labels as read_labels
from .errors import InputError as InputError
from .experiment.experiment import Experiment as Experiment
from .experiment.experiment import load_experiment as load_experiment
from .experiment.run_experiment import run_experiment as run_experiment
from .explore.label_errors import label_errors as label_errors
from .inference.model import Model as Model
from .inference.model import load_model as load_model
from .models.builders import build_model as build_model
from .report.audit_results import Audit as Audit
from .report.audit_results import audit as audit
from .synthetic import make_data as make_data
from .training.run import train as train
from .training.trained_run import Run as Run

GRADES: tuple[int, ...]
GRADE_NAMES: tuple[str, ...]
REFERABLE_GRADE: int
PROBABILITIES: list[str]
