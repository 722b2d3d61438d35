"""Rendering: one Jinja environment per language, and the addresses of the static files."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from hub.clock import utc_now
from storefront_adapter.problems import PROBLEM_TYPES
from storefront_adapter.services import trace_id_of
from storefront_adapter.staff.formats import AGES, Formats, epoch
from storefront_adapter.texts import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from hub.settings import AdapterSettings
    from storefront_adapter.problems import ProblemError
    from storefront_adapter.staff.visit import Visit
    from storefront_adapter.texts import Language, Languages

HERE = Path(__file__).parent
STATIC_DIR = HERE / "static"
LANGUAGE_COOKIE = "oneshelf_lang"
_YEAR_SECONDS = 365 * 86400


class Pages:
    """Renders templates in the visitor's language."""

    def __init__(self, languages: Languages, settings: AdapterSettings) -> None:
        self._languages = languages
        self._settings = settings

    @cached_property
    def _environments(self) -> Mapping[str, Environment]:
        return {code: self._environment(self._languages[code]) for code in LANGUAGES}

    def _environment(self, language: Language) -> Environment:
        environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.i18n"],
        )
        # Babel's class is what Jinja asks for; only the stubs of the two do not know of each other
        environment.install_gettext_translations(language.translations, newstyle=True)  # type: ignore[attr-defined]
        formats = Formats(language, self._settings.time_zone)
        environment.filters.update(
            quantity=formats.quantity,
            count=formats.count,
            time=formats.time,
            age=formats.age,
            status=formats.status,
            kind=formats.kind,
            cause=formats.cause,
        )
        environment.filters["epoch"] = epoch
        environment.globals.update(
            static=self.static, language=language, ages={name: text for name, _, text in AGES}, now=utc_now
        )
        return environment

    @cached_property
    def _static_names(self) -> Mapping[str, str]:
        files = [path for path in STATIC_DIR.iterdir() if path.suffix in {".css", ".js", ".svg"}]
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:12] for path in files}

    def static(self, name: str) -> str:
        """Return the address of a static file; it changes with its content, so that caches may keep it for good."""
        return f"/staff/static/{name}?v={self._static_names[name]}"

    def language(self, request: Request) -> Language:
        """Return the visitor's language: `?lang=`, then the cookie, then Accept-Language."""
        return self._languages.choose(
            request.query_params.get("lang"),
            request.cookies.get(LANGUAGE_COOKIE),
            accept=request.headers.get("accept-language", ""),
        )

    def render(self, visit: Visit, template: str, *, status: int = 200, **context: Any) -> Response:  # noqa: ANN401
        """Return a page of the staff."""
        return self._response(visit.request, template, status, visit=visit, **context)

    def plain(self, request: Request, template: str, *, status: int = 200, **context: Any) -> Response:  # noqa: ANN401
        """Return a page that needs no visitor."""
        return self._response(request, template, status, visit=None, **context)

    def problem(self, request: Request, problem: ProblemError) -> Response:
        """Return a problem as a page."""
        kind = PROBLEM_TYPES[problem.slug]
        text = self.language(request).text
        response = self.plain(
            request,
            "problem.html",
            status=problem.status or kind.status,
            title=text(kind.title),
            detail=text(problem.detail or kind.explanation, **problem.values),
            trace_id=trace_id_of(request),
        )
        response.headers.update(problem.headers)
        return response

    def _response(self, request: Request, template: str, status: int, **context: Any) -> Response:  # noqa: ANN401
        language = self.language(request)
        page = self._environments[language.code].get_template(template)
        response = HTMLResponse(page.render(request=request, **context), status)
        response.headers["Content-Language"] = language.tag
        response.headers["Cache-Control"] = "private, no-store"
        if request.query_params.get("lang") == language.code:
            self.set_cookie(response, LANGUAGE_COOKIE, language.code)
        return response

    def set_cookie(self, response: Response, name: str, value: str, max_age: int = _YEAR_SECONDS) -> None:
        """Set a cookie that scripts can't read and that other sites can't send along with a form."""
        secure = self._settings.public_url.startswith("https://")
        response.set_cookie(name, value, max_age=max_age, path="/", secure=secure, httponly=True, samesite="lax")
