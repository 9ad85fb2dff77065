"""What the errors of well-known libraries mean (pure): data, by qualified class name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fluxora_tasks.classification.outcome import Outcome, Rule
from fluxora_tasks.classification.status import (
    by_aws,
    by_code,
    by_database,
    by_database_operation,
    by_errno,
    by_grpc,
    by_smtp,
    by_status,
    if_nothing_is_carried,
)

_OURS: Final[Mapping[str, Rule]] = {
    "fluxora_tasks.errors.RefusedError": Outcome.IGNORED,
    "fluxora_tasks.errors.NonRetryableError": Outcome.FAILURE_FATAL,
    "fluxora_tasks.errors.RetryableError": Outcome.FAILURE_RETRYABLE,
    "fluxora_tasks.errors.StoreUnavailable": Outcome.FAILURE_RETRYABLE,
    "fluxora_tasks.errors.BrokerUnavailable": Outcome.FAILURE_RETRYABLE,
    "fluxora_tasks.errors.LedgerUnavailable": Outcome.FAILURE_RETRYABLE,
}

_STANDARD_LIBRARY: Final[Mapping[str, Rule]] = {
    "builtins.ConnectionError": Outcome.FAILURE_RETRYABLE,
    "builtins.TimeoutError": Outcome.FAILURE_RETRYABLE,
    "builtins.InterruptedError": Outcome.FAILURE_RETRYABLE,
    "builtins.OSError": by_errno,
    "asyncio.exceptions.IncompleteReadError": Outcome.FAILURE_RETRYABLE,
    "concurrent.futures._base.CancelledError": Outcome.IGNORED,
    "ftplib.error_temp": Outcome.FAILURE_RETRYABLE,
    "http.client.HTTPException": Outcome.FAILURE_RETRYABLE,
    "http.client.InvalidURL": Outcome.FAILURE_FATAL,
    "smtplib.SMTPServerDisconnected": Outcome.FAILURE_RETRYABLE,
    "smtplib.SMTPConnectError": Outcome.FAILURE_RETRYABLE,
    "smtplib.SMTPResponseException": by_smtp,
    "socket.gaierror": Outcome.FAILURE_RETRYABLE,
    "sqlite3.OperationalError": by_database,
    "ssl.SSLEOFError": Outcome.FAILURE_RETRYABLE,
    "ssl.SSLZeroReturnError": Outcome.FAILURE_RETRYABLE,
    "ssl.SSLCertVerificationError": Outcome.FAILURE_FATAL,
    "urllib.error.URLError": Outcome.FAILURE_RETRYABLE,
    "urllib.error.HTTPError": by_code,
}

_HTTP: Final[Mapping[str, Rule]] = {
    "aiohttp.client_exceptions.ClientConnectionError": Outcome.FAILURE_RETRYABLE,
    "aiohttp.client_exceptions.ClientConnectorCertificateError": Outcome.FAILURE_FATAL,
    "aiohttp.client_exceptions.ClientPayloadError": Outcome.FAILURE_RETRYABLE,
    "aiohttp.client_exceptions.ClientResponseError": by_status,
    "botocore.exceptions.ClientError": by_aws,
    "botocore.exceptions.ConnectionError": Outcome.FAILURE_RETRYABLE,
    "botocore.exceptions.HTTPClientError": Outcome.FAILURE_RETRYABLE,
    "botocore.exceptions.IncompleteReadError": Outcome.FAILURE_RETRYABLE,
    "google.api_core.exceptions.GoogleAPICallError": by_code,
    "grpc.RpcError": by_grpc,
    "httpcore.NetworkError": Outcome.FAILURE_RETRYABLE,
    "httpcore.RemoteProtocolError": Outcome.FAILURE_RETRYABLE,
    "httpcore.TimeoutException": Outcome.FAILURE_RETRYABLE,
    "httpx.HTTPStatusError": by_status,
    "httpx.LocalProtocolError": Outcome.FAILURE_FATAL,
    "httpx.TransportError": Outcome.FAILURE_RETRYABLE,
    "httpx.UnsupportedProtocol": Outcome.FAILURE_FATAL,
    "requests.exceptions.ChunkedEncodingError": Outcome.FAILURE_RETRYABLE,
    "requests.exceptions.ConnectionError": Outcome.FAILURE_RETRYABLE,
    "requests.exceptions.HTTPError": by_status,
    "requests.exceptions.RetryError": Outcome.FAILURE_RETRYABLE,
    "requests.exceptions.Timeout": Outcome.FAILURE_RETRYABLE,
    "tornado.httpclient.HTTPClientError": by_code,
    "urllib3.exceptions.MaxRetryError": Outcome.FAILURE_RETRYABLE,
    "urllib3.exceptions.ProtocolError": Outcome.FAILURE_RETRYABLE,
    "urllib3.exceptions.ProxyError": Outcome.FAILURE_RETRYABLE,
    "urllib3.exceptions.TimeoutError": Outcome.FAILURE_RETRYABLE,
    "websockets.exceptions.ConnectionClosedError": Outcome.FAILURE_RETRYABLE,
}

_DATABASES: Final[Mapping[str, Rule]] = {
    "MySQLdb._exceptions.OperationalError": by_database,
    "asyncpg.exceptions._base.PostgresError": by_database,
    "elastic_transport.ConnectionError": Outcome.FAILURE_RETRYABLE,
    "elastic_transport.ConnectionTimeout": Outcome.FAILURE_RETRYABLE,
    "mysql.connector.errors.Error": by_database,
    "psycopg.Error": by_database,
    "psycopg.OperationalError": by_database_operation,
    "psycopg2.Error": by_database,
    "psycopg2.OperationalError": by_database_operation,
    "pymongo.errors.ConnectionFailure": Outcome.FAILURE_RETRYABLE,
    "pymysql.err.OperationalError": by_database,
    "sqlalchemy.exc.DBAPIError": by_database,
    "sqlalchemy.exc.DisconnectionError": Outcome.FAILURE_RETRYABLE,
    "sqlalchemy.exc.OperationalError": by_database_operation,
    "sqlalchemy.exc.TimeoutError": Outcome.FAILURE_RETRYABLE,
}

_REDIS: Final[Mapping[str, Rule]] = {
    "AuthenticationError": Outcome.FAILURE_FATAL,
    "AuthorizationError": Outcome.FAILURE_FATAL,
    "BusyLoadingError": Outcome.FAILURE_RETRYABLE,
    "ClusterDownError": Outcome.FAILURE_RETRYABLE,
    "ConnectionError": Outcome.FAILURE_RETRYABLE,
    "ReadOnlyError": Outcome.FAILURE_RETRYABLE,
    "SlotNotCoveredError": Outcome.FAILURE_RETRYABLE,
    "TimeoutError": Outcome.FAILURE_RETRYABLE,
    "TryAgainError": Outcome.FAILURE_RETRYABLE,
    "WatchError": Outcome.FAILURE_RETRYABLE,
}

_MESSAGING: Final[Mapping[str, Rule]] = {
    "amqp.exceptions.MessageNacked": Outcome.FAILURE_RETRYABLE,
    "amqp.exceptions.RecoverableConnectionError": Outcome.FAILURE_RETRYABLE,
    "billiard.exceptions.SoftTimeLimitExceeded": Outcome.FAILURE_FATAL,
    "celery.exceptions.Ignore": Outcome.IGNORED,
    "celery.exceptions.Reject": Outcome.IGNORED,
    "celery.exceptions.Retry": if_nothing_is_carried,
    "kombu.exceptions.OperationalError": Outcome.FAILURE_RETRYABLE,
    "pika.exceptions.AMQPConnectionError": Outcome.FAILURE_RETRYABLE,
}

#: Qualified class name -> what it means, or a predicate that may have no opinion.
DEFAULT_RULES: Final[Mapping[str, Rule]] = {
    **_OURS,
    **_STANDARD_LIBRARY,
    **_HTTP,
    **_DATABASES,
    **{f"{module}.exceptions.{name}": rule for module in ("redis", "valkey") for name, rule in _REDIS.items()},
    **_MESSAGING,
    # what carries a status says by itself what it means
    "builtins.Exception": by_status,
}
