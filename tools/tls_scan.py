"""Scan a running server's TLS with sslyze, by both profiles: `python -m tools.tls_scan`.

Fails on whatever sslyze or Mozilla's guidelines have to say, but for what `OUR_OWN` lists. sslyze
is in an environment of its own, `.venv-sslyze`, which `make tls-scan` makes.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tools.authority import issue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parents[1]
SSLYZE = ROOT / ".venv-sslyze" / "bin" / "sslyze"

ADDRESS: Final = "127.0.0.1"
"""To serve on: addresses of the loopback have no limit of connections."""

PATIENCE_S: Final = 120.0
"""For one scan, which takes 2 s: far beyond what a loaded machine needs."""

PROFILES: Final = ("modern", "intermediate")

UNTRUSTED: Final = "certificate_path_validation"
LONG_LIVED: Final = "maximum_certificate_lifespan"

OUR_OWN: Final[Mapping[str, frozenset[str]]] = {
    "modern": frozenset({UNTRUSTED, LONG_LIVED}),
    "intermediate": frozenset({UNTRUSTED}),
}
"""What Mozilla's guidelines find in our self-signed certificate, and has to be so: no authority
vouches for it, because the server's identity key does, in every challenge; and it is valid for 366
days instead of modern's 90, because a client does not rely on its dates. With a certificate of an
authority, valid for 90 days, nothing at all may be found."""

OLD_VERSIONS: Final = ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1")

WANTED: Final[Mapping[tuple[str, str], object]] = {
    ("heartbleed", "is_vulnerable_to_heartbleed"): False,
    ("openssl_ccs_injection", "is_vulnerable_to_ccs_injection"): False,
    ("robot", "robot_result"): "NOT_VULNERABLE_RSA_NOT_SUPPORTED",
    ("tls_compression", "supports_compression"): False,
    ("tls_fallback_scsv", "supports_fallback_scsv"): True,
    ("session_renegotiation", "supports_secure_renegotiation"): True,
    ("session_renegotiation", "is_vulnerable_to_client_renegotiation_dos"): False,
    ("tls_extended_master_secret", "supports_ems_extension"): True,
    ("tls_1_3_early_data", "supports_early_data"): False,
}
"""What each part of the report has to say. Early data could be replayed."""

SCANS: Final = ("--early_data",)
"""Besides those that `--mozilla_config` makes."""

COMPLIANCE: Final = 'Checking results against Mozilla\'s "{profile}" configuration.'
ISSUE: Final = re.compile(r"^ +\* (\w+): ")
"""How sslyze 6 prints what does not comply: it is in no report but on its output."""


class Case(NamedTuple):
    """A server to scan: its TLS profile, and whether an authority has signed its certificate."""

    profile: str
    is_given: bool

    @property
    def expected(self) -> frozenset[str]:
        """What Mozilla's guidelines may, and have to, find."""
        return frozenset() if self.is_given else OUR_OWN[self.profile]

    def __str__(self) -> str:
        certificate = "an authority's certificate" if self.is_given else "its own certificate"
        return f"{self.profile}, {certificate}"


CASES: Final = tuple(Case(profile, given) for profile in PROFILES for given in (False, True))


def main() -> int:
    """Scan every case and print what was found; fail when that was anything."""
    if not SSLYZE.exists():
        print("sslyze is not there: `make tls-scan` installs it")
        return 1
    status = 0
    for case in CASES:
        with tempfile.TemporaryDirectory() as directory:
            found = scan(case, Path(directory))
        print(f"TLS {case}: {'good' if not found else 'NOT good'}")
        for finding in found:
            print(f"  {finding}")
            status = 1
    return status


def scan(case: Case, directory: Path) -> list[str]:
    """Start a server, have it scanned, and say what is not as it should be."""
    flags, trust = ["--tls-profile", case.profile], list[str]()
    if case.is_given:
        certificate, authority = issue(directory, ADDRESS)
        flags += ["--certificate", str(certificate)]
        trust = [f"--certinfo_ca_file={authority}"]
    report_path = directory / "report.json"
    with _serving(directory, flags) as port:
        done = subprocess.run(
            [
                *(str(SSLYZE), f"--mozilla_config={case.profile}", *SCANS, *trust),
                *(f"--json_out={report_path}", f"{ADDRESS}:{port}"),
            ],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    if not report_path.exists():
        return [f"sslyze gave no report: {done.stdout}{done.stderr}"]
    report = json.loads(report_path.read_text(encoding="utf-8"))
    return judge(case, report, done.stdout)


def judge(case: Case, report: Mapping[str, Any], output: str) -> list[str]:
    """List what is wrong, in the report and in what sslyze printed about compliance."""
    (scanned,) = report["server_scan_results"]
    if scanned["scan_status"] != "COMPLETED":
        return [f"the scan was not completed: {scanned['connectivity_error_trace']}"]
    parts = scanned["scan_result"]
    return [*_versions(case, parts), *_weaknesses(parts), *_compliance(case, output)]


def _versions(case: Case, parts: Mapping[str, Any]) -> Iterator[str]:
    """Hold what was negotiated against the profile."""
    wanted = {**dict.fromkeys(OLD_VERSIONS, False), "tls_1_2": case.profile == "intermediate"}
    wanted["tls_1_3"] = True
    for version, accepted in wanted.items():
        part = f"{version}_cipher_suites"
        yield from _compare(parts, part, "is_tls_version_supported", accepted)


def _weaknesses(parts: Mapping[str, Any]) -> Iterator[str]:
    """Name every known attack that would succeed, and what could not be tried."""
    for (part, key), wanted in WANTED.items():
        yield from _compare(parts, part, key, wanted)


def _compare(parts: Mapping[str, Any], part: str, key: str, wanted: object) -> Iterator[str]:
    attempt = parts[part]
    if attempt["status"] != "COMPLETED":
        yield f"{part}: {attempt['status']} {attempt['error_reason'] or ''}"
    elif attempt["result"][key] != wanted:
        yield f"{part}: {key} is {attempt['result'][key]}, not {wanted}"


def _compliance(case: Case, output: str) -> Iterator[str]:
    """Compare what does not comply with what is known not to: no more, and no less."""
    _, said, verdict = output.partition(COMPLIANCE.format(profile=case.profile))
    lines = {match[1]: line for line in verdict.splitlines() if (match := ISSUE.match(line))}
    if not said or ("OK - Compliant" in verdict) is bool(lines):
        yield f"sslyze does not say whether it complies: {verdict}"
    for name in sorted(lines.keys() - case.expected):
        yield f"Mozilla's guidelines: {lines[name].strip(' *')}"
    for name in sorted(case.expected - lines.keys()):
        yield f"Mozilla's guidelines: {name} was expected, and is not found any more"


@contextmanager
def _serving(directory: Path, flags: list[str]) -> Iterator[int]:
    """Run `jim-server` as a process that inherits no settings; give its port."""
    places = ("--data-dir", str(directory / "data"), "--log-dir", str(directory / "log"))
    kept = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(ROOT)}
    server = subprocess.Popen(
        [sys.executable, "-m", "jim.server", "-a", ADDRESS, "-p", "0", *places, *flags],
        env={**kept, "HOME": str(directory), "LANG": "C.UTF-8", "LANGUAGE": "en"},
        stdout=subprocess.PIPE,
        text=True,
    )
    with server:
        try:
            assert server.stdout is not None
            yield int(server.stdout.readline().rpartition(":")[2])
        finally:
            server.terminate()


if __name__ == "__main__":
    sys.exit(main())
