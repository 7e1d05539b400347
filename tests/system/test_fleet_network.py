"""The way to the fleet's database: TLS that is verified, client certificates, and a network that is
cut. PostgreSQL is in a network namespace of its own, at the other end of a cable."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from lab.postgresql import PostgreSql, temporary
from support.fleet_samples import (
    FLEET,
    Growing,
    Worker,
    lines,
    ship_all,
    shipped,
    wait_until,
    write,
)

from rsfilter.config.build import FleetConfig
from rsfilter.config.database import parse_url
from rsfilter.fleet.database import Database, DatabaseError, ErrorKind
from rsfilter.fleet.schema import schema_sql
from rsfilter.fleet.shipper import Shipper

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
]

OURS, THEIRS = "198.18.77.1", "198.18.77.2"
"""The two ends of the cable (RFC 2544)."""

PASSWORD = "correct horse"


def run(*argv: object) -> None:
    done = subprocess.run([*map(str, argv)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


class Authority:
    """A certificate authority."""

    def __init__(self, place: Path, name: str) -> None:
        self.place = place
        self.certificate = place / f"{name}.crt"
        self._key = place / f"{name}.key"
        run(
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "1", "-subj", f"/CN={name}", "-keyout", self._key),
            *("-out", self.certificate),
        )

    def issue(self, name: str, *, address: str = "") -> tuple[Path, Path]:
        """(certificate, key) for a role, or for a server at an address."""
        base = self.place / f"{name}-{self.certificate.stem}"
        key, request, certificate = (base.with_suffix(s) for s in (".key", ".csr", ".crt"))
        extension = base.with_suffix(".ext")
        extension.write_text(f"subjectAltName=IP:{address}\n" if address else "")
        run(
            *("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-subj", f"/CN={name}", "-keyout", key, "-out", request),
        )
        run(
            *("openssl", "x509", "-req", "-in", request, "-CA", self.certificate),
            *("-CAkey", self._key, "-CAcreateserial", "-days", "1", "-extfile", extension),
            *("-out", certificate),
        )
        key.chmod(0o600)
        return certificate, key


class Site(NamedTuple):
    """A database at the other end of a cable."""

    server: PostgreSql
    authority: Authority
    password_file: Path
    cable: str

    def config(self, *, user: str = "rs1", address: str = THEIRS, **more: object) -> FleetConfig:
        """Return the connection string for a role."""
        parameters = {"sslmode": "verify-full", "sslrootcert": self.authority.certificate} | more
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        file = None if "sslcert" in more else self.password_file
        return FleetConfig(
            FLEET, parse_url(f"postgresql://{user}@{address}/postgres?{query}"), file
        )

    def uses(self, *rules: str) -> None:
        """Roles that may log in, and how; the administrator may."""
        hba = self.server.place / "data" / "pg_hba.conf"
        hba.write_text("\n".join(["local all postgres trust", *rules, ""]))
        self.server.query("SELECT pg_reload_conf()")

    def is_cut(self, *, cut: bool) -> None:
        """Pull the cable, or plug it in again."""
        run("ip", "link", "set", self.cable, "down" if cut else "up")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    place = temporary()
    holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
    cable = f"rsf{os.getpid() % 100000}"
    there = f"/proc/{holder.pid}/ns/net"
    server = PostgreSql(place / "db", address="*", prefix=["nsenter", f"--net={there}"])
    try:
        wait_until(lambda: os.readlink(there) != os.readlink("/proc/self/ns/net"), "a network")
        run("ip", "link", "add", cable, "type", "veth", "peer", "name", "up0", "netns", holder.pid)
        run("ip", "address", "add", f"{OURS}/24", "dev", cable)
        run("ip", "link", "set", cable, "up")
        inside = ["nsenter", f"--net={there}", "ip"]
        run(*inside, "address", "add", f"{THEIRS}/24", "dev", "up0")
        run(*inside, "link", "set", "up0", "up")
        run(*inside, "link", "set", "lo", "up")
        authority = Authority(tmp_path_factory.mktemp("ca"), "ca")
        certificate, key = authority.issue("db1", address=THEIRS)
        server.initialise()
        names = {"ssl_cert_file": certificate, "ssl_key_file": key}
        names["ssl_ca_file"] = authority.certificate
        for name, path in names.items():
            copy = server.place / path.name
            copy.write_bytes(path.read_bytes())
            copy.chmod(0o600)
            status = server.place.stat()
            os.chown(copy, status.st_uid, status.st_gid)
            server.settings[name] = str(copy)
        server.settings["ssl"] = "on"
        server.start()
        server.apply(schema_sql(FLEET, ["rs1", "rs2"]))
        server.query(f"ALTER ROLE rs1 PASSWORD '{PASSWORD}'")
        password_file = tmp_path_factory.mktemp("secret") / "password"
        password_file.write_text(PASSWORD + "\n")
        yield Site(server, authority, password_file, cable)
    finally:
        server.remove()
        holder.kill()
        holder.wait()
        run("rm", "-rf", place)


def refused(config: FleetConfig) -> str:
    """Return why a connection is refused."""
    with pytest.raises(DatabaseError) as caught:
        Database(config).newest()
    assert caught.value.kind is ErrorKind.REFUSED, caught.value
    assert PASSWORD not in str(caught.value)
    return str(caught.value)


def test_tls_is_verified(site: Site, tmp_path: Path) -> None:
    site.uses("hostssl all +rsfilter_instance 198.18.77.0/24 scram-sha-256")
    write(tmp_path, 50)
    shipping = Shipper(tmp_path, Database(site.config()))
    before = len(shipped(site.server))
    ship_all(shipping)
    assert not shipping.state.problem
    assert len(shipped(site.server)) == before + 51
    is_encrypted = site.server.query(
        "SELECT s.ssl FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) "
        "WHERE a.usename = 'rs1'"
    )
    assert is_encrypted == [(True,)]
    site.server.query("DELETE FROM rsfilter.block")


def test_another_authority_is_not_believed(site: Site, tmp_path: Path) -> None:
    site.uses("hostssl all +rsfilter_instance 198.18.77.0/24 scram-sha-256")
    other = Authority(tmp_path, "other")
    assert "certificate verify failed" in refused(site.config(sslrootcert=other.certificate))
    assert "does not exist" in refused(site.config(sslrootcert=tmp_path / "none"))


def test_a_certificate_for_another_name_is_not_believed(site: Site) -> None:
    subprocess.run(["ip", "route", "add", "198.18.78.2/32", "via", THEIRS], check=True)
    inside = f"/proc/{site.server._process.pid}/ns/net"  # type: ignore[union-attr]
    add = ["nsenter", f"--net={inside}", "ip", "address", "add", "198.18.78.2/32", "dev", "up0"]
    subprocess.run(add, check=True)
    assert "certificate" in refused(site.config(address="198.18.78.2"))


def test_without_tls_no_password_is_sent(site: Site) -> None:
    """A server in between that speaks no TLS does not get the password."""
    site.uses("host all +rsfilter_instance 198.18.77.0/24 password")
    try:
        site.server.settings["ssl"] = "off"
        site.server.stop()
        site.server.start()
        with pytest.raises(DatabaseError, match="does not support SSL"):
            Database(site.config()).newest()
    finally:
        site.server.settings["ssl"] = "on"
        site.server.stop()
        site.server.start()


def test_a_client_certificate_is_its_own_roles_alone(site: Site, tmp_path: Path) -> None:
    site.uses("hostssl all +rsfilter_instance 198.18.77.0/24 cert clientcert=verify-full")
    certificate, key = site.authority.issue("rs1")
    assert Database(site.config(sslcert=certificate, sslkey=key)).newest().seq == 0
    text = refused(site.config(user="rs2", sslcert=certificate, sslkey=key))
    assert "certificate authentication failed" in text
    assert "client certificate" in refused(site.config())


def test_the_network_is_cut_and_comes_back(site: Site, tmp_path: Path) -> None:
    site.uses("hostssl all +rsfilter_instance 198.18.77.0/24 scram-sha-256")
    growing = Growing(tmp_path)
    worker = Worker(site.config(), tmp_path)
    wait_until(lambda: len(shipped(site.server)) > 500, "some are shipped")
    site.is_cut(cut=True)
    try:
        wait_until(lambda: worker.report.problem == "unreachable", "the alarm", 90)
        assert "nothing is lost" in worker.report.detail
    finally:
        site.is_cut(cut=False)
    wait_until(lambda: not worker.report.problem, "it ships again", 90)
    everything = growing.end()
    wait_until(worker.has_shipped, "everything is shipped", 120)
    worker.end()
    assert shipped(site.server) == everything == lines(tmp_path)
