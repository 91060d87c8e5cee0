"""Routes of algorithms and networks: the catalogues."""

from typing import Any

from fastapi import APIRouter

from app.algorithms import PARAMS
from app.networks import NETWORKS
from app.schemas.catalog import AlgorithmOut, NetworkOut
from app.schemas.pagination import Page

router = APIRouter(tags=["algorithms"])


@router.get("/algorithms", response_model=Page[AlgorithmOut])
def list_algorithms() -> dict[str, Any]:
    """Every algorithm with the JSON schema of its parameters, on one page."""
    return {"data": [params.catalogue_entry() for params in PARAMS.values()], "next": None}


@router.get("/networks", response_model=Page[NetworkOut])
def list_networks() -> dict[str, Any]:
    """Every network with the JSON schema of its options, on one page."""
    return {"data": [network.catalogue_entry() for network in NETWORKS.values()], "next": None}
