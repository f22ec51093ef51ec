"""Beacons: one value has one form, and nothing else is taken for one."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cae_core.errors import OptionError
from cae_core.verification.beacon import beacon_nonce, check_beacon_time, moment, parse_beacon, read_beacon
from cae_core.verification.options import VerificationOptions

VALUE = "0af1" * 16


class TestValues:
    @pytest.mark.parametrize("told", [VALUE, VALUE.upper(), f" 0x{VALUE}\n", f"0X{VALUE.upper()}"])
    def test_one_form(self, told: str) -> None:
        assert parse_beacon(told) == read_beacon(told) == VALUE

    def test_in_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "pulse").write_text(f"0x{VALUE}\n")
        assert read_beacon(str(tmp_path / "pulse")) == VALUE

    @pytest.mark.parametrize("told", ["12", "heads", VALUE[:31], "0" * 513, f"{VALUE} {VALUE}", "0x"])
    def test_anything_else_is_refused(self, told: str) -> None:
        with pytest.raises(OptionError, match="is 32 to 512 hexadecimal digits; found"):
            read_beacon(told)

    def test_none(self) -> None:
        assert read_beacon("") == ""

    @pytest.mark.parametrize("content", [b"\xff" * 40, b"0" * 5000, b"{}"])
    def test_a_file_of_another_kind(self, content: bytes, tmp_path: Path) -> None:
        (tmp_path / "pulse").write_bytes(content)
        with pytest.raises(OptionError):
            read_beacon(str(tmp_path / "pulse"))


class TestTimes:
    def test_utc_where_it_says_none(self) -> None:
        assert moment("2026-05-01") == moment("2026-05-01T02:00+02:00") == datetime(2026, 5, 1, tzinfo=UTC)

    def test_no_time(self) -> None:
        with pytest.raises(OptionError, match=r"is an ISO date or time, such as .* found 'noon'"):
            moment("noon")

    def test_it_is_out_before_anybody_is_asked(self) -> None:
        check_beacon_time("2026-05-01", datetime(2026, 5, 1, tzinfo=UTC))
        with pytest.raises(OptionError, match="2026-05-02, is later than the verification, 2026-05-01"):
            check_beacon_time("2026-05-02", datetime(2026, 5, 1, tzinfo=UTC))


class TestOptions:
    @pytest.mark.parametrize(
        ("wrong", "why"),
        [
            ({"beacon": VALUE, "sequential": True}, "found a value alone. Give its time too"),
            ({"beacon_time": "2026-05-01", "sequential": True}, "found a time alone. Give its value too"),
            ({"beacon": VALUE, "beacon_time": "2026-05-01"}, "order of the sequential mode. Add --sequential"),
            (
                {"beacon": VALUE.upper(), "beacon_time": "2026-05-01", "sequential": True},
                "32 to 512 hexadecimal digits",
            ),
            ({"beacon": VALUE, "beacon_time": "noon", "sequential": True}, "is an ISO date or time"),
            ({"beacon": VALUE, "beacon_time": "2026-05-01", "sequential": True, "rule": 1}, "Rule 1 knows no beacons"),
        ],
    )
    def test_refused(self, wrong: dict[str, object], why: str) -> None:
        with pytest.raises(OptionError, match=why):
            VerificationOptions(**wrong)  # type: ignore[arg-type]

    def test_records_without_one_say_nothing_of_it(self) -> None:
        assert not any("beacon" in name for name in VerificationOptions(sequential=True).json_fields())


def test_the_nonce_is_the_hash_that_the_documents_name() -> None:
    told = hashlib.sha256(f"cae verify: order|c0|5a|{VALUE}".encode()).digest()[:16]
    assert beacon_nonce(VALUE, calibration="c0", suspect="5a") == told
    others = [("c1", "5a", VALUE), ("c0", "5b", VALUE), ("c0", "5a", VALUE[::-1])]
    assert told not in {beacon_nonce(beacon, calibration=c, suspect=s) for c, s, beacon in others}
