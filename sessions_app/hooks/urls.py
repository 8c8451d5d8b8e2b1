"""URLs for incoming webhooks: one for each source."""

from django.urls import URLPattern, path

from sessions_app.hooks.views import receive

urlpatterns: list[URLPattern] = [path("<slug:source>/", receive, name="hook")]
