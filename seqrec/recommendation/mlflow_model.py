"""The former address of `export/mlflow_model.py`: models that MLflow holds already name this module as their loader."""

from seqrec.recommendation.export.mlflow_model import ListsModel, _load_pyfunc

__all__ = ["ListsModel", "_load_pyfunc"]
