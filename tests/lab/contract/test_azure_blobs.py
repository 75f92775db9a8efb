"""The blob service through the real client."""

from collections.abc import Iterator

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.blob import BlobServiceClient, ContainerClient, ContentSettings
from azure_world import ACCOUNT, ACCOUNT_ID, CONTAINER, AzureWorld

URL = f"https://{ACCOUNT}.blob.core.windows.net/{CONTAINER}/demo.txt"
DEMO = b"This is a Demo File."
STORAGE_SCOPE = "https://storage.azure.com/.default"


@pytest.fixture
def blobs(azure: AzureWorld) -> BlobServiceClient:
    azure.let_operator("Storage Blob Data Contributor", ACCOUNT_ID)
    return azure.blobs()


@pytest.fixture
def container(blobs: BlobServiceClient) -> Iterator[ContainerClient]:
    with blobs.create_container(CONTAINER) as made:
        yield made


def test_a_blob_comes_back_as_it_was_written(container: ContainerClient) -> None:
    settings = ContentSettings(content_type="text/plain")
    container.upload_blob("demo.txt", DEMO, content_settings=settings, metadata={"made": "here"})
    properties = container.get_blob_client("demo.txt").get_blob_properties()
    assert container.download_blob("demo.txt").readall() == DEMO
    assert (properties.size, properties.content_settings.content_type) == (len(DEMO), "text/plain")
    assert properties.metadata == {"made": "here"}


@pytest.mark.parametrize(("offset", "length", "expected"), [(5, 2, b"is"), (15, 100, b"File."), (0, None, DEMO)])
def test_a_range_is_cut_off_at_the_end(
    container: ContainerClient, offset: int, length: int | None, expected: bytes
) -> None:
    container.upload_blob("demo.txt", DEMO)
    assert container.download_blob("demo.txt", offset=offset, length=length).readall() == expected


def test_a_blob_may_be_empty(container: ContainerClient) -> None:
    container.upload_blob("empty", b"")
    assert container.download_blob("empty").readall() == b""


def test_a_blob_of_several_chunks_is_read_whole(container: ContainerClient, blobs: BlobServiceClient) -> None:
    content = bytes(range(256)) * 4096 * 36
    container.upload_blob("large", content)
    assert container.download_blob("large").readall() == content


def test_names_may_have_slashes_and_spaces(container: ContainerClient) -> None:
    container.upload_blob("a folder/größe.txt", DEMO)
    assert container.download_blob("a folder/größe.txt").readall() == DEMO
    assert list(container.list_blob_names()) == ["a folder/größe.txt"]


def test_blobs_are_listed_by_prefix_and_in_pages(container: ContainerClient) -> None:
    for number in range(5):
        container.upload_blob(f"a/{number}", b"x")
    container.upload_blob("b", b"yy")
    assert [item.name for item in container.list_blobs(name_starts_with="a/")] == [f"a/{n}" for n in range(5)]
    pages = container.list_blobs(results_per_page=4).by_page()
    assert [[item.size for item in page] for page in pages] == [[1, 1, 1, 1], [1, 2]]


def test_a_blob_is_overwritten_only_when_asked(container: ContainerClient) -> None:
    container.upload_blob("demo.txt", DEMO)
    with pytest.raises(ResourceExistsError) as caught:
        container.upload_blob("demo.txt", b"other")
    assert caught.value.error_code == "BlobAlreadyExists"
    container.upload_blob("demo.txt", b"other", overwrite=True)
    assert container.download_blob("demo.txt").readall() == b"other"


def test_a_write_may_depend_on_what_was_seen(container: ContainerClient) -> None:
    seen = container.upload_blob("demo.txt", DEMO).get_blob_properties().etag
    client = container.get_blob_client("demo.txt")
    client.upload_blob(b"one", overwrite=True, etag=seen, match_condition=MatchConditions.IfNotModified)
    with pytest.raises(ResourceModifiedError) as caught:
        client.upload_blob(b"two", overwrite=True, etag=seen, match_condition=MatchConditions.IfNotModified)
    assert caught.value.error_code == "ConditionNotMet"
    assert client.download_blob().readall() == b"one"


def test_what_is_not_there_is_not_found(container: ContainerClient, blobs: BlobServiceClient) -> None:
    for client, code in ((container, "BlobNotFound"), (blobs.get_container_client("nosuch"), "ContainerNotFound")):
        with pytest.raises(ResourceNotFoundError) as caught:
            client.download_blob("demo.txt")
        assert caught.value.error_code == code
        assert not client.get_blob_client("demo.txt").exists()
        client.close()


def test_a_deleted_blob_is_gone(container: ContainerClient) -> None:
    container.upload_blob("demo.txt", DEMO)
    container.delete_blob("demo.txt")
    assert list(container.list_blobs()) == []
    with pytest.raises(ResourceNotFoundError):
        container.delete_blob("demo.txt")


def test_a_container_is_looked_at_without_a_body(azure: AzureWorld, container: ContainerClient) -> None:
    headers = {"Authorization": f"Bearer {azure.token(STORAGE_SCOPE)}", "x-ms-version": "2024-11-04"}
    url = f"https://{ACCOUNT}.blob.core.windows.net"
    assert azure.request("HEAD", f"{url}/{CONTAINER}?restype=container", headers=headers).status_code == 200
    gone = azure.request("HEAD", f"{url}/nothing?restype=container", headers=headers)
    assert (gone.status_code, gone.headers["x-ms-error-code"]) == (404, "ContainerNotFound")


def test_containers_are_made_listed_and_removed(blobs: BlobServiceClient, container: ContainerClient) -> None:
    with pytest.raises(ResourceExistsError) as caught:
        blobs.create_container(CONTAINER)
    assert caught.value.error_code == "ContainerAlreadyExists"
    assert container.exists()
    assert [item.name for item in blobs.list_containers()] == [CONTAINER]
    container.delete_container()
    assert not container.exists()


@pytest.mark.parametrize("name", ["Upper", "ab", "-dexter", "two--hyphens"])
def test_a_container_name_that_azure_refuses_is_refused(blobs: BlobServiceClient, name: str) -> None:
    with pytest.raises(HttpResponseError) as caught:
        blobs.create_container(name)
    assert (caught.value.status_code, caught.value.error_code) == (400, "InvalidResourceName")


def test_the_walkthroughs_request_is_answered(azure: AzureWorld, container: ContainerClient) -> None:
    container.upload_blob("demo.txt", DEMO)
    headers = {"Authorization": f"Bearer {azure.token(STORAGE_SCOPE)}", "x-ms-version": "2017-11-09"}
    answer = azure.request("GET", URL, headers=headers)
    assert (answer.status_code, answer.content, answer.headers["x-ms-version"]) == (200, DEMO, "2017-11-09")


def test_a_version_of_the_api_without_tokens_refuses_them(azure: AzureWorld, container: ContainerClient) -> None:
    headers = {"Authorization": f"Bearer {azure.token(STORAGE_SCOPE)}"}
    answer = azure.request("GET", URL, headers=headers)
    assert (answer.status_code, answer.headers["x-ms-error-code"]) == (403, "AuthenticationFailed")


def test_a_stranger_is_told_where_to_get_a_token(azure: AzureWorld) -> None:
    answer = azure.request("GET", URL, headers={"x-ms-version": "2025-05-05"})
    assert (answer.status_code, answer.headers["x-ms-error-code"]) == (401, "NoAuthenticationInformation")
    assert "resource_id=https://storage.azure.com" in answer.headers["WWW-Authenticate"]
    assert "<Code>NoAuthenticationInformation</Code>" in answer.text


def test_a_token_for_another_service_does_not_count(azure: AzureWorld, container: ContainerClient) -> None:
    headers = {"Authorization": f"Bearer {azure.token()}", "x-ms-version": "2025-05-05"}
    answer = azure.request("GET", URL, headers=headers)
    assert (answer.status_code, answer.headers["x-ms-error-code"]) == (401, "InvalidAuthenticationInfo")


def test_the_client_says_that_authentication_failed(azure: AzureWorld) -> None:
    azure.speak_as_operator(secret="wrong")
    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
        azure.blobs(retry_total=0).get_account_information()


def test_what_the_service_does_not_have_is_refused(azure: AzureWorld, container: ContainerClient) -> None:
    container.upload_blob("demo.txt", DEMO)
    with pytest.raises(HttpResponseError) as caught:
        container.get_blob_client("demo.txt").create_snapshot()
    assert (caught.value.status_code, caught.value.error_code) == (405, "UnsupportedHttpVerb")


@pytest.mark.parametrize("size", ["0", "-1", "many"])
def test_a_page_size_that_is_no_positive_number_is_refused(
    azure: AzureWorld, container: ContainerClient, size: str
) -> None:
    headers = {"Authorization": f"Bearer {azure.token(STORAGE_SCOPE)}", "x-ms-version": "2024-11-04"}
    url = f"{URL.rpartition('/')[0]}?restype=container&comp=list&maxresults={size}"
    answer = azure.request("GET", url, headers=headers)
    assert (answer.status_code, answer.headers["x-ms-error-code"]) == (400, "OutOfRangeQueryParameterValue")


@pytest.mark.parametrize(
    ("method", "query", "headers", "refusal"),
    [
        ("PUT", "", {"x-ms-lease-id": "a"}, (400, "UnsupportedHeader")),
        ("PUT", "", {"x-ms-tags": "a=b"}, (400, "UnsupportedHeader")),
        ("PUT", "", {"x-ms-access-tier": "Cold"}, (400, "UnsupportedHeader")),
        ("PUT", "", {"x-ms-blob-cache-control": "no-cache"}, (400, "UnsupportedHeader")),
        ("PUT", "", {"x-ms-encryption-scope": "a"}, (400, "UnsupportedHeader")),
        ("PUT", "", {"x-ms-if-tags": "a='b'"}, (400, "UnsupportedHeader")),
        ("PUT", "", {"Content-Encoding": "gzip"}, (400, "UnsupportedHeader")),
        ("PUT", "", {"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}, (400, "Md5Mismatch")),
        ("PUT", "", {"If-Unmodified-Since": "Mon, 01 Jan 2024 00:00:00 GMT"}, (412, "ConditionNotMet")),
        ("PUT", "", {"If-Unmodified-Since": "yesterday"}, (400, "InvalidHeaderValue")),
        ("GET", "", {"x-ms-lease-id": "a"}, (400, "UnsupportedHeader")),
        ("GET", "snapshot=2024-01-01", {}, (400, "UnsupportedQueryParameter")),
        ("GET", "versionid=1", {}, (400, "UnsupportedQueryParameter")),
        ("GET", "", {"If-Match": '"0x1"'}, (412, "ConditionNotMet")),
        ("GET", "", {"Range": "bytes=99999-"}, (416, "InvalidRange")),
        ("HEAD", "", {"If-None-Match": "*"}, (304, "ConditionNotMet")),
        ("GET", "", {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}, (304, "ConditionNotMet")),
        ("DELETE", "", {"If-Match": '"0x1"'}, (412, "ConditionNotMet")),
        ("DELETE", "", {"x-ms-lease-id": "a"}, (400, "UnsupportedHeader")),
    ],
)
def test_what_the_lab_would_drop_is_refused(
    azure: AzureWorld,
    container: ContainerClient,
    method: str,
    query: str,
    headers: dict[str, str],
    refusal: tuple[int, str],
) -> None:
    before = container.upload_blob("demo.txt", DEMO).get_blob_properties()
    given = {"Authorization": f"Bearer {azure.token(STORAGE_SCOPE)}", "x-ms-version": "2024-11-04", **headers}
    if method == "PUT":
        given["x-ms-blob-type"] = "BlockBlob"
    answer = azure.request(method, f"{URL}?{query}", headers=given, data=b"other" if method == "PUT" else None)
    assert (answer.status_code, answer.headers["x-ms-error-code"]) == refusal
    assert container.get_blob_client("demo.txt").get_blob_properties().etag == before.etag
