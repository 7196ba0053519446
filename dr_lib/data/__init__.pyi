from .dataset import RetinopathyDataset as RetinopathyDataset
from .inspection import inspect as inspect
from .inspection import repair as repair
from .manifest import account as account
from .manifest import read_labels as read_labels
from .prepare import prepare_data as prepare_data
from .transforms import EvalTransform as EvalTransform
from .transforms import TrainTransform as TrainTransform
