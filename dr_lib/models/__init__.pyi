from .builders import build_model as build_model
from .heads import build_head as build_head
from .trained import load_trained as load_trained
from .weights import freeze_backbone as freeze_backbone
from .weights import load_imagenet_weights as load_imagenet_weights
from .weights import load_weights_file as load_weights_file
from .weights import unfreeze as unfreeze
