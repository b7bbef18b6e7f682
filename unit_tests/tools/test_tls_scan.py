"""Whatever a scan of TLS finds is told, and only what has to be so is expected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tools import tls_scan
from tools.tls_scan import CASES, WANTED, Case, judge

if TYPE_CHECKING:
    from pathlib import Path

OWN = Case("modern", is_given=False)
GIVEN = Case("modern", is_given=True)


def report_of(case: Case) -> dict[str, Any]:
    """Make the report of a scan that found nothing, as sslyze 6.3 writes it."""
    versions = {**dict.fromkeys(("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"), False)}
    versions |= {"tls_1_2": case.profile == "intermediate", "tls_1_3": True}
    parts = {
        f"{version}_cipher_suites": completed(is_tls_version_supported=accepted)
        for version, accepted in versions.items()
    }
    for (part, key), wanted in WANTED.items():
        parts.setdefault(part, completed())["result"][key] = wanted
    server = {"scan_status": "COMPLETED", "connectivity_error_trace": None, "scan_result": parts}
    return {"server_scan_results": [server]}


def completed(**result: object) -> dict[str, Any]:
    return {"status": "COMPLETED", "error_reason": None, "result": result}


def printed(case: Case, *issues: str) -> str:
    """Write what sslyze 6.3 prints at the end of a scan."""
    lines = ["", " COMPLIANCE AGAINST TLS CONFIGURATION", ""]
    lines.append(
        f'    Checking results against Mozilla\'s "{case.profile}" configuration. See https:'
    )
    lines.append(f"    127.0.0.1:1: {'FAILED - Not compliant.' if issues else 'OK - Compliant.'}")
    return "\n".join([*lines, *(f"        * {issue}: Because." for issue in issues), ""])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_nothing_is_said_of_a_good_server(case: Case) -> None:
    assert judge(case, report_of(case), printed(case, *case.expected)) == []


@pytest.mark.parametrize(("part", "key"), WANTED)
def test_every_weakness_is_found(part: str, key: str) -> None:
    report = report_of(GIVEN)
    result = report["server_scan_results"][0]["scan_result"][part]["result"]
    result[key] = "VULNERABLE_WEAK_ORACLE" if part == "robot" else not result[key]
    (found,) = judge(GIVEN, report, printed(GIVEN))
    assert found == f"{part}: {key} is {result[key]}, not {WANTED[part, key]}"


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize(
    "version", ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1", "tls_1_2", "tls_1_3"]
)
def test_versions_are_those_of_the_profile(case: Case, version: str) -> None:
    report = report_of(case)
    part = report["server_scan_results"][0]["scan_result"][f"{version}_cipher_suites"]
    part["result"]["is_tls_version_supported"] ^= True
    (found,) = judge(case, report, printed(case, *case.expected))
    assert found.startswith(f"{version}_cipher_suites: is_tls_version_supported is ")


def test_what_could_not_be_tried_is_no_pass() -> None:
    report = report_of(GIVEN)
    parts = report["server_scan_results"][0]["scan_result"]
    parts["heartbleed"] = {"status": "ERROR", "error_reason": "TIMED_OUT", "result": None}
    assert judge(GIVEN, report, printed(GIVEN)) == ["heartbleed: ERROR TIMED_OUT"]
    report["server_scan_results"][0] |= {
        "scan_status": "ERROR_NO_CONNECTIVITY",
        "connectivity_error_trace": "refused",
        "scan_result": None,
    }
    assert judge(GIVEN, report, "") == ["the scan was not completed: refused"]


def test_no_other_breach_of_the_guidelines_is_let_through() -> None:
    report = report_of(OWN)
    assert judge(OWN, report, printed(OWN, *OWN.expected, "tls_curves")) == [
        "Mozilla's guidelines: tls_curves: Because."
    ]
    assert len(judge(GIVEN, report, printed(GIVEN, *OWN.expected))) == 2


def test_a_breach_that_is_gone_has_to_leave_the_list() -> None:
    (found,) = judge(OWN, report_of(OWN), printed(OWN, "certificate_path_validation"))
    assert "maximum_certificate_lifespan was expected" in found


@pytest.mark.parametrize(
    "output",
    [
        "",
        printed(Case("intermediate", is_given=True)),
        printed(GIVEN).replace("OK - Compliant", "ERROR - Scan did not run"),
    ],
)
def test_without_a_verdict_of_this_profile_there_is_no_pass(output: str) -> None:
    (found,) = judge(GIVEN, report_of(GIVEN), output)
    assert found.startswith("sslyze does not say whether it complies")


@pytest.mark.e2e
@pytest.mark.skipif(
    not tls_scan.SSLYZE.exists(), reason="sslyze is not there: make tls-scan installs it"
)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_running_server_passes(case: Case, tmp_path: Path) -> None:
    assert tls_scan.scan(case, tmp_path) == []


@pytest.mark.e2e
@pytest.mark.skipif(
    not tls_scan.SSLYZE.exists(), reason="sslyze is not there: make tls-scan installs it"
)
def test_a_running_server_of_another_profile_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve = tls_scan._serving
    monkeypatch.setattr(
        tls_scan,
        "_serving",
        lambda place, flags: serve(place, [*flags, "--tls-profile", "intermediate"]),
    )
    assert "tls_1_2_cipher_suites: is_tls_version_supported is True, not False" in tls_scan.scan(
        OWN, tmp_path
    )
