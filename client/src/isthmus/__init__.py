"""Client of Isthmus, the self-hosted service for model adaptation.

>>> client = isthmus.Client()
>>> version = client.adapt(source, target, model="wine").wait()
"""

from isthmus import errors
from isthmus.client import AsyncClient, Client
from isthmus.errors import APIStatusError, IsthmusError, JobFailedError
from isthmus.records import BatchPrediction, Dataset, Job, Model, Prediction, Record, Version

__all__ = ["APIStatusError", "AsyncClient", "BatchPrediction", "Client", "Dataset", "IsthmusError", "Job", "JobFailedError"]
__all__ += ["Model", "Prediction", "Record", "Version", "errors"]
