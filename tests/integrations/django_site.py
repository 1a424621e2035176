"""A Django project of one page, configured once for a process; databases are files."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final

import django
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path

from armature_cache.integrations.django import invalidate_on_commit

FOLDER: Final = tempfile.TemporaryDirectory(prefix="armature-django-")
DATABASES: Final = ("default", "other")
cache: Any = None
"""What the page invalidates."""

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DATABASES={
            alias: {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(Path(FOLDER.name) / f"{alias}.db"),
            }
            for alias in DATABASES
        },
        ROOT_URLCONF=__name__,
        SECRET_KEY="of these tests",
        USE_TZ=True,
    )
    django.setup()


def rename(name: str, alias: str = "default") -> None:
    """Change the one row there is."""
    with connections[alias].cursor() as cursor:
        cursor.execute("UPDATE users SET name = %s", [name])


def names(alias: str = "default") -> str:
    """What the row says, as this thread's connection sees it."""
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT name FROM users")
        return str(cursor.fetchone()[0])


def reset() -> None:
    """Begin with one row in each database."""
    for alias in DATABASES:
        with connections[alias].cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS users")
            cursor.execute("CREATE TABLE users (name TEXT)")
            cursor.execute("INSERT INTO users VALUES ('Ada')")


def _change(name: str) -> None:
    with transaction.atomic():
        rename(name)
        invalidate_on_commit(cache, tags="a")


async def page(request: HttpRequest) -> HttpResponse:
    """An async view that changes the row in a thread."""
    await sync_to_async(_change)(request.GET["name"])
    return HttpResponse("done")


urlpatterns = [path("", page)]
