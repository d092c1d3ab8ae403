"""Runs the MLflow server: waits for its database and object store, makes the bucket, migrates the schema, serves.

MLflow's own command starts uvicorn as a child: killing the command leaves the child on the port, and both hold the
whole program in memory. Here uvicorn serves MLflow's application in this one process, so that whatever ends the process
ends the server. The environment is what `mlflow server` hands to its child; the names it uses inside are imported, so
that a release that renames them fails at start rather than in use.
"""

import logging
import os
from contextlib import closing

import boto3
import typer
import uvicorn
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from common.cli import UserError, run
from common.logs import configure_logging
from common.postgres import connect
from common.waiting import retry_for
from model_registry.settings import DRIVER, Settings

log = logging.getLogger(__name__)
app = typer.Typer(help=__doc__, pretty_exceptions_enable=False)

REGION = "us-east-1"
"""The S3 protocol wants one in every signature; a local store ignores it."""


def ensure_bucket(settings: Settings) -> None:
    """Wait for the object store and make the bucket unless it is there. `UserError` when keys or address are wrong."""
    client = boto3.client(
        "s3",
        endpoint_url=settings.s3_endpoint_url,
        aws_access_key_id=settings.s3_access_key,
        aws_secret_access_key=settings.s3_secret_key.get_secret_value(),
        region_name=REGION,
        config=Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 1}),
    )
    try:
        wait = retry_for(settings.wait_timeout_s, f"object store {settings.s3_endpoint_url}", _ObjectStoreUnavailable)
        wait(_create_bucket, client, settings.s3_bucket)
    except _ObjectStoreUnavailable as error:
        raise UserError(
            f"object store {settings.s3_endpoint_url} cannot be reached: {error}. "
            "Start it, or set MODEL_REGISTRY_S3_ENDPOINT_URL."
        ) from error
    except ClientError as error:
        raise UserError(
            f"object store {settings.s3_endpoint_url} refuses bucket {settings.s3_bucket}: {error}. "
            "Check MODEL_REGISTRY_S3_ACCESS_KEY, _S3_SECRET_KEY and _S3_BUCKET."
        ) from error


class _ObjectStoreUnavailable(Exception):
    """The object store does not answer, or answers that it is not ready."""


def _create_bucket(client: "boto3.client", bucket: str) -> None:
    try:
        client.create_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
            raise _ObjectStoreUnavailable(str(error)) from error
        if error.response["Error"]["Code"] not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
            raise
    except BotoCoreError as error:
        raise _ObjectStoreUnavailable(str(error)) from error


def migrate(settings: Settings) -> None:
    """Wait for the database and bring its schema to this release of MLflow; several servers may try at once."""
    from mlflow.db import upgrade

    plain_url = settings.backend_store_uri.replace(DRIVER, "postgresql", 1)
    with closing(connect(plain_url, "mlflow-server", settings.wait_timeout_s)) as connection:
        with connection.cursor() as cursor:
            cursor.execute("select pg_advisory_lock(hashtext('mlflow schema'))")
        upgrade.main([settings.backend_store_uri], standalone_mode=False)


def public_environment(settings: Settings) -> dict[str, str]:
    """What MLflow and boto3 read from the environment; to be set before MLflow is imported."""
    return {
        "MLFLOW_SERVER_ALLOWED_HOSTS": settings.allowed_hosts,
        # On by default: eight more processes and 1.3 GB, for features that nothing here uses.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_S3_ENDPOINT_URL": settings.s3_endpoint_url,
        "AWS_ACCESS_KEY_ID": settings.s3_access_key,
        "AWS_SECRET_ACCESS_KEY": settings.s3_secret_key.get_secret_value(),
        "AWS_DEFAULT_REGION": REGION,
        # Without it boto3 may look for a cloud machine's credentials first.
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def server_environment(settings: Settings) -> dict[str, str]:
    """What `mlflow server` tells its child by --backend-store-uri, --artifacts-destination and --serve-artifacts."""
    from mlflow.environment_variables import _MLFLOW_SGI_NAME
    from mlflow.server import constants

    return {
        constants.BACKEND_STORE_URI_ENV_VAR: settings.backend_store_uri,
        constants.REGISTRY_STORE_URI_ENV_VAR: settings.backend_store_uri,
        constants.ARTIFACT_ROOT_ENV_VAR: "mlflow-artifacts:/",
        constants.SERVE_ARTIFACTS_ENV_VAR: "true",
        constants.ARTIFACTS_DESTINATION_ENV_VAR: f"s3://{settings.s3_bucket}",
        _MLFLOW_SGI_NAME.name: "uvicorn",
    }


@app.command(help=__doc__)
def main() -> None:
    """Serve until SIGTERM."""
    configure_logging()
    settings = Settings()
    os.environ.update(public_environment(settings))
    ensure_bucket(settings)
    migrate(settings)
    os.environ.update(server_environment(settings))
    configure_logging()  # The migration's own logging set-up replaced it.
    log.info("MLflow on http://%s:%d", settings.host, settings.port)
    uvicorn.run(
        "mlflow.server.fastapi_app:app", host=settings.host, port=settings.port, log_config=None, access_log=False
    )


if __name__ == "__main__":
    run(app)
