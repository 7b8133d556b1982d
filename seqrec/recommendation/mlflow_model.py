"""The old path of `export/mlflow_model.py`: models logged to MLflow earlier name this module as their loader."""

from seqrec.recommendation.export.mlflow_model import ListsModel, _load_pyfunc

__all__ = ["ListsModel", "_load_pyfunc"]
