"""REST for systems of the city that fetch their messages (共通機能標準仕様書 2.7): OAuth 2.0, resources, acknowledgements."""
