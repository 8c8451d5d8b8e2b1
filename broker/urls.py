"""All doors."""

from django.urls import include, path

urlpatterns = [
    path("api/", include("sessions_app.api.urls")),
    path("", include("sessions_app.web.urls")),
]
