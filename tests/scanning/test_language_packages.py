"""Text files in which Python, Node.js, .NET, PHP and Ruby declare what is installed."""

import io
import json
import zipfile
from importlib.metadata import distributions as distributions_here

import pytest

from lading.scanning.packages import Package
from tests.scanning.layers import declared, noted, read, tar_of

SITE = "usr/lib/python3/site-packages"
INSTALLED = "app/node_modules/a/package.json"


def packages(path: str, content: bytes | str) -> list[Package]:
    layer = read(tar_of({path: content.encode() if isinstance(content, str) else content}))
    assert layer.notes == ()
    return [each for found in layer.packages.values() for each in found]


@pytest.mark.parametrize(
    "path",
    [
        f"{SITE}/Flask-3.0.dist-info/METADATA",
        f"{SITE}/Flask.egg-info/PKG-INFO",
        f"{SITE}/Flask-3.0.egg-info",
        f"{SITE}/Flask-3.0-py3.11.egg/EGG-INFO/PKG-INFO",
    ],
)
def test_a_package_of_python_has_its_name_as_written(path: str) -> None:
    text = (
        "Metadata-Version: 2.1\r\nname: Flask_Login\r\nVersion: 3.0\r\nVersion: 4.0\r\nLicense: BSD\r\n\r\nName: x\r\n"
    )

    assert packages(path, text) == [
        Package(type="pypi", name="Flask_Login", version="3.0", path=path, licenses=("BSD",))
    ]


def test_what_is_installed_is_read_as_python_itself_reads_it() -> None:
    distributions = [each for each in distributions_here() if each.read_text("METADATA")]

    assert len(distributions) > 50
    for each in distributions:
        content = each.read_text("METADATA") or ""
        assert declared(f"{SITE}/a.dist-info/METADATA", content.encode()) == [f"{each.metadata['Name']} {each.version}"]


def test_a_zipped_egg_is_read_and_a_wheel_is_not() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("EGG-INFO/PKG-INFO", "Name: a\nVersion: 1\n")
        archive.writestr("a-1.dist-info/METADATA", "Name: a\nVersion: 1\n")

    assert declared(f"{SITE}/a-1-py3.11.egg", content.getvalue()) == ["a 1"]
    assert declared("wheels/a-1-py3-none-any.whl", content.getvalue()) == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("License-Expression: MIT OR Apache-2.0\nLicense: x", ("MIT OR Apache-2.0",)),
        ("Classifier: License :: OSI Approved :: MIT License\nClassifier: Topic :: X", ("MIT License",)),
        ("License: UNKNOWN\nClassifier: License :: Public Domain", ("Public Domain",)),
        (f"License: {'text of a license ' * 100}", ()),
    ],
)
def test_licenses_of_python_are_the_best_that_are_declared(fields: str, expected: tuple[str, ...]) -> None:
    (package,) = packages(f"{SITE}/a.dist-info/METADATA", f"Name: a\nVersion: 1\n{fields}\n")

    assert package.licenses == expected


def test_metadata_of_python_costs_no_more_than_its_first_256_kib() -> None:
    path = f"{SITE}/a.dist-info/METADATA"
    folded = b"Name: a\nVersion: 1\nX: y\n" + b" z\n" * (2 << 20)

    assert declared(path, folded) == ["a 1"]
    assert "no name within the first 262,144 bytes" in noted(path, b"X: y\n" * 100_000 + b"Name: a\n")
    assert "larger than 8 MiB" in noted(path, b"Name: a\n" + b" x\n" * (20 << 20))


def test_files_of_python_that_describe_no_package_declare_nothing() -> None:
    assert declared(f"{SITE}/a.dist-info/METADATA", b"") == []
    assert declared("METADATA", b"Name: a\nVersion: 1\n") == []
    assert declared("src/PKG-INFO", b"Name: a\nVersion: 1\n") == []


def test_a_package_of_node_has_its_scope_as_the_namespace() -> None:
    path = "app/node_modules/@types/node/package.json"
    content = json.dumps({"name": "@types/node", "version": "20.1.0", "license": "MIT"})

    assert packages(path, "\ufeff" + content) == [
        Package(type="npm", namespace="@types", name="node", version="20.1.0", path=path, licenses=("MIT",))
    ]


def test_an_application_of_node_counts_as_in_syft_and_lock_files_do_not() -> None:
    assert declared("app/package.json", b'{"name": "app", "version": "1.0.0"}') == ["app 1.0.0"]
    assert declared("app/package-lock.json", b'{"name": "app", "version": "1.0.0"}') == []


@pytest.mark.parametrize(
    "content",
    [
        {"name": "a"},
        {"version": "1"},
        {"name": 1, "version": "1"},
        {"name": ["a"], "version": {"a": 1}},
        {"name": "a", "version": "1", "engines": {"vscode": "1"}},
        {"name": "a", "version": "1", "contributes": {}},
        {"name": "a", "version": "1", "unity": "2019"},
        ["a", "1"],
    ],
)
def test_a_package_json_of_no_package_of_node_declares_nothing(content: object) -> None:
    assert declared(INSTALLED, json.dumps(content).encode()) == []


def test_old_forms_of_licenses_are_read() -> None:
    (package,) = packages(
        INSTALLED,
        json.dumps({"name": "a", "version": "1", "license": {"type": "X"}, "licenses": [{"type": "Y"}, 1, "Z"]}),
    )

    assert package.licenses == ("X", "Y", "Z")


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b'{"name": ', "Expecting value"), (b"[" * 1_000_000, "nested too deep"), (b"1" * 10_000, "4300")],
)
def test_a_damaged_package_json_is_noted_where_packages_are_installed(content: bytes, reason: str) -> None:
    assert reason in noted(INSTALLED, content)
    assert declared("app/node_modules/resolve/test/malformed/package.json", content) == []


def test_the_libraries_of_dotnet_are_read_and_references_are_not() -> None:
    libraries = {
        "App/1.0.0": {"type": "project"},
        "App.Common/1.0.0": {"type": "project"},
        "Newtonsoft.Json/13.0.1": {"type": "package"},
        "runtimepack.Microsoft.NETCore.App.Runtime.linux-x64/8.0.1": {"type": "runtimepack"},
        "System.Web/4.0.0.0": {"type": "reference"},
        "NoVersion": {"type": "package"},
        "Wrong/1": "package",
    }

    assert declared("app/App.deps.json", json.dumps({"libraries": libraries}).encode()) == [
        "App 1.0.0",
        "Newtonsoft.Json 13.0.1",
        "Microsoft.NETCore.App.Runtime.linux-x64 8.0.1",
    ]
    assert declared("app/editor.deps.json", b'["react"]') == []
    assert "could not be read" in noted("app/App.deps.json", b"[" * 1_000_000)


@pytest.mark.parametrize("bundler", ["", "ILRepack.Lib.MSBuild.Task"])
def test_packages_of_dotnet_that_no_file_is_of_were_only_there_when_it_was_built(bundler: str) -> None:
    """Unless a bundler has merged the files of all."""
    target = {
        "App/1.0.0": {"dependencies": {"Meta": "1.0.0", "SourceLink": "8.0.0"}, "runtime": {"App.dll": {}}},
        "Meta/1.0.0": {"dependencies": {"Inner": "1.0.0"}},
        "Inner/1.0.0": {"dependencies": {"Json": "13.0.1", "Inner": "1.0.0"}},
        "Json/13.0.1": {"runtime": {"lib/net6.0/Json.dll": {}}},
        "Sqlite/2.0.0": {"runtimeTargets": {"runtimes/linux-x64/native/sqlite.so": {}}},
        "SourceLink/8.0.0": {"dependencies": {"Git": "8.0.0", "Unknown": "1"}},
        "Git/8.0.0": {"runtime": {}},
    }
    names = [*list(target)[1:], "NoTarget/1.0.0", *([f"{bundler}/2.0.0"] if bundler else [])]
    document = {
        "targets": {".NETCoreApp,Version=v8.0": {}, ".NETCoreApp,Version=v8.0/linux-x64": target},
        "libraries": {"App/1.0.0": {"type": "project"}, **{name: {"type": "package"} for name in names}},
    }

    found = declared("app/App.deps.json", json.dumps(document).encode())

    there = {"App 1.0.0", "Meta 1.0.0", "Inner 1.0.0", "Json 13.0.1", "Sqlite 2.0.0", "NoTarget 1.0.0"}
    built = {"SourceLink 8.0.0", "Git 8.0.0", f"{bundler} 2.0.0"}
    assert {*found} == there | (built if bundler else set())


COMPOSER = [
    {"name": "symfony/console", "version": "v6.0.1", "version_normalized": "6.0.1.0", "license": ["MIT", 1]},
    {"name": "old", "version": "dev-main"},
    {"version": "1"},
    "wrong",
]


@pytest.mark.parametrize("content", [COMPOSER, {"packages": COMPOSER, "dev": False}], ids=["Composer 1", "Composer 2"])
def test_what_composer_installed_is_read_in_both_formats(content: object) -> None:
    path = "app/vendor/composer/installed.json"

    assert packages(path, json.dumps(content)) == [
        Package(type="composer", namespace="symfony", name="console", version="v6.0.1", path=path, licenses=("MIT",)),
        Package(type="composer", name="old", version="dev-main", path=path),
    ]


def test_other_files_of_composer_are_not_read() -> None:
    content = json.dumps(COMPOSER).encode()

    assert declared("app/composer.lock", content) == []
    assert declared("app/vendor/composer/installed.php", content) == []
    assert declared("app/installed.json", content) == []


GEMSPEC = """# -*- encoding: utf-8 -*-
# stub: nokogiri 1.13.10 x86_64-linux lib

Gem::Specification.new do |s|
  s.name = "nokogiri".freeze
  s.version = "1.13.10"
  s.platform = "x86_64-linux".freeze
  s.required_rubygems_version = Gem::Requirement.new(">= 0".freeze)
  s.licenses = ["MIT".freeze, "Ruby"]
end
"""


def test_a_gem_is_read_from_its_specification() -> None:
    path = "usr/lib/ruby/gems/3.1/specifications/nokogiri-1.13.10-x86_64-linux.gemspec"

    assert packages(path, GEMSPEC) == [
        Package(type="gem", name="nokogiri", version="1.13.10", path=path, licenses=("MIT", "Ruby"))
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("# stub: rake 13.0.6 ruby lib\nGem::Specification.new { |s| s.name = %q{rake} }", ["rake 13.0.6"]),
        ("  spec.name = 'a'\n  spec.version = Gem::Version.new('1.0.a')\n", ["a 1.0.a"]),
        ("s.name = 'a'\ns.version = '1.13.10-x86_64-linux'\n", ["a 1.13.10-x86_64-linux"]),
    ],
)
def test_the_forms_of_specifications_are_read(content: str, expected: list[str]) -> None:
    assert declared("gems/specifications/default/a.gemspec", content.encode()) == expected


def test_a_specification_without_a_gem_is_noted_and_one_elsewhere_not_read() -> None:
    assert "it names no gem with a version" in noted("gems/specifications/a.gemspec", b"\x04\x08marshalled")
    assert declared("gems/gems/a-1/a.gemspec", GEMSPEC.encode()) == []


def test_hostile_specifications_take_time_in_proportion_to_their_size() -> None:
    content = b" " * (1 << 20) + b"\n" + b"s.name = '" * 100_000 + b"\n" * 1_000_000 + b"# stub: " * 100_000

    assert "it names no gem" in noted("gems/specifications/a.gemspec", content)
