"""Who a sweep's workers take orders from: those who hold its certificates, and nobody else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import dask
import psutil
import pytest
from cryptography import x509
from distributed import Client, LocalCluster
from distributed.security import Security

from kc_utils.cli.app import app
from kc_utils.cli.outcome import outcome
from kc_utils.errors import KcError
from kc_utils.sweep import cluster
from kc_utils.sweep.certificates import Certificates, security_for, temporary_security

pytestmark = pytest.mark.slow

TLS = "tls://127.0.0.1:9"


@dataclass(frozen=True)
class Pem:
    """The certificates of one authority as files, and as Dask takes them."""

    security: Security
    ca_file: Path
    cert: Path
    key: Path

    @property
    def options(self) -> list[str]:
        files = {"ca-file": self.ca_file, "cert": self.cert, "key": self.key}
        return [part for name, file in files.items() for part in (f"--tls-{name}", str(file))]


def written(folder: Path) -> Pem:
    folder.mkdir()
    security = Security.temporary()
    texts = {
        "ca.pem": security.tls_ca_file,
        "cert.pem": security.tls_client_cert,
        "key.pem": security.tls_client_key,
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    return Pem(security, *(folder / name for name in texts))


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Pem:
    return written(tmp_path_factory.mktemp("pem") / "own")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Pem:
    return written(tmp_path_factory.mktemp("pem") / "foreign")


@pytest.fixture(scope="module")
def local() -> Iterator[Client]:
    """The client of a cluster as a sweep starts it, with one worker."""
    with cluster.connect(None, 1) as client:
        client.wait_for_workers(1)
        yield client


@pytest.fixture(scope="module")
def elsewhere(pem: Pem) -> Iterator[str]:
    """Address of a scheduler with a worker that somebody else started, with ``pem``."""
    with LocalCluster(
        1, threads_per_worker=1, processes=False, protocol="tls", security=pem.security,
        dashboard_address="127.0.0.1:0",
    ) as far:  # fmt: skip
        yield far.scheduler_address


def addresses(client: Client) -> list[str]:
    info = client.scheduler_info()
    workers = [a for w, about in info["workers"].items() for a in (w, about["nanny"])]
    return [info["address"], *workers]


def test_a_cluster_of_this_machine_listens_on_loopback_with_tls(local: Client) -> None:
    found = addresses(local)
    assert len(found) == 3 and all(a.startswith("tls://127.0.0.1:") for a in found)
    here = psutil.Process()
    processes = [here, *here.children(recursive=True)]
    listening = [c.laddr.ip for p in processes for c in p.net_connections() if c.status == "LISTEN"]
    assert len(listening) >= len(found) and set(listening) == {"127.0.0.1"}


def test_who_has_no_certificate_gives_no_orders(local: Client, foreign: Pem) -> None:
    own = local.scheduler.address
    plain = own.replace("tls://", "tcp://")
    for address, security in ((plain, None), (own, foreign.security)):
        with pytest.raises((OSError, TimeoutError)):
            Client(address, security=security, timeout=2)
    assert local.submit(abs, -3).result() == 3  # the control: the sweep itself does


def test_a_clock_that_goes_back_makes_no_certificate_invalid() -> None:
    made = temporary_security()
    (text,) = {
        made.tls_ca_file,
        made.tls_client_cert,
        made.tls_scheduler_cert,
        made.tls_worker_cert,
    }
    certificate = x509.load_pem_x509_certificate(text.encode())
    assert certificate.not_valid_before_utc.year == 1970  # a clock without a battery begins there
    assert certificate.not_valid_after_utc.year == 9999


def test_the_cluster_shows_no_page(local: Client) -> None:
    ports = [local.scheduler_info()["services"].get("dashboard")]
    ports += [w["services"].get("dashboard") for w in local.scheduler_info()["workers"].values()]
    for port in filter(None, ports):
        for page in ("info/main/workers.html", "json/counts.json", "metrics", "health"):
            with pytest.raises(HTTPError, match="404"):
                urlopen(f"http://127.0.0.1:{port}/{page}", timeout=10)


def test_without_the_package_that_makes_certificates_one_sentence_says_so(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(KcError, match=r"cryptography.* is not installed; 'pip install"):
        temporary_security()


def test_certificates_open_the_way_to_a_scheduler_elsewhere(elsewhere: str, pem: Pem) -> None:
    security = security_for(elsewhere, Certificates(pem.ca_file, pem.cert, pem.key))
    with cluster.connect(elsewhere, 1, security) as client:
        assert client.submit(abs, -3).result() == 3


def test_certificates_may_stand_in_the_configuration_of_dask(elsewhere: str, pem: Pem) -> None:
    files = {"ca-file": pem.ca_file, "client.cert": pem.cert, "client.key": pem.key}
    with dask.config.set({f"distributed.comm.tls.{k}": str(file) for k, file in files.items()}):
        security = security_for(elsewhere, Certificates())
    with cluster.connect(elsewhere, 1, security) as client:
        assert client.submit(abs, -3).result() == 3


def test_foreign_certificates_are_one_sentence(elsewhere: str, foreign: Pem, monkeypatch) -> None:
    monkeypatch.setattr(cluster, "SECONDS_TO_CONNECT", 2)
    security = security_for(elsewhere, Certificates(foreign.ca_file, foreign.cert, foreign.key))
    with pytest.raises(KcError, match=r"certificates; both have|signed by the same authority"):
        with cluster.connect(elsewhere, 1, security):
            pass


def kc_sweep(arguments: list[str], folder: Path, capsys) -> str:
    """The one sentence that ``kc sweep`` ends with; nothing is written."""
    out = folder / "out"
    line = ["sweep", "--profile", "smoke", "--to", "world", "--out", str(out), *arguments]
    code = outcome(lambda: app(line))
    error = capsys.readouterr().err
    assert code == 2 and error.startswith("kc: ") and error.count("\n") == 1, error
    return error


@pytest.mark.parametrize(
    ("arguments", "said"),
    {
        "--scheduler tls://127.0.0.1:9": "needs certificates; give --tls-ca-file, --tls-cert and",
        "--tls-cert cert.pem": "have no effect without --scheduler",
        "--scheduler tcp://127.0.0.1:9 --tls-key key.pem": "no effect with --scheduler tcp://",
    }.items(),
)  # fmt: skip
def test_certificates_that_are_missing_or_useless(
    arguments: str, said: str, tmp_path, capsys
) -> None:
    assert said in kc_sweep(arguments.split(), tmp_path, capsys)
    assert not (tmp_path / "out").exists()


def test_files_that_are_no_certificates(pem: Pem, foreign: Pem, tmp_path: Path) -> None:
    locked = tmp_path / "locked.pem"
    subprocess.run(
        ["openssl", "pkcs8", "-topk8", "-passout", "pass:word", "-in", pem.key, "-out", locked],
        check=True, capture_output=True,
    )  # fmt: skip
    text = tmp_path / "notes.pem"
    text.write_text("mine")
    wrong = {
        "--tls-ca-file .*nowhere.pem .*no such file": (tmp_path / "nowhere.pem", pem.cert, pem.key),
        "--tls-ca-file .*notes.pem ": (text, pem.cert, pem.key),
        "--tls-cert .*notes.pem ": (pem.ca_file, text, pem.key),
        "--tls-key .*nowhere.pem .*no such file": (pem.ca_file, pem.cert, tmp_path / "nowhere.pem"),
        "--tls-key .*foreign": (pem.ca_file, pem.cert, foreign.key),
        "--tls-key .*locked.pem": (pem.ca_file, pem.cert, locked),
    }
    for said, files in wrong.items():
        with pytest.raises(KcError, match=said):
            security_for(TLS, Certificates(*files))
    assert security_for(TLS, Certificates(pem.ca_file, pem.cert, pem.key)) is not None


def test_plain_tcp_is_refused_where_dask_is_told_to_encrypt() -> None:
    assert security_for("tcp://127.0.0.1:9", Certificates()) is None
    with dask.config.set({"distributed.comm.require-encryption": True}):
        with pytest.raises(KcError, match="refused by distributed"):
            security_for("tcp://127.0.0.1:9", Certificates())


def test_a_scheduler_that_is_not_there_is_one_sentence(
    pem: Pem, tmp_path, capsys, monkeypatch
) -> None:
    monkeypatch.setattr(cluster, "SECONDS_TO_CONNECT", 1)
    said = kc_sweep(["--scheduler", TLS, *pem.options], tmp_path, capsys)
    assert f"No Dask scheduler with workers answers at {TLS}" in said
