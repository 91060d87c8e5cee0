"""Routes of the available algorithms and networks."""

from typing import Any

from fastapi import APIRouter

from app.algorithms import PARAMS
from app.api.authorization import requires
from app.networks import NETWORKS
from app.schemas.catalog import AlgorithmOut, NetworkOut
from app.schemas.pagination import Page

router = APIRouter(tags=["algorithms"], dependencies=[requires("jobs:read")])


@router.get("/algorithms", response_model=Page[AlgorithmOut])
def list_algorithms() -> dict[str, Any]:
    """List all algorithms with the JSON schemas of their parameters."""
    return {"data": [params.catalogue_entry() for params in PARAMS.values()], "next": None}


@router.get("/networks", response_model=Page[NetworkOut])
def list_networks() -> dict[str, Any]:
    """List all networks with the JSON schemas of their options."""
    return {"data": [network.catalogue_entry() for network in NETWORKS.values()], "next": None}
