"""Routes of algorithms."""

from fastapi import APIRouter

router = APIRouter(tags=["algorithms"])
