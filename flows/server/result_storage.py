"""Where Prefect keeps what tasks return, its cache: on this machine, or in S3 for all machines that share a server.

It only saves the asking: the artefact store is the truth, and every hit is compared with it.
"""

from tasks.files.s3_url import S3Url
from tasks.project.settings import Settings, result_block


def save_result_block(settings: Settings) -> None:
    """Save the block that leads to results in S3 on the Prefect server in use; nothing for results on this machine.

    The block holds no credentials: every machine uses its own, by AWS's variables.
    """
    if not isinstance(settings.prefect_results, S3Url):
        return
    from prefect_aws import AwsClientParameters, AwsCredentials, S3Bucket

    elsewhere = settings.s3_endpoint_url or None
    parameters = AwsClientParameters(
        endpoint_url=elsewhere, config={"s3": {"addressing_style": "path"}} if elsewhere else None
    )
    block = S3Bucket(
        bucket_name=settings.prefect_results.bucket,
        bucket_folder=settings.prefect_results.prefix,
        credentials=AwsCredentials(aws_client_parameters=parameters),
    )
    block.save(result_block(settings.prefect_results).rpartition("/")[2], overwrite=True)
