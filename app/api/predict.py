"""Routes of predict."""

from fastapi import APIRouter

router = APIRouter(tags=["predict"])
