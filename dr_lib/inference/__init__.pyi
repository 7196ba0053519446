from .evaluate import evaluate_checkpoint as evaluate_checkpoint
from .model import Model as Model
from .model import load_model as load_model
from .onnx_export import export_onnx as export_onnx
