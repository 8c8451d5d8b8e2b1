"""All URLs."""

from django.urls import include, path

from broker import public

urlpatterns = [
    path("api/", include("sessions_app.api.urls")),
    path("schemas/", public.schema_index, name="schemas"),
    path("schemas/<str:folder>.json", public.schema_of, name="schema_of"),
    path("hooks/", include("sessions_app.hooks.urls")),
    path("", include("sessions_app.oauth.urls")),
    path("", include("sessions_app.web.urls")),
]
