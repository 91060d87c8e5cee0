"""Routes of the available algorithms and networks."""

from functools import cache

from fastapi import APIRouter, Response

from app.algorithms import PARAMS
from app.api.authorization import requires
from app.networks import NETWORKS
from app.schemas.catalog import AlgorithmOut, NetworkOut
from app.schemas.pagination import Page

router = APIRouter(tags=["algorithms"], dependencies=[requires("jobs:read")])


@cache
def algorithms_document() -> bytes:
    """Return the list of all algorithms as JSON. Making their schemas takes longer than all else in a request."""
    entries = [AlgorithmOut.model_validate(params.catalogue_entry()) for params in PARAMS.values()]
    return Page[AlgorithmOut](data=entries, next=None).model_dump_json(by_alias=True).encode()


@cache
def networks_document() -> bytes:
    """Return the list of all networks as JSON."""
    entries = [NetworkOut.model_validate(network.catalogue_entry()) for network in NETWORKS.values()]
    return Page[NetworkOut](data=entries, next=None).model_dump_json(by_alias=True).encode()


@router.get("/algorithms", response_model=Page[AlgorithmOut])
async def list_algorithms() -> Response:
    """List all algorithms with the JSON schemas of their parameters."""
    return Response(algorithms_document(), media_type="application/json")


@router.get("/networks", response_model=Page[NetworkOut])
async def list_networks() -> Response:
    """List all networks with the JSON schemas of their options."""
    return Response(networks_document(), media_type="application/json")
