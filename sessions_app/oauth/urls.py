"""URLs of the OAuth endpoints."""

from __future__ import annotations

from django.urls import path

from sessions_app.oauth import device, views

urlpatterns = [
    path("oauth/device_authorization", device.device_authorization, name="oauth_device_authorization"),
    path("oauth/token", views.token, name="oauth_token"),
    path("oauth/introspect", views.introspect, name="oauth_introspect"),
    path("oauth/revoke", views.revoke, name="oauth_revoke"),
    # RFC 8414 section 3.1: the well-known part comes before the path of the issuer.
    path(".well-known/oauth-authorization-server/oauth", views.metadata, name="oauth_metadata"),
]
