"""Which names are those of secrets."""

from __future__ import annotations

import pytest

from fluxora_tasks.deadletter.secretnames import SecretNames, words_of

SECRET = [
    "password", "Password", "PASSWORD", "user_password", "userPassword", "userpassword", "password2", "db-password",
    "passwd", "pwd", "DB_PWD", "passphrase", "secret", "client_secret", "clientsecret", "SECRET_KEY", "secrets",
    "token", "accessToken", "accesstoken", "refresh-token", "x-auth-token", "refresh_tokens", "jwt", "bearer",
    "api_key", "apiKey", "API-KEY", "apikey", "x-api-key", "stripeApiKey2", "Authorization", "proxy-authorization",
    "auth", "basic_auth", "cookie", "Set-Cookie", "session", "session_id", "sessionid", "sessionKey",
    "credential", "aws_credentials", "private_key", "privateKey", "access_key", "AWS_ACCESS_KEY_ID", "card",
    "card_number", "cardNumber", "creditCard", "cvv", "cvc", "iban", "customer_iban", "ssn", "pin", "pin_code",
    "otp", "encryption_key", "connection_string",
]  # fmt: skip

NOT_SECRET = [
    "author", "authors", "authored_at", "authentic", "tokenizer", "tokenizer_name", "token_count", "tokens",
    "max_tokens", "token_type", "secretary", "secretariat", "passage", "passenger", "compass", "bypass", "spin",
    "pinned", "ping", "opinion", "shipping", "cards_of", "cardinal", "cardiology", "discard", "postcard_",
    "key", "keys", "keyword", "primary_key", "sort_key", "monkey", "password_length", "password_expires_at",
    "session_timeout", "session_count", "session_title", "obsession", "card_type", "card_brand", "card_last4",
    "cookie_policy", "secret_name", "auth_method", "auth_provider", "pin_count", "AuthError", "TokenExpired",
    "name", "id", "region", "date", "", "_", "42", "fx_message_id", "correlation_id", "timelimit", "stamps",
]  # fmt: skip


@pytest.mark.parametrize("name", SECRET)
def test_a_secret_name(name: str) -> None:
    """Under any spelling, alone or among other words."""
    assert name in SecretNames()


@pytest.mark.parametrize("name", NOT_SECRET)
def test_a_name_that_only_looks_alike(name: str) -> None:
    """Other words, and names of something about a secret."""
    assert name not in SecretNames()


def test_own_names() -> None:
    """Every spelling of theirs counts, also among other words; what is allowed wins."""
    names = SecretNames(["customer_number", "Geburtstag", "tokenCount"], ["pin", "X-Session"])
    for name in ("customerNumber", "CUSTOMER-NUMBER", "the_customer_number_2", "geburtstag", "token_count"):
        assert name in names, name
    for name in ("pin", "PIN", "xSession", "customer", "number"):
        assert name not in names, name
    assert "session" in names


def test_words() -> None:
    """By case, by what is no letter or digit; numbers at the end of a word are dropped."""
    assert words_of("getHTTPResponse2Now") == ("get", "http", "response", "now")
    assert words_of("X-Api_key.0") == ("x", "api", "key", "0")
    assert words_of("größeSchlüssel") == ("grösse", "schlüssel")
