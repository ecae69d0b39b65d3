"""A licence is what a text is as a whole, not what it mentions."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from codefavor.sources.licences import (
    is_allowed,
    licence_of_files,
    licence_of_header,
    licence_of_manifest,
    licence_of_text,
)
from tests.sources.repository import MIT

APACHE = (Path(__file__).parents[2] / "LICENSE").read_text(encoding="utf-8")
_KNOWN = (files("codefavor.sources") / "licence_texts.txt").read_text(encoding="utf-8")
BODIES = dict(part.partition("\n")[::2] for part in _KNOWN.split("=== ")[1:] if "BE LIABLE" in part)
BSD_2, BSD_3, ISC = (BODIES[name] for name in ("bsd-2-clause", "bsd-3-clause", "isc"))
NOTICE = """Copyright 2017 The authors

   Licensed under the Apache License, Version 2.0 (the "License");
   you may not use this file except in compliance with the License.
   You may obtain a copy of the License at

       http://www.apache.org/licenses/LICENSE-2.0

   Unless required by applicable law or agreed to in writing, software
   distributed under the License is distributed on an "AS IS" BASIS,
   WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
   See the License for the specific language governing permissions and
   limitations under the License.
"""
BUSINESS = """Business Source License 1.1

Licensor: The authors
Additional Use Grant: You may make use of the Licensed Work, provided that you do not use it for a
service that competes with it.
Change Date: 2027-01-01
Change License: Apache License, Version 2.0

The Licensor hereby grants you the right to copy, modify, create derivative works, redistribute,
and make non-production use of the Licensed Work.
"""
FUNCTIONAL = """# Functional Source License, Version 1.1, Apache 2.0 Future License

We hereby irrevocably grant you an additional license to use the Software under the Apache License,
Version 2.0 that is effective on the second anniversary of the date we make the Software available.
"""
CLAUSE = (
    '"Commons Clause" License Condition v1.0\n\nThe Software is provided to you by the Licensor '
    "under the License, as defined below, subject to the following condition: the grant of rights "
    "under the License will not include the right to Sell the Software.\n\n"
)
LATER = (
    "\nThe above license applies to all contributions after 2017-12-01, as well as all "
    "contributions that have been re-licensed.\n-----\n"
)
CHOICE = (
    "knots is dual-licensed software. It is available under the terms of the MIT license, or the "
    "Academic Free License version 2.1.\n\n"
)
ACADEMIC = "Academic Free License v. 2.1\n\n" + 40 * "This license applies to any original work. "


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        (APACHE, "apache-2.0"),
        (NOTICE, "apache-2.0"),
        (MIT, "mit"),
        (BSD_2, "bsd-2-clause"),
        (BSD_3, "bsd-3-clause"),
        (ISC, "isc"),
        (BSD_3.replace("the copyright holder nor", "Deep Sea Labs, Inc. nor"), "bsd-3-clause"),
        (BSD_3.replace("BY THE COPYRIGHT HOLDERS", "BY DEEP SEA LABS"), "bsd-3-clause"),
        (f"{MIT}\n\nThe parser is by others:\n\n{MIT}", "mit"),
        (f"{BSD_3}\n{MIT}", "bsd-3-clause and mit"),
        ("\n".join(f" * {line}" for line in MIT.splitlines()), "mit"),
        ("The MIT License\n", "mit"),
        ("All rights reserved", ""),
        ("GNU General Public License\nVersion 3\nGNU Affero General Public License", "gpl"),
        (BUSINESS, "other"),
        (FUNCTIONAL, "other"),
        (CLAUSE + MIT, "other"),
        (MIT + "\nThe Software shall be used for Good, not Evil.\n", "other"),
        (MIT.replace("sublicense, and/or sell\ncopies", "but not sell copies"), "other"),
        (NOTICE + LATER + BSD_3, "other"),
        (CHOICE + MIT + ACADEMIC, "other"),
        (
            APACHE + "\nThe works under ee/ are for customers only, under terms of their own.",
            "other",
        ),
        (BSD_3 + "\nAll advertising materials must say that it is used.", "other"),
    ],
)
def test_a_text_is_a_licence_only_as_a_whole(text: str, licence: str) -> None:
    assert licence_of_text(text) == licence


def test_files_named_for_a_licence_are_a_choice_and_others_hold_together() -> None:
    both = {"LICENSE-MIT": MIT, "LICENSE-APACHE": APACHE}
    assert licence_of_files(both) == "apache-2.0 or mit"
    gpl = "GNU GENERAL PUBLIC LICENSE\nVersion 3\n"
    assert licence_of_files({"COPYING": gpl, "LICENSE.jquery": MIT}) == "gpl and mit"
    assert licence_of_files({"LICENSE": MIT, "LICENSE-THIRD-PARTY": gpl}) == "mit"
    # A licence that is none of ours is not overruled by what a project file names.
    named = {"package.json": '{\n "license": "MIT"\n}'}
    assert licence_of_files({"LICENSE.md": FUNCTIONAL, **named}) == "other"
    assert licence_of_files({"LICENSE": "See LICENSE-MIT and LICENSE-APACHE.", **both}) == (
        "apache-2.0 or mit"
    )


def test_licences_are_read_from_project_files() -> None:
    assert licence_of_files({"package.json": '{\n "license": "ISC"\n}'}) == "isc"
    classifier = "[metadata]\nclassifiers =\n  License :: OSI Approved :: BSD License\n"
    assert licence_of_files({"setup.cfg": classifier}) == "bsd"  # which of them it does not say
    assert licence_of_manifest('license = "MIT OR Apache-2.0"\n') == "apache-2.0 or mit"
    assert licence_of_manifest('license = "FSL-1.1-Apache-2.0"\n') == "other"
    assert licence_of_manifest('"license": "MIT with Commons Clause"') == "other"
    assert is_allowed("apache-2.0 or gpl", ("apache-2.0",))
    assert not is_allowed("apache-2.0 and gpl", ("apache-2.0",))
    assert not is_allowed("", ("mit",))
    assert not is_allowed("other", ("mit",))


def test_a_header_that_grants_a_licence_later_states_none_of_ours() -> None:
    head = (
        "// Use of this software is governed by the Business Source License\n// in LICENSE.\n//\n"
        "// As of the Change Date it will be governed by the Apache License,\n// Version 2.0.\n"
    )
    assert licence_of_header(head) == "other"
    commented = "".join(f"# {line}\n" for line in ("tide.py: tides", *MIT.splitlines()))
    assert licence_of_header(commented) == "mit"
    amended = commented.replace("without restriction,", "without restriction but not for money,")
    assert licence_of_header(amended) == "other"
