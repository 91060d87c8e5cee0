"""Routes of the available algorithms, networks and encoders."""

from typing import Any

from fastapi import APIRouter

from app.algorithms import PARAMS
from app.api.authorization import requires
from app.encoders.catalogue import CATALOGUE
from app.networks import NETWORKS
from app.schemas.catalog import AlgorithmOut, EncoderOut, NetworkOut
from app.schemas.pagination import Page

router = APIRouter(tags=["algorithms"], dependencies=[requires("jobs:read")])


@router.get("/algorithms", response_model=Page[AlgorithmOut])
def list_algorithms() -> dict[str, Any]:
    """List all algorithms with the JSON schemas of their parameters."""
    return {"data": [params.catalogue_entry() for params in PARAMS.values()], "next": None}


@router.get("/encoders", response_model=Page[EncoderOut])
def list_encoders() -> dict[str, Any]:
    """List the known pretrained encoders for `pretrained` in `base` of a job, and whether this server has them."""
    return {"data": [EncoderOut.model_validate(encoder, from_attributes=True) for encoder in CATALOGUE], "next": None}


@router.get("/networks", response_model=Page[NetworkOut])
def list_networks() -> dict[str, Any]:
    """List all networks with the JSON schemas of their options."""
    return {"data": [network.catalogue_entry() for network in NETWORKS.values()], "next": None}
